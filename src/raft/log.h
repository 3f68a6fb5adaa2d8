/// Log: the node's log, stable part (Storage) and unstable part as one, and how far it is
/// committed, being applied and applied.
///
/// Invariant: applied <= applying <= committed <= last_index().
#pragma once

#include <optional>

#include "raft/log_unstable.h"
#include "raft/storage.h"

namespace cairn::raft {

class Log {
 public:
  /// `applying_bytes_max`: see Config::committed_size_per_ready_max. `storage` outlives the log.
  Log(const Storage& storage, uint64_t applying_bytes_max);

  LogIndex committed() const { return committed_; }
  LogIndex applying() const { return applying_; }
  LogIndex applied() const { return applied_; }
  LogIndex first_index() const;
  LogIndex last_index() const;
  EntryId last_entry_id() const;
  /// Nothing if the entry is compacted or not there yet.
  std::optional<Term> term(LogIndex index) const;
  bool matches(EntryId id) const { return term(id.index) == id.term; }
  /// Whether a log that ends in `last` is at least as complete as this one (Raft, 5.4.1).
  bool is_up_to_date(EntryId last) const;
  const UnstableLog& unstable() const { return unstable_; }

  /// [low, high) as far as `bytes_max` allows, at least one entry; nothing if compacted.
  std::optional<Entries> slice(LogIndex low, LogIndex high, uint64_t bytes_max) const;
  std::optional<Entries> entries_from(LogIndex low, uint64_t bytes_max) const;
  /// Errors: kSnapshotTemporarilyUnavailable.
  Result<SnapshotPtr> snapshot() const;

  /// A follower's append: if the log matches at `previous`, takes `entries`, advances the commit
  /// index to at most `committed`, and returns the last index that is known to match.
  /// `conflict` (optional) receives the index from which entries were replaced.
  std::optional<LogIndex> maybe_append(EntryId previous, LogIndex committed, const Entries& entries,
                                       LogIndex* conflict = nullptr);
  /// Whether what a leader says stands at `previous` and behind it differs from what is committed
  /// here. Compacted entries tell nothing.
  bool contradicts_committed(EntryId previous, const Entries& entries) const;
  /// A leader's append. Returns the new last index.
  LogIndex append(Entries entries);
  /// The highest entry at or before `index` with a term of at most `term`: before it the logs may
  /// meet. The term is zero where it is not known.
  EntryId find_conflict_by_term(LogIndex index, Term term) const;

  /// Commits up to `at` if its term is that of the entry there: a leader must not commit an entry
  /// of an older term by counting (Raft, 5.4.2).
  bool maybe_commit(EntryId at);
  void commit_to(LogIndex index);
  void restore(SnapshotPtr snapshot);

  /// What to write.
  Entries next_unstable_entries() const { return unstable_.next_entries(); }
  bool has_next_unstable_entries() const { return unstable_.has_next_entries(); }
  bool has_unstable_entries() const { return unstable_.count() > 0; }
  SnapshotPtr next_unstable_snapshot() const { return unstable_.next_snapshot(); }
  bool has_unstable_snapshot() const { return unstable_.snapshot() != nullptr; }
  void accept_unstable() { unstable_.accept_in_progress(); }
  UnstableLog::StableOutcome stable_to(EntryId id) { return unstable_.stable_to(id); }
  void stable_snapshot_to(LogIndex index) { unstable_.stable_snapshot_to(index); }

  /// What to apply: committed entries not handed out yet, within the limit of bytes in flight.
  /// `allow_unstable`: entries may be applied while their write is under way.
  Entries next_committed_entries(bool allow_unstable) const;
  bool has_next_committed_entries(bool allow_unstable) const;
  void accept_applying(LogIndex index, uint64_t bytes, bool allow_unstable);
  void applied_to(LogIndex index, uint64_t bytes);
  uint64_t applying_bytes_max() const { return applying_bytes_max_; }

  void check_invariants() const;

 private:
  LogIndex appliable_max(bool allow_unstable) const;
  LogIndex find_conflict(const Entries& entries) const;

  const Storage& storage_;
  UnstableLog unstable_;
  LogIndex committed_;
  LogIndex applying_;  ///< handed to the state machine
  LogIndex applied_;   ///< acknowledged by the state machine
  uint64_t applying_bytes_max_;
  uint64_t applying_bytes_ = 0;   ///< of entries in (applied, applying]
  bool applying_paused_ = false;  ///< the limit is reached: wait for an acknowledgment
};

}  // namespace cairn::raft
