#include "store/wal/live_index.h"

#include <gtest/gtest.h>

namespace cairn::wal {
namespace {

RecordHeader entry(uint64_t index, uint64_t term = 1) {
  return {.kind = RecordKind::kEntry,
          .head_bytes = 16,
          .group = 1,
          .index = index,
          .term = term,
          .payload_bytes = 4096,
          .payload_crc = static_cast<uint32_t>(index)};
}
const GroupId kGroup(1);
constexpr Place kPlace{.sequence = 3, .descriptor_block = 1, .payload_block = 2};

TEST(WalLiveIndex, ARecordThatDiedBeforeItWasDurableHoldsNoSegment) {
  LiveIndex index;
  index.add_segment(3);
  index.stage_entry(kGroup, entry(1), Lsn(1));
  index.stage_entry(kGroup, entry(1, 2), Lsn(2));  // replaces it, still in flight
  index.place(entry(1), Lsn(1), kPlace);
  EXPECT_EQ(index.segments().front().live_entries, 0u);
  index.place(entry(1, 2), Lsn(2), kPlace);
  EXPECT_EQ(index.segments().front().live_entries, 1u);
  index.check_invariants();
}

TEST(WalLiveIndex, OnlyTheLatestHardStateHoldsItsSegment) {
  LiveIndex index;
  index.add_segment(3);
  index.add_segment(4);
  const RecordHeader record{.kind = RecordKind::kHardState, .group = 1};
  index.stage_hard_state(kGroup, {Term(1), 0, LogIndex()}, Lsn(1));
  index.stage_hard_state(kGroup, {Term(2), 0, LogIndex()}, Lsn(2));
  index.place(record, Lsn(1), kPlace);
  EXPECT_EQ(index.segments()[0].live_small, 0u);
  index.place(record, Lsn(2), {.sequence = 4});
  EXPECT_EQ(index.segments()[1].live_small, 1u);
  EXPECT_EQ(index.groups_with_small_in(3).size(), 0u);
  EXPECT_EQ(index.groups_with_small_in(4).size(), 1u);
  index.remove_group(kGroup);
  EXPECT_EQ(index.segments()[1].live_small, 0u);
  index.check_invariants();
}

TEST(WalLiveIndex, AnEntryIsMovedOnlyIfItIsStillTheSame) {
  LiveIndex index;
  index.add_segment(3);
  index.add_segment(4);
  index.stage_entry(kGroup, entry(1), Lsn(1));
  index.place(entry(1), Lsn(1), kPlace);
  const auto before = index.entries_in(3, 10);
  ASSERT_EQ(before.size(), 1u);
  index.stage_entry(kGroup, entry(1, 2), Lsn(2));
  EXPECT_FALSE(index.stage_move(before[0], Lsn(3))) << "it was replaced meanwhile";
  index.place(entry(1, 2), Lsn(2), kPlace);
  const auto again = index.entries_in(3, 10);
  EXPECT_TRUE(index.stage_move(again[0], Lsn(4)));
  EXPECT_EQ(index.segments()[0].live_entries, 0u);
  index.place(entry(1, 2), Lsn(4), {.sequence = 4, .descriptor_block = 9, .payload_block = 10});
  EXPECT_EQ(index.find_entry(kGroup, LogIndex(1))->descriptor_block, 9);
  EXPECT_EQ(index.groups_in(3, 5).size(), 0u);
  index.check_invariants();
}

TEST(WalLiveIndex, BytesAreThoseOfLiveEntries) {
  LiveIndex index;
  for (uint64_t i = 1; i <= 10; ++i) index.stage_entry(kGroup, entry(i), Lsn(i));
  const uint64_t each = 48 + 16 + 4096;
  EXPECT_EQ(index.live_bytes(), 10 * each);
  index.stage_snapshot(kGroup, LogIndex(4), Term(1), false, Lsn(11));
  EXPECT_EQ(index.live_bytes(), 6 * each);
  index.stage_entry(kGroup, entry(8, 2), Lsn(12));
  EXPECT_EQ(index.find(kGroup)->live_bytes, 4 * each);
  EXPECT_FALSE(index.find_entry(kGroup, LogIndex(4)));
  EXPECT_FALSE(index.find_entry(kGroup, LogIndex(9)));
  index.stage_snapshot(kGroup, LogIndex(5), Term(2), true, Lsn(13));
  EXPECT_EQ(index.live_bytes(), 0u);
  index.check_invariants();
}

TEST(WalLiveIndexDeathTest, AHoleInALogIsABugOfTheHost) {
  LiveIndex index;
  index.stage_entry(kGroup, entry(1), Lsn(1));
  EXPECT_DEATH(index.stage_entry(kGroup, entry(3), Lsn(2)), "without a hole");
}

}  // namespace
}  // namespace cairn::wal
