#include "chunkserver/service.h"

namespace cairn::chunkserver {

Answered<wire::PeersReply> ChunkService::remove_peer(rpc::Call<wire::RemovePeerRequest> call) {
  const wire::RemovePeerRequest& request = call.request;
  ChangeOrder order;
  order.change.set_copyset(request.copyset());
  order.change.set_epoch(request.epoch());
  order.change.set_operator_id(request.operator_id());
  order.change.set_kind(wire::CHANGE_REMOVE);
  order.change.set_source(request.peer());
  co_return co_await run_change(std::move(order), call.deadline);
}

}  // namespace cairn::chunkserver
