#include "chunkserver/ops/change_order.h"

namespace cairn::chunkserver {

Answered<wire::PeersReply> ChunkService::transfer_leader(
    rpc::Call<wire::TransferLeaderRequest> call) {
  const wire::TransferLeaderRequest& request = call.request;
  ChangeOrder order = order_of(request, wire::CHANGE_TRANSFER);
  order.change.set_target(request.peer());
  co_return co_await run_change(std::move(order), call.deadline);
}

}  // namespace cairn::chunkserver
