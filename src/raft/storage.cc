#include "raft/storage.h"

namespace cairn::raft {

Storage::InitialState MemoryStorage::initial_state() const {
  return {.hard_state = hard_state_, .conf_state = snapshot_->metadata.conf_state};
}

Result<Entries> MemoryStorage::entries(LogIndex low, LogIndex high, uint64_t bytes_max) const {
  CHECK(low < high);
  if (low <= base_.index) return error(kCompacted, "compacted");
  if (high > last_index() + 1) return error(kEntryUnavailable, "not there");
  Entries fitting = limit_bytes(entries_.slice(low - first_index(), high - low), bytes_max);
  CHECK(!fitting.empty() && fitting.front().index == low);
  return fitting;
}

Result<Term> MemoryStorage::term(LogIndex index) const {
  if (index < base_.index) return error(kCompacted, "compacted");
  if (index == base_.index) return base_.term;
  if (index > last_index()) return error(kEntryUnavailable, "not there");
  return entries_[index - first_index()].term;
}

Status MemoryStorage::apply_snapshot(SnapshotPtr snapshot) {
  CHECK(snapshot);
  if (snapshot->metadata.index <= snapshot_->metadata.index) {
    return error(kSnapshotOutOfDate, "requested index is older than the existing snapshot");
  }
  snapshot_ = std::move(snapshot);
  base_ = {.term = snapshot_->metadata.term, .index = snapshot_->metadata.index};
  entries_.clear();
  return ok();
}

Status MemoryStorage::create_snapshot(LogIndex index, ConfState conf_state, Buffer data) {
  if (index <= snapshot_->metadata.index) {
    return error(kSnapshotOutOfDate, "requested index is older than the existing snapshot");
  }
  if (index > last_index()) return error(kEntryUnavailable, "no entry at the snapshot's index");
  const Term at = TRY(term(index));
  snapshot_ = std::make_shared<Snapshot>(
      Snapshot{.metadata = {.conf_state = std::move(conf_state), .index = index, .term = at},
               .data = std::move(data)});
  return ok();
}

Status MemoryStorage::compact(LogIndex index) {
  if (index <= base_.index) {
    return error(kCompacted, "requested index is unavailable due to compaction");
  }
  if (index > last_index()) return error(kEntryUnavailable, "requested entry is unavailable");
  const Term at = TRY(term(index));
  entries_.drop_front(index - base_.index);
  base_ = {.term = at, .index = index};
  CHECK(entries_.empty() || entries_.front().index == first_index());
  return ok();
}

void MemoryStorage::append(std::span<const Entry> entries) {
  if (entries.empty()) return;
  CHECK(entries.front().index <= last_index() + 1, "an append would leave a hole in the log");
  // What a snapshot has covered meanwhile is dropped.
  while (!entries.empty() && entries.front().index <= base_.index) entries = entries.subspan(1);
  if (entries.empty()) return;
  entries_.truncate(entries.front().index - first_index());
  entries_.append(entries);
  CHECK(entries_.back().index == last_index());
}

}  // namespace cairn::raft
