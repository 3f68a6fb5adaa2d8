#include "chunkserver/service.h"

namespace cairn::chunkserver {

// For a replica that lags. Only the leader's state is known to hold all that was committed, but a
// request may reach a leader that has just been deposed: its blocks are then older than the log
// that the replica goes on with, which replays them. Never newer than what is committed.
Answered<wire::FetchChunkReply> ChunkService::fetch_chunk(rpc::Call<wire::FetchChunkRequest> call) {
  const wire::FetchChunkRequest& request = call.request;
  CO_TRY(check_range(request.offset_bytes(), request.size_bytes()));
  if (!is_block_aligned(request.offset_bytes()) || !is_block_aligned(request.size_bytes())) {
    co_return error(Errc::kInvalidArgument, "whole blocks are fetched; nothing was read");
  }
  const CopysetId id(request.copyset());
  auto found = context_.find_copyset(id);
  if (!found) {
    // Never kNotFound, which says that the leader has deleted the chunk: the caller may have come
    // to a server that is not the one it means, and would drop its own copy.
    co_return error(Errc::kUnavailable, "nothing was read: " + found.error().message());
  }
  const PinnedCopyset copyset = std::move(*found);
  if (!copyset->node()->is_ready_leader()) {
    co_return error(Errc::kUnavailable, "this replica does not lead the copyset");
  }
  auto image = CO_TRY(co_await context_.store().fetch(
      id, ChunkId(request.chunk()), request.offset_bytes(), request.size_bytes()));
  rpc::Answer<wire::FetchChunkReply> answer;
  answer.message.mutable_block_crc32c()->Add(image.block_crcs.begin(), image.block_crcs.end());
  if (!image.data.empty()) answer.attachment.push_back(std::move(image.data));
  co_return answer;
}

}  // namespace cairn::chunkserver
