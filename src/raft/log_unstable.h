/// UnstableLog: the end of the log that storage has not reported durable, and a snapshot likewise.
///
/// With asynchronous storage several writes are under way at once, and a later term may replace
/// entries whose write has begun. Three marks divide the entries:
///
///   offset <= i < in_progress   handed to storage, not yet acknowledged
///   in_progress <= i            not yet handed out
#pragma once

#include <optional>

#include "raft/message.h"

namespace cairn::raft {

class UnstableLog {
 public:
  explicit UnstableLog(LogIndex offset) : offset_(offset), in_progress_(offset) {}

  LogIndex offset() const { return offset_; }
  LogIndex in_progress() const { return in_progress_; }
  const SnapshotPtr& snapshot() const { return snapshot_; }
  size_t count() const { return entries_.size(); }

  /// The index behind the snapshot, if there is one.
  std::optional<LogIndex> first_index() const;
  std::optional<LogIndex> last_index() const;
  std::optional<Term> term(LogIndex index) const;
  /// [low, high), both within what is held.
  Entries slice(LogIndex low, LogIndex high) const;

  /// What storage has not been handed yet.
  Entries next_entries() const { return slice(in_progress_, offset_ + count()); }
  bool has_next_entries() const { return in_progress_ < offset_ + count(); }
  SnapshotPtr next_snapshot() const { return snapshot_in_progress_ ? nullptr : snapshot_; }
  void accept_in_progress();

  enum class StableOutcome { kDone, kMissing, kIsSnapshot, kTermMismatch };
  /// Storage has made everything up to `id` durable. Only kDone changes anything: the others mean
  /// that the entries were replaced meanwhile, and another acknowledgment will come.
  StableOutcome stable_to(EntryId id);
  void stable_snapshot_to(LogIndex index);

  void restore(SnapshotPtr snapshot);
  /// Appends `entries`, dropping what they replace.
  void truncate_and_append(Entries entries);

  void check_invariants() const;

 private:
  SnapshotPtr snapshot_;
  bool snapshot_in_progress_ = false;
  LogIndex offset_;       ///< the index of the first entry held
  LogIndex in_progress_;  ///< offset_ <= in_progress_ <= offset_ + count()
  Entries entries_;       ///< entries_[i].index == offset_ + i; what becomes stable leaves it
};

}  // namespace cairn::raft
