/// ChunkFetcher: copies chunks from a copyset's leader to this lagging replica, piece by piece.
/// Threads: one reactor.
#pragma once

#include "chunkserver/copyset.h"
#include "multiraft/peers.h"
#include "rpc/client.h"

namespace cairn::chunkserver {

struct FetchOptions {
  uint32_t chunk_bytes = 16 * kMiB;
  uint32_t piece_bytes = 1 * kMiB;  ///< a multiple of 4096
  size_t pieces_inflight_max = 4;   ///< of all copysets together
  Duration call_timeout = 5s;
};

class ChunkFetcher final : public ChunkSource {
 public:
  ChunkFetcher(io::Env env, rpc::Client& client, const multiraft::PeerDirectory& peers,
               chunk::ChunkStore& store, FetchOptions options);

  /// Errors: kUnavailable: the source gives nothing, whatever its trouble is; kClosed: stopping;
  /// the local store's.
  io::Task<Status> fetch(CopysetId copyset, ChunkId chunk, NodeId source) override;
  /// Fetches end with kClosed, after the calls that are under way.
  void begin_stop() { is_stopping_ = true; }

 private:
  io::Task<Status> fetch_piece(CopysetId copyset, ChunkId chunk, NodeId source,
                               uint32_t offset_bytes);

  rpc::Client& client_;
  const multiraft::PeerDirectory& peers_;
  chunk::ChunkStore& store_;
  FetchOptions options_;
  io::Semaphore inflight_;
  Counter& fetched_bytes_;
  bool is_stopping_ = false;
};

}  // namespace cairn::chunkserver
