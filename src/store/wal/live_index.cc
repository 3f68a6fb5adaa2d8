#include "store/wal/live_index.h"

#include <algorithm>
#include <ranges>

namespace cairn::wal {

namespace {

uint64_t bytes_of_entry(const EntryRef& ref) {
  return sizeof(RecordHeader) + ref.head_bytes + ref.payload_bytes;
}

EntryRef staged_ref(const RecordHeader& entry, Lsn lsn) {
  return {.term = entry.term,
          .payload_bytes = entry.payload_bytes,
          .payload_crc = entry.payload_crc,
          .head_bytes = entry.head_bytes,
          .staged_lsn = static_cast<uint32_t>(lsn.value())};
}

}  // namespace

void LiveIndex::add_segment(uint64_t sequence) {
  CHECK(sequence != 0 && sequence <= UINT32_MAX, "2^32 segments are more than a disk can wear");
  CHECK(segments_.empty() || segments_.back().sequence < sequence);
  segments_.push_back({.sequence = sequence});
}

void LiveIndex::drop_segments_below(uint64_t sequence) {
  while (!segments_.empty() && segments_.front().sequence < sequence) {
    const SegmentUse& use = segments_.front();
    CHECK(use.live_entries == 0 && use.live_bytes == 0 && use.live_small == 0,
          "a segment with live records is kept");
    segments_.pop_front();
  }
}

SegmentUse* LiveIndex::segment(uint64_t sequence) {
  const auto at = std::ranges::lower_bound(segments_, sequence, {}, &SegmentUse::sequence);
  CHECK(at != segments_.end() && at->sequence == sequence, "a record stands in an unknown segment");
  return &*at;
}

void LiveIndex::count_entry(const EntryRef& ref, int64_t sign) {
  if (!ref.is_placed()) return;
  SegmentUse& use = *segment(ref.sequence);
  CHECK(sign > 0 || use.live_entries > 0);
  use.live_entries += static_cast<uint64_t>(sign);
  use.live_bytes += static_cast<uint64_t>(sign) * bytes_of_entry(ref);
}

void LiveIndex::release(SmallRef& ref) {
  if (ref.sequence != 0) {
    SegmentUse& use = *segment(ref.sequence);
    CHECK(use.live_small > 0);
    --use.live_small;
  }
  ref = {};
}

void LiveIndex::pop_front(GroupUse& group) {
  const EntryRef& ref = group.entries.front();
  count_entry(ref, -1);
  group.live_bytes -= bytes_of_entry(ref);
  live_bytes_ -= bytes_of_entry(ref);
  group.entries.pop_front();
  ++group.first;
}

void LiveIndex::pop_back(GroupUse& group) {
  const EntryRef& ref = group.entries.back();
  count_entry(ref, -1);
  group.live_bytes -= bytes_of_entry(ref);
  live_bytes_ -= bytes_of_entry(ref);
  group.entries.pop_back();
}

void LiveIndex::load(uint64_t id, const ReplayedGroup& replayed) {
  auto [it, is_new] = groups_.try_emplace(id);
  CHECK(is_new, "a group is loaded once");
  GroupUse& group = it->second;
  const auto settle_at = [this](SmallRef& ref, Place at) {
    if (at.sequence == 0) return;
    ref = {.lsn = {}, .sequence = at.sequence, .descriptor_block = at.descriptor_block};
    ++segment(at.sequence)->live_small;
  };
  if (replayed.hard_state_place.sequence != 0) group.hard_state = replayed.hard_state;
  settle_at(group.hard_state_ref, replayed.hard_state_place);
  if (replayed.snapshot) {
    group.has_snapshot = true;
    group.snapshot_index = replayed.snapshot->index;
    group.snapshot_term = replayed.snapshot->term;
    settle_at(group.snapshot_ref, replayed.snapshot_place);
  }
  if (replayed.quarantine_place.sequence != 0) {
    group.quarantine_reason = replayed.quarantine_reason;
    settle_at(group.quarantine_ref, replayed.quarantine_place);
  }
  for (const auto& [index, entry] : replayed.entries) {
    if (group.entries.empty()) group.first = LogIndex(index);
    CHECK(group.first.value() + group.entries.size() == index, "recovered entries are contiguous");
    EntryRef ref = staged_ref(entry.header, Lsn());
    ref.sequence = static_cast<uint32_t>(entry.place.sequence);
    ref.descriptor_block = entry.place.descriptor_block;
    ref.payload_block = entry.place.payload_block;
    count_entry(ref, 1);
    group.live_bytes += bytes_of_entry(ref);
    live_bytes_ += bytes_of_entry(ref);
    group.is_in_order &= group.entries.empty() || group.entries.back().sequence <= ref.sequence;
    group.entries.push_back(ref);
  }
}

void LiveIndex::stage_entry(GroupId id, const RecordHeader& entry, Lsn lsn) {
  GroupUse& group = groups_[id.value()];
  const LogIndex index(entry.index);
  CHECK(!index.is_zero());
  CHECK(!group.has_snapshot || index > group.snapshot_index,
        "an entry that a snapshot covers is committed: nothing replaces it");
  // From the back on: at every moment what is left is a prefix of the log.
  while (!group.entries.empty() && group.last() >= index) pop_back(group);
  if (group.entries.empty()) {
    CHECK(!group.has_snapshot || index == group.snapshot_index + 1,
          "behind its snapshot a log goes on without a hole");
    group.first = index;
    group.is_in_order = true;
  }
  CHECK(group.first + group.entries.size() == index, "entries follow each other without a hole");
  const EntryRef ref = staged_ref(entry, lsn);
  group.live_bytes += bytes_of_entry(ref);
  live_bytes_ += bytes_of_entry(ref);
  group.entries.push_back(ref);
}

bool LiveIndex::stage_move(const LiveEntry& from, Lsn lsn) {
  const auto it = groups_.find(from.group.value());
  if (it == groups_.end() || from.index < it->second.first) return false;
  GroupUse& group = it->second;
  if (group.entries.empty() || group.last() < from.index) return false;
  EntryRef& ref = group.entries[from.index - group.first];
  if (ref != from.ref) return false;
  count_entry(ref, -1);
  group.is_in_order = false;
  ref.sequence = 0;
  ref.staged_lsn = static_cast<uint32_t>(lsn.value());
  return true;
}

void LiveIndex::stage_hard_state(GroupId id, const HardState& state, Lsn lsn) {
  GroupUse& group = groups_[id.value()];
  release(group.hard_state_ref);
  group.hard_state = state;
  group.hard_state_ref.lsn = lsn;
}

void LiveIndex::stage_snapshot(GroupId id, LogIndex index, Term term, bool reset_log, Lsn lsn) {
  GroupUse& group = groups_[id.value()];
  CHECK(reset_log || !group.has_snapshot || index >= group.snapshot_index, "snapshots go forward");
  while (!group.entries.empty() && (reset_log || group.first <= index)) pop_front(group);
  release(group.snapshot_ref);
  group.has_snapshot = true;
  group.snapshot_index = index;
  group.snapshot_term = term;
  group.snapshot_ref.lsn = lsn;
}

void LiveIndex::stage_quarantine(GroupId id, std::string reason, Lsn lsn) {
  GroupUse& group = groups_[id.value()];
  release(group.quarantine_ref);
  group.quarantine_reason = std::move(reason);
  group.quarantine_ref.lsn = lsn;
}

void LiveIndex::remove_group(GroupId id) {
  const auto it = groups_.find(id.value());
  if (it == groups_.end()) return;
  GroupUse& group = it->second;
  while (!group.entries.empty()) pop_back(group);
  release(group.hard_state_ref);
  release(group.snapshot_ref);
  release(group.quarantine_ref);
  CHECK(group.live_bytes == 0);
  groups_.erase(it);
}

void LiveIndex::settle(SmallRef& ref, Lsn lsn, Place place) {
  if (ref.lsn != lsn) return;
  ref = {.lsn = {}, .sequence = place.sequence, .descriptor_block = place.descriptor_block};
  ++segment(place.sequence)->live_small;
}

void LiveIndex::place(const RecordHeader& record, Lsn lsn, Place place) {
  CHECK(place.sequence != 0 && !lsn.is_zero());
  const auto it = groups_.find(record.group);
  if (it == groups_.end()) return;
  GroupUse& group = it->second;
  switch (record.kind) {
    case RecordKind::kEntry:
    case RecordKind::kMovedEntry: {
      const LogIndex index(record.index);
      if (group.entries.empty() || index < group.first || index > group.last()) return;
      EntryRef& ref = group.entries[index - group.first];
      if (ref.is_placed() || ref.staged_lsn != static_cast<uint32_t>(lsn.value())) return;
      CHECK(ref.term == record.term && ref.payload_crc == record.payload_crc);
      ref.sequence = static_cast<uint32_t>(place.sequence);
      ref.descriptor_block = place.descriptor_block;
      ref.payload_block = place.payload_block;
      ref.staged_lsn = 0;
      count_entry(ref, 1);
      return;
    }
    case RecordKind::kHardState:
      return settle(group.hard_state_ref, lsn, place);
    case RecordKind::kSnapshot:
      return settle(group.snapshot_ref, lsn, place);
    case RecordKind::kQuarantine:
      return settle(group.quarantine_ref, lsn, place);
    case RecordKind::kRemoveGroup:
    case RecordKind::kKnownGap:
      return;
  }
}

const GroupUse* LiveIndex::find(GroupId id) const {
  const auto it = groups_.find(id.value());
  return it == groups_.end() ? nullptr : &it->second;
}

std::optional<EntryRef> LiveIndex::find_entry(GroupId id, LogIndex index) const {
  const GroupUse* group = find(id);
  if (!group || group->entries.empty() || index < group->first || index > group->last()) return {};
  return group->entries[index - group->first];
}

std::vector<GroupId> LiveIndex::groups_in(uint64_t sequence_max, size_t count) const {
  std::vector<GroupId> found;
  for (const auto& [id, group] : groups_) {
    if (found.size() == count) break;
    const auto stands_in = [sequence_max](const EntryRef& ref) {
      return ref.is_placed() && ref.sequence <= sequence_max;
    };
    // In order the first entry stands lowest: thousands of others need not be looked at.
    const size_t looked_at =
        group.is_in_order ? std::min<size_t>(1, group.entries.size()) : group.entries.size();
    const bool pins = std::ranges::any_of(group.entries | std::views::take(looked_at), stands_in);
    if (pins) found.push_back(GroupId(id));
  }
  return found;
}

std::vector<LiveEntry> LiveIndex::entries_in(uint64_t sequence, size_t count) const {
  std::vector<LiveEntry> found;
  for (const auto& [id, group] : groups_) {
    for (size_t i = 0; i < group.entries.size() && found.size() < count; ++i) {
      const EntryRef& ref = group.entries[i];
      if (ref.sequence == sequence) found.push_back({GroupId(id), group.first + i, ref});
    }
    if (found.size() == count) break;
  }
  return found;
}

std::vector<GroupId> LiveIndex::groups_with_small_in(uint64_t sequence_max) const {
  std::vector<GroupId> found;
  const auto stands_in = [sequence_max](const SmallRef& ref) {
    return ref.sequence != 0 && ref.sequence <= sequence_max;
  };
  for (const auto& [id, group] : groups_) {
    if (stands_in(group.hard_state_ref) || stands_in(group.snapshot_ref) ||
        stands_in(group.quarantine_ref)) {
      found.push_back(GroupId(id));
    }
  }
  return found;
}

void LiveIndex::check_invariants() const {
  std::map<uint64_t, SegmentUse> recounted;
  uint64_t live_bytes = 0;
  for (const auto& [id, group] : groups_) {
    uint64_t group_bytes = 0;
    uint64_t lowest = 0;
    for (const EntryRef& ref : group.entries) {
      group_bytes += bytes_of_entry(ref);
      const uint64_t sequence = ref.is_placed() ? ref.sequence : UINT64_MAX;
      CHECK(!group.is_in_order || sequence >= lowest, "entries are in order unless moved");
      lowest = sequence;
      if (!ref.is_placed()) continue;
      ++recounted[ref.sequence].live_entries;
      recounted[ref.sequence].live_bytes += bytes_of_entry(ref);
    }
    for (const SmallRef* ref :
         {&group.hard_state_ref, &group.snapshot_ref, &group.quarantine_ref}) {
      CHECK(ref->sequence == 0 || ref->lsn.is_zero(), "staged and placed at once");
      if (ref->sequence != 0) ++recounted[ref->sequence].live_small;
    }
    CHECK(group_bytes == group.live_bytes);
    CHECK(group.entries.empty() || !group.has_snapshot || group.first > group.snapshot_index);
    live_bytes += group_bytes;
  }
  CHECK(live_bytes == live_bytes_);
  for (const SegmentUse& use : segments_) {
    const SegmentUse& truth = recounted[use.sequence];
    CHECK(use.live_entries == truth.live_entries && use.live_bytes == truth.live_bytes &&
          use.live_small == truth.live_small);
    recounted.erase(use.sequence);
  }
  CHECK(recounted.empty(), "a live record stands in no segment of the log");
}

}  // namespace cairn::wal
