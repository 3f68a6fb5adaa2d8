#include "multiraft/group_log.h"

namespace cairn::multiraft {

GroupLog::GroupLog(raft::HardState hard_state, raft::EntryId base, raft::SnapshotPtr snapshot)
    : hard_state_(hard_state), base_(base), snapshot_(std::move(snapshot)) {
  CHECK(snapshot_ && snapshot_->metadata.index >= base_.index);
}

raft::Storage::InitialState GroupLog::initial_state() const {
  return {hard_state_, snapshot_->metadata.conf_state};
}

Result<raft::Entries> GroupLog::entries(LogIndex low, LogIndex high, uint64_t bytes_max) const {
  CHECK(low < high);
  if (low < first_index()) return error(raft::kCompacted, "entries are compacted");
  if (high > last_index() + 1) return error(raft::kEntryUnavailable, "entries beyond the log");
  size_t count = 0;
  for (uint64_t bytes = 0; low + count < high; ++count) {
    bytes += raft::encoded_bytes(at(low + count));
    if (count > 0 && bytes > bytes_max) break;
  }
  raft::Entries found;
  found.reserve(count);
  for (size_t i = 0; i < count; ++i) found.push_back(at(low + i));
  return found;
}

Result<raft::SnapshotPtr> GroupLog::snapshot() const {
  if (needs_newer_snapshot() || is_partial()) {
    return error(raft::kSnapshotTemporarilyUnavailable, "a newer snapshot is being taken");
  }
  return snapshot_;
}

Result<Term> GroupLog::term(LogIndex index) const {
  if (index == base_.index) return base_.term;
  if (index < base_.index) return error(raft::kCompacted, "the term is compacted");
  if (index > last_index()) return error(raft::kEntryUnavailable, "the term is beyond the log");
  return at(index).term;
}

void GroupLog::append(std::span<const raft::Entry> entries) {
  if (entries.empty()) return;
  LogIndex first = entries.front().index;
  CHECK(first <= last_index() + 1, "an append leaves no gap");
  // What is already cut off is committed: the same entries are in the snapshot.
  while (!entries.empty() && entries.front().index < first_index()) entries = entries.subspan(1);
  if (entries.empty()) return;
  first = entries.front().index;
  while (last_index() >= first) entries_.pop_back();
  entries_.insert(entries_.end(), entries.begin(), entries.end());
}

void GroupLog::append_recovered(raft::Entry entry) {
  CHECK(entry.index == last_index() + 1);
  entries_.push_back(std::move(entry));
}

void GroupLog::set_snapshot(raft::SnapshotPtr snapshot) {
  CHECK(snapshot->metadata.index >= snapshot_->metadata.index);
  CHECK(snapshot->metadata.index <= last_index());
  snapshot_ = std::move(snapshot);
}

void GroupLog::compact(LogIndex index) {
  CHECK(index <= snapshot_->metadata.index, "only what the snapshot covers is cut off");
  while (base_.index < index) {
    base_ = {entries_.front().term, entries_.front().index};
    entries_.pop_front();
  }
}

void GroupLog::reset(raft::SnapshotPtr snapshot) {
  entries_.clear();
  base_ = {snapshot->metadata.term, snapshot->metadata.index};
  snapshot_ = std::move(snapshot);
}

bool GroupLog::drop_payload(LogIndex index, Term term) {
  if (index < first_index() || index > last_index()) return true;
  raft::Entry& entry = entries_[index - first_index()];
  if (entry.term == term) entry.payload.bytes = Buffer();
  return true;
}

LogIndex GroupLog::cut_that_keeps(LogIndex end, uint64_t bytes, uint64_t count) const {
  CHECK(end <= last_index());
  uint64_t kept_bytes = 0, kept_count = 0;
  LogIndex index = end;
  while (index > base_.index && kept_bytes < bytes && kept_count < count) {
    kept_bytes += raft::encoded_bytes(at(index));
    ++kept_count;
    index = index - 1;
  }
  return index;
}

}  // namespace cairn::multiraft
