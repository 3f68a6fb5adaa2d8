#include "raft/log.h"

#include <algorithm>
#include <limits>

#include "base/planted_bug.h"

namespace cairn::raft {

Log::Log(const Storage& storage, uint64_t applying_bytes_max)
    : storage_(storage),
      unstable_(storage.last_index() + 1),
      committed_(storage.first_index() - 1),
      applying_(committed_),
      applied_(committed_),
      applying_bytes_max_(applying_bytes_max) {
  CHECK(applying_bytes_max > 0);
  CHECK(storage.first_index() <= storage.last_index() + 1);
}

void Log::check_invariants() const {
  CHECK(applied_ <= applying_ && applying_ <= committed_);
  CHECK(committed_ <= last_index());
}

LogIndex Log::first_index() const {
  const auto unstable = unstable_.first_index();
  return unstable ? *unstable : storage_.first_index();
}

LogIndex Log::last_index() const {
  const auto unstable = unstable_.last_index();
  return unstable ? *unstable : storage_.last_index();
}

EntryId Log::last_entry_id() const {
  const LogIndex index = last_index();
  const std::optional<Term> at = term(index);
  CHECK(at, "the term of the last entry is always known");
  return {.term = *at, .index = index};
}

std::optional<Term> Log::term(LogIndex index) const {
  if (const auto unstable = unstable_.term(index)) return unstable;
  // The term just before the first entry is kept, to match appends against.
  if (index + 1 < first_index() || index > last_index()) return std::nullopt;
  auto stable = storage_.term(index);
  if (stable) return *stable;
  CHECK(stable.code() == kCompacted || stable.code() == kEntryUnavailable, "storage failed");
  return std::nullopt;
}

bool Log::is_up_to_date(EntryId last) const {
  const EntryId own = last_entry_id();
  return last.term > own.term || (last.term == own.term && last.index >= own.index);
}

std::optional<Entries> Log::slice(LogIndex low, LogIndex high, uint64_t bytes_max) const {
  CHECK(low <= high && high <= last_index() + 1);
  if (low < first_index()) return std::nullopt;
  if (low == high) return Entries();
  const LogIndex offset = unstable_.offset();
  if (low >= offset) {
    return limit_bytes(unstable_.slice(low, high), bytes_max);
  }
  const LogIndex cut = std::min(high, offset);
  auto stable = storage_.entries(low, cut, bytes_max);
  if (!stable && stable.code() == kCompacted) return std::nullopt;
  CHECK(stable.ok(), "storage does not have what it reported stable");
  Entries entries = std::move(stable).value();
  if (high <= offset || entries.size() < cut - low) return entries;
  // All of the stable part fitted; the unstable part follows within what is left.
  const uint64_t bytes = encoded_bytes(entries);
  if (bytes >= bytes_max) return entries;
  const Entries rest = limit_bytes(unstable_.slice(offset, high), bytes_max - bytes);
  // limit_bytes() lets one entry through whatever its size; here it is not the only one.
  if (rest.size() == 1 && bytes + encoded_bytes(rest) > bytes_max) return entries;
  entries.append(rest);
  return entries;
}

std::optional<Entries> Log::entries_from(LogIndex low, uint64_t bytes_max) const {
  const LogIndex last = last_index();
  if (low > last) return Entries();
  return slice(low, last + 1, bytes_max);
}

Result<SnapshotPtr> Log::snapshot() const {
  if (unstable_.snapshot()) return unstable_.snapshot();
  return storage_.snapshot();
}

std::optional<LogIndex> Log::maybe_append(EntryId previous, LogIndex committed,
                                          const Entries& entries, LogIndex* conflict) {
  if (!matches(previous)) return std::nullopt;
  const LogIndex last_new = previous.index + entries.size();
  LogIndex from = find_conflict(entries);
  if (is_planted(PlantedBug::kTruncateAfterAppend) && from.is_zero() && !entries.empty() &&
      entries.front().index > committed_) {
    from = entries.front().index;
  }
  if (!from.is_zero()) {
    CHECK(from > committed_, "a committed entry would be replaced");
    if (conflict && from <= last_index()) *conflict = from;
    const size_t known_count = from - (previous.index + 1);
    append(entries.slice(known_count, entries.size() - known_count));
  }
  commit_to(std::min(committed, last_new));
  return last_new;
}

bool Log::contradicts_committed(EntryId previous, const Entries& entries) const {
  const auto differs = [this](Term said, LogIndex index) {
    return index <= committed_ && said != term(index).value_or(said);
  };
  return differs(previous.term, previous.index) ||
         std::ranges::any_of(entries, [&](const Entry& e) { return differs(e.term, e.index); });
}

LogIndex Log::append(Entries entries) {
  if (!entries.empty()) {
    CHECK(entries.front().index > committed_, "a committed entry would be replaced");
    unstable_.truncate_and_append(std::move(entries));
  }
  return last_index();
}

// The first of `entries` that this log does not have; zero if it has them all.
LogIndex Log::find_conflict(const Entries& entries) const {
  for (const Entry& entry : entries) {
    if (!matches({.term = entry.term, .index = entry.index})) return entry.index;
  }
  return LogIndex(0);
}

EntryId Log::find_conflict_by_term(LogIndex index, Term limit) const {
  for (; !index.is_zero(); index = index - 1) {
    const std::optional<Term> own = term(index);
    // Unknown means compacted (or never there): it may match, and nothing earlier is known better.
    if (!own) return {.term = Term(0), .index = index};
    if (*own <= limit) return {.term = *own, .index = index};
  }
  return {};
}

bool Log::maybe_commit(EntryId at) {
  if (at.term.is_zero() || at.index <= committed_ || !matches(at)) return false;
  commit_to(at.index);
  return true;
}

void Log::commit_to(LogIndex index) {
  if (index <= committed_) return;
  CHECK(index <= last_index(), "committed beyond the log's end: was the log truncated or lost?");
  committed_ = index;
}

void Log::restore(SnapshotPtr snapshot) {
  CHECK(snapshot->metadata.index > committed_, "a snapshot would undo committed entries");
  committed_ = snapshot->metadata.index;
  unstable_.restore(std::move(snapshot));
}

LogIndex Log::appliable_max(bool allow_unstable) const {
  return allow_unstable ? committed_ : std::min(committed_, unstable_.offset() - 1);
}

bool Log::has_next_committed_entries(bool allow_unstable) const {
  // A snapshot under way comes first: what follows it applies on top of it.
  if (applying_paused_ || has_unstable_snapshot()) return false;
  return applying_ < appliable_max(allow_unstable);
}

Entries Log::next_committed_entries(bool allow_unstable) const {
  if (!has_next_committed_entries(allow_unstable)) return {};
  CHECK(applying_bytes_ < applying_bytes_max_, "else it would be paused");
  auto entries = slice(applying_ + 1, appliable_max(allow_unstable) + 1,
                       applying_bytes_max_ - applying_bytes_);
  CHECK(entries, "entries were compacted before they were applied");
  return *std::move(entries);
}

void Log::accept_applying(LogIndex index, uint64_t bytes, bool allow_unstable) {
  CHECK(applying_ < index && index <= committed_);
  applying_ = index;
  applying_bytes_ += bytes;
  // Paused too when the limit cut the batch short: otherwise a stream of small batches would
  // follow, each just under what is left.
  applying_paused_ =
      applying_bytes_ >= applying_bytes_max_ || index < appliable_max(allow_unstable);
}

void Log::applied_to(LogIndex index, uint64_t bytes) {
  CHECK(applied_ <= index && index <= committed_, "applied goes forward, up to what is committed");
  applied_ = index;
  applying_ = std::max(applying_, index);
  applying_bytes_ -= std::min(applying_bytes_, bytes);
  applying_paused_ = applying_bytes_ >= applying_bytes_max_;
}

}  // namespace cairn::raft
