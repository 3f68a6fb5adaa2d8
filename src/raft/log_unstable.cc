#include "raft/log_unstable.h"

#include <algorithm>

#include "base/planted_bug.h"

namespace cairn::raft {

void UnstableLog::check_invariants() const {
  CHECK(offset_ <= in_progress_ && in_progress_ <= offset_ + count());
  CHECK(count() == 0 || entries_.front().index == offset_);
  CHECK(count() == 0 || entries_.back().index + 1 == offset_ + count());
}

std::optional<LogIndex> UnstableLog::first_index() const {
  if (!snapshot_) return std::nullopt;
  return snapshot_->metadata.index + 1;
}

std::optional<LogIndex> UnstableLog::last_index() const {
  if (count() > 0) return offset_ + (count() - 1);
  if (snapshot_) return snapshot_->metadata.index;
  return std::nullopt;
}

std::optional<Term> UnstableLog::term(LogIndex index) const {
  if (index < offset_) {
    if (snapshot_ && snapshot_->metadata.index == index) return snapshot_->metadata.term;
    return std::nullopt;
  }
  if (index - offset_ >= count()) return std::nullopt;
  return entries_[index - offset_].term;
}

Entries UnstableLog::slice(LogIndex low, LogIndex high) const {
  CHECK(offset_ <= low && low <= high && high <= offset_ + count());
  return entries_.slice(low - offset_, high - low);
}

void UnstableLog::accept_in_progress() {
  in_progress_ = offset_ + count();
  if (snapshot_) snapshot_in_progress_ = true;
}

UnstableLog::StableOutcome UnstableLog::stable_to(EntryId id) {
  const std::optional<Term> held_term = term(id.index);
  if (!held_term) return StableOutcome::kMissing;
  if (id.index < offset_) return StableOutcome::kIsSnapshot;
  // The write that completed may be of an entry that a newer term has replaced since.
  if (*held_term != id.term && !is_planted(PlantedBug::kStaleStorageAck)) {
    return StableOutcome::kTermMismatch;
  }
  entries_.drop_front(id.index + 1 - offset_);
  offset_ = id.index + 1;
  in_progress_ = std::max(in_progress_, offset_);
  check_invariants();
  return StableOutcome::kDone;
}

void UnstableLog::stable_snapshot_to(LogIndex index) {
  if (!snapshot_ || snapshot_->metadata.index != index) return;
  snapshot_ = nullptr;
  snapshot_in_progress_ = false;
}

void UnstableLog::restore(SnapshotPtr snapshot) {
  CHECK(snapshot && !snapshot->empty());
  offset_ = snapshot->metadata.index + 1;
  in_progress_ = offset_;
  entries_.clear();
  snapshot_ = std::move(snapshot);
  snapshot_in_progress_ = false;
}

void UnstableLog::truncate_and_append(Entries entries) {
  CHECK(!entries.empty());
  const LogIndex from = entries.front().index;
  CHECK(from <= offset_ + count(), "an append would leave a hole in the log");
  if (from <= offset_) {
    // Everything held is replaced, and stable entries with it: writing starts over from here.
    entries_ = std::move(entries);
    offset_ = from;
    in_progress_ = from;
  } else {
    // Writes under way for what is replaced do not count any more.
    entries_.truncate(from - offset_);
    in_progress_ = std::min(in_progress_, from);
    entries_.append(entries);
  }
  check_invariants();
}

}  // namespace cairn::raft
