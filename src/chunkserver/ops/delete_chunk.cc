#include "chunkserver/service.h"

namespace cairn::chunkserver {

Answered<wire::DeleteChunkReply> ChunkService::delete_chunk(
    rpc::Call<wire::DeleteChunkRequest> call) {
  const wire::ChunkTarget& target = call.request.target();
  const PinnedCopyset copyset = CO_TRY(context_.find_copyset(CopysetId(target.copyset())));
  wire::ChunkOp op;
  op.chunk = ChunkId(target.chunk());
  op.volume = VolumeId(target.volume());
  rpc::Answer<wire::DeleteChunkReply> answer;
  auto index = co_await copyset->remove_chunk(op);
  if (!index) {
    if (index.code() != Errc::kNotLeader) co_return index.error();
    fill_redirect(*copyset, answer.message.mutable_redirect());
  }
  co_return answer;
}

}  // namespace cairn::chunkserver
