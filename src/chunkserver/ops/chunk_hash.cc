#include "chunkserver/service.h"

namespace cairn::chunkserver {

Answered<wire::ChunkHashReply> ChunkService::chunk_hash(rpc::Call<wire::ChunkHashRequest> call) {
  const wire::ChunkHashRequest& request = call.request;
  const CopysetId id(request.copyset());
  const PinnedCopyset copyset = CO_TRY(context_.find_copyset(id));
  CO_TRY(copyset->check_comparable());
  rpc::Answer<wire::ChunkHashReply> answer;
  // The caller compares replicas only where this index is the same on all.
  answer.message.set_applied_index(copyset->node()->status().applied.value());
  std::vector<ChunkId> chunks{ChunkId(request.chunk())};
  if (request.chunk() == 0) chunks = CO_TRY(context_.store().list(id));
  for (ChunkId chunk : chunks) {
    const auto digest = co_await context_.store().digest(id, chunk, request.read_data());
    // Listed, and gone since: the index has moved on.
    if (request.chunk() == 0 && digest.code() == Errc::kNotFound) continue;
    if (!digest) co_return digest.error();
    wire::ChunkHash* hash = answer.message.add_chunks();
    hash->set_chunk(chunk.value());
    hash->set_crc32c(digest->crc32c);
    hash->set_blocks_written_count(digest->blocks_written_count);
    hash->set_blocks_corrupt_count(digest->blocks_corrupt_count);
  }
  if (copyset->node()->status().applied.value() != answer.message.applied_index()) {
    co_return error(Errc::kUnavailable, "the copyset was written to meanwhile; ask again");
  }
  co_return answer;
}

}  // namespace cairn::chunkserver
