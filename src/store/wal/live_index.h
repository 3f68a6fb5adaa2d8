/// LiveIndex: which records of the log are alive and where they stand.
///
/// A record is *staged* when it is appended (it takes effect at once, its payload is in memory) and
/// *placed* when it is durable; so whatever has a place can be read from there, and a segment's
/// counts say what would be lost with it. In memory 32 bytes an entry.
/// Threads: one reactor.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "store/wal/format.h"
#include "store/wal/replay.h"
#include "store/wal/wal.h"

namespace cairn::wal {

struct EntryRef {
  uint64_t term = 0;
  uint32_t sequence = 0;  ///< of the segment (its lower half); 0: staged
  uint16_t descriptor_block = 0;
  uint16_t payload_block = 0;
  uint32_t payload_bytes = 0;
  uint32_t payload_crc = 0;
  uint32_t head_bytes = 0;
  uint32_t staged_lsn = 0;  ///< the lower half of its record's lsn
  bool is_placed() const { return sequence != 0; }
  bool operator==(const EntryRef&) const = default;
};
static_assert(sizeof(EntryRef) == 32);

/// The latest hard state, snapshot mark or quarantine of a group.
struct SmallRef {
  Lsn lsn;                ///< of the staged record; zero once it is placed
  uint64_t sequence = 0;  ///< 0: staged, or there is none
  uint16_t descriptor_block = 0;
};

/// What a segment keeps alive. Invariant: all zero means that its records are of no use any more.
struct SegmentUse {
  uint64_t sequence = 0;
  uint64_t live_entries = 0;
  uint64_t live_bytes = 0;
  uint64_t live_small = 0;
};

struct LiveEntry {
  GroupId group;
  LogIndex index;
  EntryRef ref;
};

struct GroupUse {
  LogIndex first;  ///< index of entries.front()
  std::deque<EntryRef> entries;
  std::optional<HardState> hard_state;
  bool has_snapshot = false;
  LogIndex snapshot_index;
  Term snapshot_term;
  std::string quarantine_reason;
  SmallRef hard_state_ref;
  SmallRef snapshot_ref;
  SmallRef quarantine_ref;
  uint64_t live_bytes = 0;
  /// None of the entries was moved: they stand in the log in the order of their indexes, the placed
  /// ones before the staged.
  bool is_in_order = true;

  LogIndex last() const { return first + entries.size() - 1; }
};

class LiveIndex {
 public:
  // ---- segments, ascending
  void add_segment(uint64_t sequence);
  void drop_segments_below(uint64_t sequence);
  const std::deque<SegmentUse>& segments() const { return segments_; }

  // ---- appends, in the order of the stream
  void load(uint64_t group, const ReplayedGroup& replayed);
  void stage_entry(GroupId group, const RecordHeader& entry, Lsn lsn);
  /// The live entry gets a new record; false if it is not (any more) what `from` says.
  bool stage_move(const LiveEntry& from, Lsn lsn);
  void stage_hard_state(GroupId group, const HardState& state, Lsn lsn);
  void stage_snapshot(GroupId group, LogIndex index, Term term, bool reset_log, Lsn lsn);
  void stage_quarantine(GroupId group, std::string reason, Lsn lsn);
  void remove_group(GroupId group);
  /// The record is durable at `place`; nothing happens if it is dead by now.
  void place(const RecordHeader& record, Lsn lsn, Place place);

  // ---- questions
  const GroupUse* find(GroupId group) const;
  std::optional<EntryRef> find_entry(GroupId group, LogIndex index) const;
  uint64_t live_bytes() const { return live_bytes_; }
  /// Up to `count` groups with live entries in segments up to `sequence`.
  std::vector<GroupId> groups_in(uint64_t sequence_max, size_t count) const;
  /// Up to `count` live entries in the segment, by group and index.
  std::vector<LiveEntry> entries_in(uint64_t sequence, size_t count) const;
  /// Groups whose latest small records stand in segments up to `sequence`.
  std::vector<GroupId> groups_with_small_in(uint64_t sequence_max) const;

  /// Recounts everything; for tests.
  void check_invariants() const;

 private:
  SegmentUse* segment(uint64_t sequence);
  void count_entry(const EntryRef& ref, int64_t sign);
  void release(SmallRef& ref);
  void settle(SmallRef& ref, Lsn lsn, Place place);
  void pop_front(GroupUse& group);
  void pop_back(GroupUse& group);

  std::deque<SegmentUse> segments_;
  // Ordered, so that what is derived from walking it is the same in every run.
  std::map<uint64_t, GroupUse> groups_;
  uint64_t live_bytes_ = 0;
};

}  // namespace cairn::wal
