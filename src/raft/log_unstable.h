/// UnstableLog: the end of the log that storage has not reported durable, and a snapshot likewise.
///
/// With asynchronous storage several writes are under way at once, and a later term may replace
/// entries whose write has begun. Three marks divide the entries:
///
///   offset <= i < in_progress   handed to storage, not yet acknowledged
///   in_progress <= i            not yet handed out
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "raft/message.h"

namespace cairn::raft {

class UnstableLog {
 public:
  explicit UnstableLog(LogIndex offset) : offset_(offset), in_progress_(offset) {}

  LogIndex offset() const { return offset_; }
  LogIndex in_progress() const { return in_progress_; }
  const SnapshotPtr& snapshot() const { return snapshot_; }
  size_t count() const { return entries_.size() - consumed_; }

  /// The index behind the snapshot, if there is one.
  std::optional<LogIndex> first_index() const;
  std::optional<LogIndex> last_index() const;
  std::optional<Term> term(LogIndex index) const;
  /// [low, high), both within what is held.
  std::span<const Entry> slice(LogIndex low, LogIndex high) const;

  /// What storage has not been handed yet.
  std::span<const Entry> next_entries() const { return held().subspan(in_progress_ - offset_); }
  SnapshotPtr next_snapshot() const { return snapshot_in_progress_ ? nullptr : snapshot_; }
  void accept_in_progress();

  enum class StableOutcome { kDone, kMissing, kIsSnapshot, kTermMismatch };
  /// Storage has made everything up to `id` durable. Only kDone changes anything: the others mean
  /// that the entries were replaced meanwhile, and another acknowledgment will come.
  StableOutcome stable_to(EntryId id);
  void stable_snapshot_to(LogIndex index);

  void restore(SnapshotPtr snapshot);
  /// Appends `entries`, dropping what they replace.
  void truncate_and_append(std::span<const Entry> entries);

  void check_invariants() const;

 private:
  std::span<const Entry> held() const {
    return std::span<const Entry>(entries_).subspan(consumed_);
  }
  void drop_consumed();

  SnapshotPtr snapshot_;
  bool snapshot_in_progress_ = false;
  LogIndex offset_;       ///< the index of the first entry held
  LogIndex in_progress_;  ///< offset_ <= in_progress_ <= offset_ + count()
  std::vector<Entry> entries_;
  size_t consumed_ = 0;  ///< entries at the front of entries_ that are stable and already emptied
};

}  // namespace cairn::raft
