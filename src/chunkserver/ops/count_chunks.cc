#include "chunkserver/service.h"

namespace cairn::chunkserver {

Answered<wire::CountChunksReply> ChunkService::count_chunks(
    rpc::Call<wire::CountChunksRequest> call) {
  const PinnedCopyset copyset = CO_TRY(context_.find_copyset(CopysetId(call.request.copyset())));
  rpc::Answer<wire::CountChunksReply> answer;
  const std::vector<ChunkId> chunks(call.request.chunks().begin(), call.request.chunks().end());
  const auto count = copyset->count_existing(chunks);
  if (count) {
    answer.message.set_chunks_count(*count);
  } else {
    if (count.code() != Errc::kNotLeader) co_return count.error();
    fill_redirect(*copyset, answer.message.mutable_redirect());
  }
  co_return answer;
}

}  // namespace cairn::chunkserver
