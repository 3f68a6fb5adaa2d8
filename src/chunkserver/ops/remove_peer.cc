#include "chunkserver/ops/change_order.h"

namespace cairn::chunkserver {

Answered<wire::PeersReply> ChunkService::remove_peer(rpc::Call<wire::RemovePeerRequest> call) {
  const wire::RemovePeerRequest& request = call.request;
  ChangeOrder order = order_of(request, wire::CHANGE_REMOVE);
  order.change.set_source(request.peer());
  co_return co_await run_change(std::move(order), call.deadline);
}

}  // namespace cairn::chunkserver
