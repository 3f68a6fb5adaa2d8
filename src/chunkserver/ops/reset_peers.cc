#include "chunkserver/service.h"

namespace cairn::chunkserver {

Answered<wire::PeersReply> ChunkService::reset_peers(rpc::Call<wire::ResetPeersRequest> call) {
  const wire::ResetPeersRequest& request = call.request;
  if (!request.accept_loss()) {
    co_return error(Errc::kInvalidArgument,
                    "a reset loses whatever this replica does not hold; nothing was done. If the "
                    "quorum is gone for ever, say that the loss is accepted");
  }
  const CopysetId id(request.copyset());
  std::vector<NodeId> voters = CO_TRY(distinct_nodes(request.peers()));
  co_await context_.learn_addresses({request.peers().begin(), request.peers().end()});
  CO_TRY(co_await context_.changes().reset(id, std::move(voters)));
  rpc::Answer<wire::PeersReply> answer;
  answer.message.set_is_done(true);
  fill_members(id, &answer.message);
  co_return answer;
}

}  // namespace cairn::chunkserver
