#include "raft/log_unstable.h"

#include <algorithm>

#include "base/planted_bug.h"

namespace cairn::raft {

void UnstableLog::check_invariants() const {
  CHECK(consumed_ <= entries_.size());
  CHECK(offset_ <= in_progress_ && in_progress_ <= offset_ + count());
  CHECK(count() == 0 || held().front().index == offset_);
  CHECK(count() == 0 || held().back().index + 1 == offset_ + count());
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
  return held()[index - offset_].term;
}

std::span<const Entry> UnstableLog::slice(LogIndex low, LogIndex high) const {
  CHECK(offset_ <= low && low <= high && high <= offset_ + count());
  return held().subspan(low - offset_, high - low);
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
  const size_t stable_count = id.index + 1 - offset_;
  for (size_t i = 0; i < stable_count; ++i) entries_[consumed_ + i] = Entry();  // let go the bytes
  consumed_ += stable_count;
  offset_ = id.index + 1;
  in_progress_ = std::max(in_progress_, offset_);
  drop_consumed();
  check_invariants();
  return StableOutcome::kDone;
}

// Moves the rest to the front once the emptied part outweighs it: constant work an entry.
void UnstableLog::drop_consumed() {
  if (consumed_ < entries_.size() - consumed_) return;
  entries_.erase(entries_.begin(), entries_.begin() + static_cast<ptrdiff_t>(consumed_));
  consumed_ = 0;
  if (entries_.empty() && entries_.capacity() > 64) entries_ = {};  // idle groups stay small
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
  consumed_ = 0;
  snapshot_ = std::move(snapshot);
  snapshot_in_progress_ = false;
}

void UnstableLog::truncate_and_append(std::span<const Entry> entries) {
  CHECK(!entries.empty());
  const LogIndex from = entries.front().index;
  CHECK(from <= offset_ + count(), "an append would leave a hole in the log");
  if (from <= offset_) {
    // Everything held is replaced, and stable entries with it: writing starts over from here.
    entries_.clear();
    consumed_ = 0;
    offset_ = from;
    in_progress_ = from;
  } else {
    // Writes under way for what is replaced do not count any more.
    entries_.resize(consumed_ + (from - offset_));
    in_progress_ = std::min(in_progress_, from);
  }
  entries_.insert(entries_.end(), entries.begin(), entries.end());
  check_invariants();
}

}  // namespace cairn::raft
