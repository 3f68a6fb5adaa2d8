/// Scan: compares the replicas of the copysets that this chunkserver leads, chunk by chunk, and
/// mends what differs from the majority or has rotted.
///
/// For each chunk an entry goes through the log; every replica notes its marks where it applies it,
/// so that all are compared at one place, whatever is written meanwhile. Then each reads its
/// blocks. A copyset is scanned when its interval is over, or sooner when asked; one at a time.
/// Bounds:   bytes_per_second of chunks, on each replica; one chunk at a time.
/// Threads:  one reactor. Lifetime: the context outlives it; stop() before Host::stop().
/// Source:   docs/architecture.md, "Finding what has rotted".
#pragma once

#include <map>
#include <set>

#include "chunkserver/rate_limit.h"
#include "chunkserver/service.h"
#include "rpc/client.h"
#include "wire/scan.pb.h"

namespace cairn::chunkserver {

class Scan {
 public:
  struct Options {
    /// Between two scans of a copyset; counted from the start of this process, a part of it for the
    /// first one, which differs from copyset to copyset.
    Duration interval = std::chrono::hours(24 * 7);
    uint64_t bytes_per_second = 64 * kMiB;
    Duration look_interval = 10s;
    Duration call_timeout = 30s;  ///< a replica reads a chunk meanwhile
  };

  Scan(ServiceContext& context, rpc::Client& client, Options options);
  void start();
  io::Task<void> stop();

  /// Scans a copyset soon; none: all that are led here. Returns how many wait or run now.
  /// Errors: those of find_copyset; kNotLeader.
  Result<size_t> request(CopysetId copyset);
  wire::ScanStatusReply status() const;

 private:
  io::Task<void> run();
  io::Task<void> wait();
  void add_due();
  io::Task<void> scan_copyset(CopysetId copyset);
  /// False: this chunkserver leads the copyset no more, or it is gone.
  io::Task<bool> scan_chunk(CopysetId copyset, ChunkId chunk);
  io::Task<Result<ScanTable>> table_of(Copyset* copyset, NodeId node, ChunkId chunk,
                                       LogIndex index);
  io::Task<Result<ScanTable>> ask(NodeId node, CopysetId copyset, ChunkId chunk, LogIndex index);
  io::Task<void> mend(Copyset* copyset, ChunkId chunk, ScanFinding finding);
  io::Task<Status> tell(CopysetId copyset, ChunkId chunk, const ScanFinding& finding);
  void note(CopysetId copyset, ChunkId chunk, const ScanVerdict& verdict);

  ServiceContext& context_;
  rpc::Client& client_;
  const Options options_;
  io::Gate gate_;
  io::Event wake_;
  io::Timer timer_;
  RateLimit rate_;
  std::set<CopysetId> waiting_;
  CopysetId running_;
  std::map<CopysetId, Instant> due_at_;
  std::map<CopysetId, wire::ScanStatus> results_;  ///< of copysets that were scanned from here
  Counter& scanned_chunks_;
  Counter& rotten_blocks_;
  Counter& differing_blocks_;
  Counter& undecided_blocks_;
};

}  // namespace cairn::chunkserver
