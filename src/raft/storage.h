/// Storage: the log as far as it is stable, and the state that outlives a restart, as the core
/// reads them. The host writes; the core only reads, synchronously, so answers come from memory.
#pragma once

#include "base/result.h"
#include "raft/message.h"

namespace cairn::raft {

/// The entry was compacted away: only a snapshot has it.
inline constexpr Errc kCompacted = Errc::kNotFound;
/// The entry lies beyond the end of the stable log.
inline constexpr Errc kEntryUnavailable = Errc::kUnavailable;
/// snapshot(): being made; ask again.
inline constexpr Errc kSnapshotTemporarilyUnavailable = Errc::kUnavailable;
/// The snapshot is not newer than the log's start.
inline constexpr Errc kSnapshotOutOfDate = Errc::kPreconditionFailed;

class Storage {
 public:
  virtual ~Storage() = default;

  struct InitialState {
    HardState hard_state;
    ConfState conf_state;
  };
  virtual InitialState initial_state() const = 0;

  /// Entries [low, high), as many as fit in `bytes_max` (encoded_bytes) but at least one.
  /// low < high. Errors: kCompacted, kEntryUnavailable.
  virtual Result<Entries> entries(LogIndex low, LogIndex high, uint64_t bytes_max) const = 0;
  /// The term of the entry at `index`, which is in [first_index() - 1, last_index()]: that of the
  /// last compacted entry is kept, to match appends against.
  /// Errors: kCompacted, kEntryUnavailable.
  virtual Result<Term> term(LogIndex index) const = 0;
  /// The first entry that is there, or would be if the log were not empty.
  virtual LogIndex first_index() const = 0;
  /// The last entry that is there; first_index() - 1 if the log is empty.
  virtual LogIndex last_index() const = 0;
  /// A snapshot to send to a follower that is too far behind.
  /// Errors: kSnapshotTemporarilyUnavailable.
  virtual Result<SnapshotPtr> snapshot() const = 0;
};

/// A Storage in memory: for tests, and as the log cache under a durable one.
class MemoryStorage : public Storage {
 public:
  InitialState initial_state() const override;
  Result<Entries> entries(LogIndex low, LogIndex high, uint64_t bytes_max) const override;
  Result<Term> term(LogIndex index) const override;
  LogIndex first_index() const override { return base_.index + 1; }
  LogIndex last_index() const override { return base_.index + entries_.size(); }
  Result<SnapshotPtr> snapshot() const override { return snapshot_; }

  void set_hard_state(const HardState& state) { hard_state_ = state; }
  const HardState& hard_state() const { return hard_state_; }
  /// Replaces everything by `snapshot`. Errors: kSnapshotOutOfDate.
  Status apply_snapshot(SnapshotPtr snapshot);
  /// Makes a snapshot at `index` the one that snapshot() returns; the log stays.
  /// Errors: kSnapshotOutOfDate, kEntryUnavailable.
  Status create_snapshot(LogIndex index, ConfState conf_state, Buffer data);
  /// Drops the entries up to and including `index`. Errors: kCompacted, kEntryUnavailable.
  Status compact(LogIndex index);
  /// Writes `entries`, replacing from the first of them on; they must touch the log.
  void append(std::span<const Entry> entries);

 private:
  HardState hard_state_;
  SnapshotPtr snapshot_ = std::make_shared<Snapshot>();
  EntryId base_;     ///< the last compacted entry; zero at the beginning
  Entries entries_;  ///< entries_[i].index == base_.index + 1 + i
};

}  // namespace cairn::raft
