/// GroupLog: one group's log as the core reads it: every entry since the last cut, in memory but
/// for payloads that the PayloadCache has dropped. The write-ahead log holds the same entries
/// durably.
///
/// May be ahead of what is durable: the core keeps what is not stable in its own list and prefers
/// that, so an entry that stands here early is never taken for a durable one.
/// Threads: one reactor.
#pragma once

#include <deque>

#include "raft/storage.h"

namespace cairn::multiraft {

class GroupLog : public raft::Storage {
 public:
  /// A log that begins after `base`, with the state machine's state as of `snapshot`, which is at
  /// or after `base`.
  GroupLog(raft::HardState hard_state, raft::EntryId base, raft::SnapshotPtr snapshot);

  InitialState initial_state() const override;
  Result<raft::Entries> entries(LogIndex low, LogIndex high, uint64_t bytes_max) const override;
  Result<Term> term(LogIndex index) const override;
  LogIndex first_index() const override { return base_.index + 1; }
  LogIndex last_index() const override { return base_.index + entries_.size(); }
  /// Errors: kSnapshotTemporarilyUnavailable: the last one is older than need_snapshot_from() asks,
  /// or describes a partial state.
  Result<raft::SnapshotPtr> snapshot() const override;

  /// Appends, replacing everything from the first of `entries` on.
  void append(std::span<const raft::Entry> entries);
  /// Puts an entry that was read back from the write-ahead log; in order, touching the log.
  void append_recovered(raft::Entry entry);
  /// From now on snapshot() is this one; it is newer than the last.
  void set_snapshot(raft::SnapshotPtr snapshot);
  /// The last one taken, however old.
  const raft::SnapshotPtr& last_snapshot() const { return snapshot_; }
  /// A snapshot from before `index` does not name a member that was added there, which would refuse
  /// it: none is sent until there is a newer one.
  void need_snapshot_from(LogIndex index) { snapshot_needed_from_ = index; }
  bool needs_newer_snapshot() const { return snapshot_->metadata.index < snapshot_needed_from_; }
  /// The last snapshot describes a state that lacks something: nobody else may have it.
  void set_missing(uint64_t missing_count) { missing_count_ = missing_count; }
  uint64_t missing_count() const { return missing_count_; }
  bool is_partial() const { return missing_count_ > 0; }
  /// Drops the entries up to `index`, which the snapshot covers.
  void compact(LogIndex index);
  /// Forgets everything: the log begins after `snapshot`.
  void reset(raft::SnapshotPtr snapshot);

  /// Takes a payload out of memory. True also when the entry is not there any more.
  bool drop_payload(LogIndex index, Term term);
  /// The last index such that what follows up to `end` is at least `bytes` or `count` entries, but
  /// not before the log's beginning: where to cut if so much is to be kept.
  LogIndex cut_that_keeps(LogIndex end, uint64_t bytes, uint64_t count) const;

  raft::EntryId base() const { return base_; }

 private:
  const raft::Entry& at(LogIndex index) const { return entries_[index - first_index()]; }

  raft::HardState hard_state_;  ///< as recovered; only initial_state() answers with it
  raft::EntryId base_;          ///< the last entry that was cut off
  raft::SnapshotPtr snapshot_;  ///< at or after base_
  LogIndex snapshot_needed_from_;
  uint64_t missing_count_ = 0;
  std::deque<raft::Entry> entries_;
};

}  // namespace cairn::multiraft
