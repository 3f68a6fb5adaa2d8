#include "chunkserver/chunk_fetcher.h"

#include <algorithm>

#include "wire/chunk.pb.h"
#include "wire/methods.h"

namespace cairn::chunkserver {

ChunkFetcher::ChunkFetcher(io::Env env, rpc::Client& client, const multiraft::PeerDirectory& peers,
                           chunk::ChunkStore& store, FetchOptions options)
    : client_(client),
      peers_(peers),
      store_(store),
      options_(options),
      inflight_(env.executor, options.pieces_inflight_max),
      fetched_bytes_(env.metrics.counter("cairn_chunkserver_fetched_bytes_total",
                                         "Bytes of chunks copied here to catch up")) {
  CHECK(is_block_aligned(options_.piece_bytes) && options_.piece_bytes > 0);
}

io::Task<Status> ChunkFetcher::fetch(CopysetId copyset, ChunkId chunk, NodeId source) {
  for (uint32_t offset = 0; offset < options_.chunk_bytes; offset += options_.piece_bytes) {
    Status fetched = co_await fetch_piece(copyset, chunk, source, offset);
    if (fetched.code() == Errc::kNotFound) co_return co_await store_.remove(copyset, chunk);
    if (!fetched) co_return fetched;
  }
  co_return ok();
}

io::Task<Status> ChunkFetcher::fetch_piece(CopysetId copyset, ChunkId chunk, NodeId source,
                                           uint32_t offset_bytes) {
  auto permit = co_await inflight_.acquire();
  if (is_stopping_) co_return error(Errc::kClosed, "stopping");
  const io::Address* address = peers_.find(source);
  if (!address) co_return error(Errc::kUnavailable, "the leader's address is not known");
  wire::FetchChunkRequest request;
  request.set_copyset(copyset.value());
  request.set_chunk(chunk.value());
  request.set_offset_bytes(offset_bytes);
  const uint32_t size_bytes = std::min(options_.piece_bytes, options_.chunk_bytes - offset_bytes);
  request.set_size_bytes(size_bytes);
  auto answer = co_await client_.call<wire::FetchChunkReply>(*address, wire::Method::kFetchChunk,
                                                             request, {}, options_.call_timeout);
  if (answer.code() == Errc::kNotFound) co_return answer.error();
  if (!answer) {
    // The source's trouble, an error of its disk say, must not be taken for one of this disk.
    co_return error(Errc::kUnavailable,
                    "node " + to_string(source) + " gave no data: " + answer.error().describe());
  }
  if (is_stopping_) co_return error(Errc::kClosed, "stopping");
  const auto& marks = answer->message.block_crc32c();
  Buffer data;
  if (!answer->attachment.empty()) data = std::move(answer->attachment.front());
  fetched_bytes_.add(data.size_bytes());
  co_return co_await store_.install(copyset, chunk, offset_bytes, size_bytes,
                                    {marks.begin(), marks.end()}, std::move(data));
}

}  // namespace cairn::chunkserver
