/// Copyset: the replicated state machine of one copyset: chunks on this disk, the fences of their
/// volumes and the windows of their writers. As leader also the place where clients' writes enter.
///
/// What an entry does depends on the log alone, so that all replicas decide alike; whether there is
/// room for it is asked before it is proposed. A chunk may come and go under one id: a discard
/// takes it away, the next write makes it anew. Replaying that is idempotent like any write, since
/// whatever the disk holds when a replay begins, the last discard in it ends with no chunk.
/// Threads:  one reactor.
/// Lifetime: made and owned by the Chunkserver, outlives its Node.
/// Source:   docs/architecture.md, "A write, step by step"; docs/formats/chunk-op.md.
#pragma once

#include <deque>
#include <map>
#include <set>

#include "chunkserver/block_locks.h"
#include "chunkserver/chunk_source.h"
#include "chunkserver/copy_watch.h"
#include "chunkserver/scan_compare.h"
#include "chunkserver/writer_windows.h"
#include "io/env.h"
#include "io/sync.h"
#include "multiraft/node.h"
#include "multiraft/state_machine.h"
#include "store/chunk/chunk_store.h"
#include "store/pool/chunk_file_pool.h"
#include "wire/chunk.pb.h"
#include "wire/chunk_op.h"

namespace cairn::chunkserver {

/// Hears what the MDS should know soon.
class CopysetListener {
 public:
  virtual ~CopysetListener() = default;
  /// A copyset has got or lost its leadership, or failed. Must not call back.
  virtual void on_copyset_news() = 0;
  /// The copyset's replica here lacks chunks: copy_next_piece() is to be called until it does not.
  virtual void on_incomplete(CopysetId copyset) = 0;
};

class Copyset final : public multiraft::StateMachine {
 public:
  Copyset(io::Env env, CopysetId id, chunk::ChunkStore& store, const pool::ChunkFilePool& pool,
          ChunkSource& source, uint32_t chunk_bytes, uint32_t piece_bytes);

  CopysetId id() const { return id_; }
  Epoch epoch() const { return epoch_; }
  /// Null until the group has been made.
  multiraft::Node* node() const { return node_; }
  /// `self` is this member's name in the group.
  void attach(multiraft::Node& node, NodeId self) {
    node_ = &node;
    self_ = self;
  }
  /// Outlives this.
  void set_listener(CopysetListener& listener) { listener_ = &listener; }

  /// What a client wants done; offset and size may be any within the chunk.
  struct Write {
    wire::ChunkOp op;  ///< offset and size are those of the request
    Buffer data;
  };
  /// Replicated and applied here on success; the index is zero if nothing had to be done.
  /// Errors: those of Node::apply; kPreconditionFailed: a late copy of an answered write;
  /// kStaleFence; kNoSpace.
  io::Task<Result<LogIndex>> write(Write write);
  /// What a client wants to read; size > 0, and the range lies within the chunk.
  struct Read {
    ChunkId chunk;
    VolumeId volume;
    Fence fence;
    uint32_t offset_bytes = 0;
    uint32_t size_bytes = 0;
  };
  /// Linearizable, against raise_fence() too. A block that has rotted is repaired first. Errors:
  /// those of Node::read_barrier; kStaleFence; kCorrupt: it has rotted in all
  /// replicas; kUnavailable: one that may have it does not answer now.
  io::Task<Result<Buffer>> read(Read read);
  io::Task<Result<LogIndex>> remove_chunk(wire::ChunkOp op);
  /// How many of these exist, by what this leader has applied. Errors: kNotLeader.
  Result<uint32_t> count_existing(std::span<const ChunkId> chunks) const;
  /// Ordered in the log on success: no read or write of the volume with an older fence begins or
  /// takes effect from here on, whoever leads. Errors: those of Node::apply; kStaleFence: the
  /// fence is higher already.
  io::Task<Status> raise_fence(VolumeId volume, Fence fence);

  /// Replaces the rotten blocks of a range (whole blocks) by those of another replica.
  /// Errors: kCorrupt: they have rotted in all replicas; kUnavailable: one that may have them does
  /// not answer now; kClosed, kIo.
  io::Task<Status> repair(ChunkId chunk, uint32_t offset_bytes, uint32_t size_bytes);

  // Catching up: after on_snapshot_load the replica lacks every chunk that the leader had, and gets
  // them in order. Entries for chunks below the boundary are applied, those for chunks above it are
  // only kept in the log: what they did comes with the chunk.

  /// Compares the next piece with another replica's and copies what differs. Nothing is done if the
  /// replica is complete. Errors: kUnavailable: nobody could give it, try again; kNoSpace; kClosed,
  /// kIo.
  io::Task<Status> copy_next_piece();
  bool is_complete() const { return missing_.empty(); }
  size_t chunks_missing_count() const { return missing_.size(); }
  /// Whether its blocks are those of its applied index: kUnavailable while it is being caught up,
  /// and until it has applied what the copied blocks hold already.
  Status check_comparable() const;

  // Scanning: every replica notes a chunk's marks at one place of the log, which the scan orders.

