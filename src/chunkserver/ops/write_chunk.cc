#include "chunkserver/service.h"

namespace cairn::chunkserver {

namespace {

Status check_writer(const wire::WriteChunkRequest& request) {
  if (request.client() == 0) return ok();
  const uint64_t sequence = request.sequence(), oldest = request.oldest_unresolved_sequence();
  if (oldest <= sequence && sequence - oldest < wire::kWriterWindow) return ok();
  return error(Errc::kInvalidArgument, "write " + std::to_string(sequence) +
                                           " is outside the window of its client, whose "
                                           "oldest unresolved write is " +
                                           std::to_string(oldest) + "; nothing was written");
}

Status check_attachment(const wire::WriteChunkRequest& request, const Buffer& attachment) {
  if (!wire::ChunkWriteKind_IsValid(request.kind())) {
    return error(Errc::kInvalidArgument, "a write of the unknown kind " +
                                             std::to_string(static_cast<int>(request.kind())) +
                                             "; nothing was written");
  }
  const bool has_data = request.kind() == wire::CHUNK_WRITE_DATA;
  const size_t expected = has_data ? request.size_bytes() : 0;
  if (attachment.size_bytes() == expected) return ok();
  return error(Errc::kInvalidArgument,
               "a write of " + std::to_string(request.size_bytes()) + " bytes came with " +
                   std::to_string(attachment.size_bytes()) + "; nothing was written");
}

/// A whole chunk that is discarded goes back to the pool; other discards are zeros.
wire::ChunkOpKind op_kind_of(const wire::WriteChunkRequest& request, uint32_t chunk_bytes) {
  if (request.kind() == wire::CHUNK_WRITE_DATA) return wire::ChunkOpKind::kWrite;
  const bool is_whole = request.offset_bytes() == 0 && request.size_bytes() == chunk_bytes;
  return is_whole && request.kind() == wire::CHUNK_WRITE_DISCARD ? wire::ChunkOpKind::kDiscard
                                                                 : wire::ChunkOpKind::kWriteZeroes;
}

}  // namespace

Answered<wire::WriteChunkReply> ChunkService::write_chunk(rpc::Call<wire::WriteChunkRequest> call) {
  const Instant began = context_.env().clock.now();
  const wire::WriteChunkRequest& request = call.request;
  CO_TRY(check_range(request.offset_bytes(), request.size_bytes()));
  CO_TRY(check_writer(request));
  CO_TRY(check_attachment(request, call.attachment));
  const PinnedCopyset copyset =
      CO_TRY(context_.find_copyset(CopysetId(request.target().copyset())));

  Copyset::Write write;
  write.op.kind = op_kind_of(request, context_.chunk_bytes());
  write.op.chunk = ChunkId(request.target().chunk());
  write.op.volume = VolumeId(request.target().volume());
  write.op.fence = Fence(request.target().fence());
  write.op.offset_bytes = request.offset_bytes();
  write.op.size_bytes = request.size_bytes();
  write.op.client = request.client();
  write.op.sequence = request.sequence();
  write.op.oldest_unresolved_sequence = request.oldest_unresolved_sequence();
  write.data = std::move(call.attachment);

  rpc::Answer<wire::WriteChunkReply> answer;
  auto index = co_await copyset->write(std::move(write));
  if (index) {
    ++io_counts_.writes;
    io_counts_.write_time += context_.env().clock.now() - began;
    io_counts_.written_bytes += request.size_bytes();
    answer.message.set_index(index->value());
  } else if (index.code() == Errc::kNotLeader) {
    fill_redirect(*copyset, answer.message.mutable_redirect());
  } else {
    co_return index.error();
  }
  co_return answer;
}

}  // namespace cairn::chunkserver
