#include "chunkserver/chunk_fetcher.h"

#include "wire/chunk.pb.h"
#include "wire/methods.h"

namespace cairn::chunkserver {

namespace {

wire::FetchChunkRequest to_wire(const ChunkSource::Request& from) {
  wire::FetchChunkRequest request;
  request.set_copyset(from.copyset.value());
  request.set_chunk(from.chunk.value());
  request.set_offset_bytes(from.offset_bytes);
  request.set_size_bytes(from.size_bytes);
  request.set_applied_index_min(from.applied_min.value());
  request.mutable_have_block_crc32c()->Add(from.have.begin(), from.have.end());
  request.set_is_repair(from.is_repair);
  return request;
}

}  // namespace

ChunkFetcher::ChunkFetcher(io::Env env, rpc::Client& client, const multiraft::PeerDirectory& peers,
                           FetchOptions options)
    : client_(client),
      peers_(peers),
      options_(options),
      inflight_(env.executor, options.pieces_inflight_max),
      rate_(env.clock, options.bytes_per_second),
      fetched_bytes_(env.metrics.counter("cairn_chunkserver_fetched_bytes_total",
                                         "Bytes of chunks copied here from other replicas")) {}

io::Task<Result<ChunkSource::Piece>> ChunkFetcher::fetch(Request request, NodeId source) {
  // Repairs are few and short, and clients wait for them: they stand in no line.
  io::Semaphore::Permit permit;
  if (!request.is_repair) {
    permit = co_await inflight_.acquire();
    co_await rate_.wait();
  }
  if (is_stopping_) co_return error(Errc::kClosed, "stopping");
  const io::Address* address = peers_.find(source);
  if (!address) {
    co_return error(Errc::kUnavailable, "the address of node " + to_string(source) +
                                            " is not known; nothing was fetched");
  }
  auto answer = co_await client_.call<wire::FetchChunkReply>(
      *address, wire::Method::kFetchChunk, to_wire(request), {},
      request.is_repair ? options_.repair_timeout : options_.call_timeout);
  if (is_stopping_) co_return error(Errc::kClosed, "stopping");
  if (!answer) {
    // The source's trouble, an error of its disk say, must not be taken for one of this disk.
    const bool is_rotten = request.is_repair && answer.code() == Errc::kCorrupt;
    co_return error(is_rotten ? Errc::kCorrupt : Errc::kUnavailable,
                    "node " + to_string(source) + " gave no data: " + answer.error().describe());
  }
  Piece piece;
  piece.committed = LogIndex(answer->message.committed_index());
  piece.is_absent = answer->message.is_absent();
  const auto& marks = answer->message.block_crc32c();
  piece.image.block_crcs.assign(marks.begin(), marks.end());
  if (!answer->attachment.empty()) piece.image.data = std::move(answer->attachment.front());
  fetched_bytes_.add(piece.image.data.size_bytes());
  if (!request.is_repair) rate_.charge(piece.image.data.size_bytes());
  co_return piece;
}

}  // namespace cairn::chunkserver