  /// Proposes that place and returns its index. Errors: those of write().
  io::Task<Result<LogIndex>> propose_scan(ChunkId chunk);
  /// The marks as of the scan at `index`, and which blocks have rotted since or before.
  /// Errors: kUnavailable: it is not applied here yet, is forgotten, or this replica is being
  /// caught up; kIo, kClosed.
  io::Task<Result<ScanTable>> scan_table(ChunkId chunk, LogIndex index);
  /// Makes these blocks, ascending, what `source` has, but for those that are written meanwhile.
  /// Errors: kUnavailable: it gave nothing (more); kIo, kClosed, kInvalidArgument.
  io::Task<Status> replace_blocks(ChunkId chunk, std::vector<uint32_t> blocks, NodeId source);

  // multiraft::StateMachine
  io::Task<Status> on_apply(std::span<multiraft::Command> commands) override;
  void on_epoch(Epoch epoch, LogIndex index) override;
  io::Task<Result<multiraft::SavedState>> on_snapshot_save() override;
  io::Task<Status> on_recover(Buffer data) override;
  io::Task<Status> on_snapshot_load(Buffer data, NodeId source) override;
  uint64_t missing_count() const override { return missing_.size(); }
  void on_leader_start(Term term) override;
  void on_leader_stop() override;
  void on_error(const Error& reason) override;

 private:
  io::Task<Status> apply_one(multiraft::Command* command);
  io::Task<Result<LogIndex>> write_whole_blocks(wire::ChunkOp op, Buffer data);
  io::Task<Result<LogIndex>> write_partial_blocks(wire::ChunkOp op, Buffer data);
  io::Task<Result<Buffer>> merge(ChunkId chunk, wire::ChunkOp whole, wire::ChunkOp part,
                                 Buffer data);
  Status check_space(const wire::ChunkOp& op) const;
  /// The chunk is gone, and needs no copy to be complete: what a delete and a discard do.
  io::Task<Status> apply_removal(ChunkId chunk);
  io::Task<Status> apply_to_store(const wire::ChunkOp& op, const Buffer& payload);

  io::Task<Status> apply_scan(ChunkId chunk, LogIndex index);

  // copyset_copy.cc
  struct Range {
    ChunkId chunk;
    uint32_t offset_bytes = 0;
    uint32_t size_bytes = 0;
  };
  enum class CopyWhat : uint8_t {
    kAll,      ///< to catch up: from any complete replica
    kReplace,  ///< the same of blocks that differ: from the replica that is named
    kRotten,   ///< only blocks that do not match their marks
  };
  enum class Copied : uint8_t { kBlocks, kSourceHasNoChunk };
  io::Task<Result<Buffer>> read_blocks(Range range);
  io::Task<Status> repair_from_others(Range range);
  io::Task<Result<Copied>> copy_range(Range range, CopyWhat what, NodeId source);
  io::Task<Result<Copied>> copy_from_anyone(Range range, CopyWhat what);
  void finish_chunk(ChunkId chunk);
  /// The chunk is above the boundary: what the log does to it comes with the copy.
  bool is_only_kept(ChunkId chunk) const;
  Status check_serves() const;
  std::vector<NodeId> other_members() const;
  LogIndex started_index() const;
  /// kStaleFence if what has been applied says that the volume has a newer owner.
  Status check_fence(VolumeId volume, Fence fence, const char* not_done) const;
  BlockLocks::Range blocks_of(const wire::ChunkOp& op) const;
  Buffer describe() const;
  static Result<wire::CopysetSnapshot> decode_snapshot(ByteView data);
  Status restore(const wire::CopysetSnapshot& snapshot);

  io::Env env_;
  CopysetId id_;
  chunk::ChunkStore& store_;
  const pool::ChunkFilePool& pool_;
  ChunkSource& source_;
  const uint32_t chunk_bytes_;
  const uint32_t piece_bytes_;  ///< of a chunk, copied at once
  multiraft::Node* node_ = nullptr;
  NodeId self_;
  CopysetListener* listener_ = nullptr;
  Epoch epoch_;
  std::map<VolumeId, Fence> fences_;  ///< of volumes that were ever fenced; none is zero
  WriterWindows writers_;
  BlockLocks locks_;

  /// The last scans, oldest first.
  struct NotedTable {
    LogIndex index;
    ChunkId chunk;
    std::vector<uint32_t> marks;
  };
  static constexpr size_t kNotedTablesMax = 4;
  std::deque<NotedTable> noted_tables_;

  std::set<ChunkId> missing_;     ///< the first one is at the boundary
  bool is_copying_ = false;       ///< pieces of the first one have been asked for
  uint32_t copied_bytes_ = 0;     ///< of the first one
  bool awaits_adoption_ = false;  ///< a snapshot was loaded and its index is not known yet
  uint64_t loads_count_ = 0;      ///< tells a copy that the state was replaced meanwhile
  LogIndex settled_at_;           ///< blocks that were copied here are not newer than this

  LogIndex started_;  ///< the last entry whose apply has begun here; see copy_range()
  CopyWatches watches_;
  io::Semaphore copy_turn_;    ///< of what installs blocks, or removes or replaces chunks meanwhile
  io::Semaphore repair_turn_;  ///< one repair at a time
  Counter& repaired_blocks_;
  Counter& failed_repairs_;
};

}  // namespace cairn::chunkserver
