/// ChunkFetcher: asks other replicas for parts of chunks.
/// Bounds:  pieces_inflight_max calls at once; bytes_per_second for what is not a repair.
/// Threads: one reactor.
#pragma once

#include "chunkserver/chunk_source.h"
#include "chunkserver/rate_limit.h"
#include "io/env.h"
#include "io/sync.h"
#include "multiraft/peers.h"
#include "rpc/client.h"

namespace cairn::chunkserver {

struct FetchOptions {
  size_t pieces_inflight_max = 4;  ///< of all copysets together
  uint64_t bytes_per_second = 0;   ///< of all copysets together; 0: no limit
  Duration call_timeout = 5s;
  Duration repair_timeout = 1s;  ///< a client waits for it
};

class ChunkFetcher final : public ChunkSource {
 public:
  ChunkFetcher(io::Env env, rpc::Client& client, const multiraft::PeerDirectory& peers,
               FetchOptions options);

  /// Errors, besides those of ChunkSource: kClosed: stopping.
  io::Task<Result<Piece>> fetch(Request request, NodeId source) override;
  /// Fetches end with kClosed, after the calls that are under way.
  void begin_stop() { is_stopping_ = true; }

 private:
  rpc::Client& client_;
  const multiraft::PeerDirectory& peers_;
  FetchOptions options_;
  io::Semaphore inflight_;
  RateLimit rate_;
  Counter& fetched_bytes_;
  bool is_stopping_ = false;
};

}  // namespace cairn::chunkserver
