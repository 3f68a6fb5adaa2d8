/// CopysetSet: the copysets of one disk: found, made, joined and removed.
///
/// A removed copyset's chunks stay on the disk for HostOptions::removed_data_kept; then its files
/// go back to the chunk file pool, one copyset at a time, and the pool clears them at its own rate.
/// Threads:  one reactor.
/// Lifetime: store, pool and source outlive it; it outlives the Host that it is attached to.
/// Source:   docs/architecture.md, "How a replica comes and goes"; ADR-0010.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <vector>

#include "chunkserver/copyset.h"
#include "multiraft/host.h"
#include "wire/chunk.pb.h"

namespace cairn::chunkserver {

/// A copyset in use: it and its Node stay in their places until this is let go. Held over awaits.
class PinnedCopyset {
 public:
  PinnedCopyset(Copyset& copyset, io::Gate::Holder pin)
      : copyset_(&copyset), pin_(std::move(pin)) {}
  Copyset* operator->() const { return copyset_; }
  Copyset& operator*() const { return *copyset_; }

 private:
  Copyset* copyset_;
  io::Gate::Holder pin_;
};

class CopysetSet final : public multiraft::GroupRecycler {
 public:
  struct Options {
    uint32_t chunk_bytes = 16 * kMiB;
    uint32_t piece_bytes = 1 * kMiB;  ///< copied at once from another replica; divides a chunk
    size_t copysets_max = 10'000;
    /// How long a replica that has joined waits to be added before it may be a stray.
    Duration join_grace = std::chrono::seconds(60);
  };

  CopysetSet(io::Env env, chunk::ChunkStore& store, const pool::ChunkFilePool& pool,
             ChunkSource& source, CopysetListener& listener, Options options);

  /// Once, before Host::open; all but make() is for after it.
  void attach(multiraft::Host& host, NodeId self);
  /// The state machine of a copyset; made if there is none.
  Copyset& make(CopysetId id);

  /// Errors: kNotFound; kUnavailable: it is out of service here, or being removed; says why.
  Result<PinnedCopyset> find(CopysetId id);
  /// Those in service, by id; valid until the next suspension.
  std::vector<Copyset*> all();
  size_t count() const { return copysets_.size(); }

  /// As the request says: a founding member, or a blank replica that waits for its leader. One that
  /// is there and in service is left as it is. A blank replica also takes the place of one that is
  /// out of service, or of the remains of a removed one, whose data is deleted at once: whoever
  /// asks has committed that this member is no voter. Errors: kInvalidArgument: not a member, or no
  /// copyset. kOverloaded: as many as may be.
  ///         kUnavailable: something else is being done to it. The host's and the store's.
  io::Task<Status> create(wire::CreateCopysetRequest request);

  /// Takes the replica off this disk; its data waits before it is deleted.
  /// Errors: kNotFound. kStaleEpoch: it has a newer configuration than `epoch`: nothing was done.
  ///         kUnavailable: something else is being done to it. kIo.
  io::Task<Status> remove(CopysetId id, Epoch epoch);

  /// The same for a replica that the MDS takes for a stray. One that has joined lately is not: the
  /// leader that asked it to is about to add it, and the MDS has not heard. kUnavailable: ask
  /// again.
  io::Task<Status> remove_stray(CopysetId id, Epoch epoch);

  /// While the disk has no room for chunks: deletes what one removed copyset has left, before its
  /// time. To be called now and then.
  io::Task<void> make_room();

  // multiraft::GroupRecycler
  io::Task<Status> erase(GroupId id) override;

 private:
  /// One thing at a time is done to a copyset.
  class ChangeOf;

  io::Task<Status> found(CopysetId id, std::vector<NodeId> members);
  io::Task<Status> join(CopysetId id);
  Status check_request(const wire::CreateCopysetRequest& request) const;
  void drop_if_absent(CopysetId id);

  io::Env env_;
  chunk::ChunkStore& store_;
  const pool::ChunkFilePool& pool_;
  ChunkSource& source_;
  CopysetListener& listener_;
  const Options options_;
  multiraft::Host* host_ = nullptr;
  NodeId self_;
  std::map<CopysetId, std::unique_ptr<Copyset>> copysets_;
  std::map<CopysetId, Instant> joined_;  ///< of copysets_, those that joined since the start
  std::set<CopysetId> changing_;         ///< bounded by the callers, each of which waits
};

}  // namespace cairn::chunkserver
