#include "chunkserver/service.h"

namespace cairn::chunkserver {

Answered<wire::GetLeaderReply> ChunkService::get_leader(rpc::Call<wire::GetLeaderRequest> call) {
  const PinnedCopyset copyset = CO_TRY(context_.find_copyset(CopysetId(call.request.copyset())));
  const multiraft::NodeStatus status = copyset->node()->status();
  rpc::Answer<wire::GetLeaderReply> answer;
  wire::LeaderHint* leader = answer.message.mutable_leader();
  fill_redirect(*copyset, leader);
  if (copyset->node()->is_ready_leader()) {
    leader->set_leader_node(context_.id().value());
    leader->set_leader_address(context_.address().text);
  }
  answer.message.set_term(status.term.value());
  answer.message.set_epoch(status.epoch.value());
  co_return answer;
}

}  // namespace cairn::chunkserver
