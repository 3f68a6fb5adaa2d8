#include "chunkserver/ops/change_order.h"

namespace cairn::chunkserver {

Answered<wire::PeersReply> ChunkService::add_peer(rpc::Call<wire::AddPeerRequest> call) {
  const wire::AddPeerRequest& request = call.request;
  ChangeOrder order = order_of(request, wire::CHANGE_ADD);
  order.change.set_target(request.peer().node());
  order.change.set_target_address(request.peer().address());
  co_await context_.learn_addresses({request.peer()});
  co_return co_await run_change(std::move(order), call.deadline);
}

}  // namespace cairn::chunkserver
