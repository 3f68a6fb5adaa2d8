#include "chunkserver/service.h"

namespace cairn::chunkserver {

namespace {

/// Whether this replica has what the request asks for.
Status check_source(Copyset& copyset, const wire::FetchChunkRequest& request) {
  if (copyset.node()->status().applied.value() < request.applied_index_min()) {
    return error(Errc::kUnavailable, "this replica has not applied so much of the log yet");
  }
  if (!copyset.is_complete()) {
    return error(Errc::kUnavailable, "this replica is being caught up itself");
  }
  return ok();
}

}  // namespace

// For a replica that lags, or that has rotten blocks. Any replica may give what it has applied: it
// was committed, and the request says how new it has to be.
Answered<wire::FetchChunkReply> ChunkService::fetch_chunk(rpc::Call<wire::FetchChunkRequest> call) {
  const wire::FetchChunkRequest& request = call.request;
  CO_TRY(check_range(request.offset_bytes(), request.size_bytes()));
  if (!is_block_aligned(request.offset_bytes()) || !is_block_aligned(request.size_bytes())) {
    co_return error(Errc::kInvalidArgument, "whole blocks are fetched; nothing was read");
  }
  const CopysetId id(request.copyset());
  auto found = context_.find_copyset(id);
  if (!found) {
    // That is no absent chunk: the caller may have come to a server that is not the one it means,
    // and would drop its own copy.
    co_return error(Errc::kUnavailable, "nothing was read: " + found.error().message());
  }
  const PinnedCopyset copyset = std::move(*found);
  CO_TRY(check_source(*copyset, request));
  if (!request.is_repair()) co_await context_.changes().pace_copy(id);
  const ChunkId chunk(request.chunk());
  const std::vector<uint32_t> have(request.have_block_crc32c().begin(),
                                   request.have_block_crc32c().end());
  auto image = co_await context_.store().fetch(id, chunk, request.offset_bytes(),
                                               request.size_bytes(), have);
  if (image.code() == Errc::kCorrupt && !request.is_repair()) {
    CO_TRY(co_await copyset->repair(chunk, request.offset_bytes(), request.size_bytes()));
    image = co_await context_.store().fetch(id, chunk, request.offset_bytes(), request.size_bytes(),
                                            have);
  }
  rpc::Answer<wire::FetchChunkReply> answer;
  answer.message.set_committed_index(copyset->node()->status().committed.value());
  if (image.code() == Errc::kNotFound) {
    answer.message.set_is_absent(true);
    co_return answer;
  }
  if (!image) co_return image.error();
  if (!request.is_repair()) context_.changes().note_copied(id, request.size_bytes());
  answer.message.mutable_block_crc32c()->Add(image->block_crcs.begin(), image->block_crcs.end());
  if (!image->data.empty()) answer.attachment.push_back(std::move(image->data));
  co_return answer;
}

}  // namespace cairn::chunkserver
