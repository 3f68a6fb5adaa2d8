#include "chunkserver/service.h"

namespace cairn::chunkserver {

Answered<wire::SnapshotCopysetReply> ChunkService::snapshot_copyset(
    rpc::Call<wire::SnapshotCopysetRequest> call) {
  const PinnedCopyset copyset = CO_TRY(context_.find_copyset(CopysetId(call.request.copyset())));
  CO_TRY(co_await copyset->node()->snapshot());
  const multiraft::NodeStatus status = copyset->node()->status();
  rpc::Answer<wire::SnapshotCopysetReply> answer;
  answer.message.set_snapshot_index(status.snapshot.value());
  answer.message.set_first_index(status.first.value());
  co_return answer;
}

}  // namespace cairn::chunkserver
