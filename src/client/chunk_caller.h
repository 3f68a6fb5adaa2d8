/// ChunkCaller: one read or write of one chunk, carried to the copyset's leader until the deadline.
///
/// A try that times out or is refused goes on to the next member; followers name the leader. The
/// outcome of a failed write says whether it may have been carried out.
/// Threads: the reactor's.
#pragma once

#include "base/buffer.h"
#include "client/copyset_routes.h"
#include "client/options.h"
#include "client/retry.h"
#include "client/write_window.h"

namespace cairn::rpc {
class Client;
}
namespace cairn::wire {
class LeaderHint;
}

namespace cairn::client {

/// Where a range lies, and for whom.
struct ChunkRange {
  CopysetId copyset;
  ChunkId chunk;
  VolumeId volume;
  Fence fence;
  uint32_t offset_bytes = 0;
  uint32_t size_bytes = 0;
};

enum class WriteKind : uint8_t { kData, kZeroes, kDiscard };

/// Who writes; see wire/chunk.proto.
struct WriteIdentity {
  uint64_t client = 0;
  uint64_t sequence = 0;
  const WriteWindow* window = nullptr;
};

class ChunkCaller {
 public:
  ChunkCaller(io::Env env, rpc::Client& rpc, CopysetRoutes& routes, const ClientOptions& options);

  /// Exactly size_bytes bytes in one buffer.
  io::Task<Result<Buffer>> read(ChunkRange range, Instant deadline);
  /// Durable on a quorum on return. `data` is empty unless the kind is kData.
  io::Task<Status> write(ChunkRange range, WriteKind kind, Buffer data, WriteIdentity identity,
                         Instant deadline);

  /// Calls that wait give up at their next step.
  void stop() { is_stopping_ = true; }

 private:
  /// One operation's state over its tries.
  struct Tries {
    LeaderSearch search;
    Pace pace;
    uint32_t count = 0;
    bool may_be_done = false;  ///< some try's outcome is unknown
    Error last;
  };
  Tries new_tries() const;

  /// Whom to ask now; null: await another_round().
  const Member* choose(CopysetId copyset, Tries* tries);
  /// Learns the route, or pauses after everybody was asked. False: the time is up, or the route
  /// cannot be had; `tries->last` says why.
  io::Task<bool> another_round(CopysetId copyset, Tries* tries, Instant deadline);
  Duration timeout_of(const Tries& tries, Instant deadline) const;
  /// Notes the failure; true if another try makes sense.
  bool retry_after(const Error& failure, CopysetId copyset, NodeId asked, Tries* tries);
  void follow(const wire::LeaderHint& hint, CopysetId copyset, NodeId asked, Tries* tries);
  Error gave_up(bool is_write, const ChunkRange& range, const Tries& tries) const;

  io::Env env_;
  rpc::Client& rpc_;
  CopysetRoutes& routes_;
  const ClientOptions& options_;
  bool is_stopping_ = false;
  Counter& redirects_;
  Counter& retries_;
  Counter& timeouts_;
};

}  // namespace cairn::client
