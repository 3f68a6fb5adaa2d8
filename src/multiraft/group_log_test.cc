#include "multiraft/group_log.h"

#include <gtest/gtest.h>

#include "base/units.h"

namespace cairn::multiraft {
namespace {

raft::SnapshotPtr snapshot_at(uint64_t index, uint64_t term = 1) {
  raft::Snapshot snapshot;
  snapshot.metadata.index = LogIndex(index);
  snapshot.metadata.term = Term(term);
  return std::make_shared<const raft::Snapshot>(snapshot);
}
raft::Entry entry(uint64_t index, uint64_t term, size_t payload_bytes = 0) {
  raft::Entry e;
  e.index = LogIndex(index);
  e.term = Term(term);
  e.head = Buffer::copy_of("head");
  e.payload.size_bytes = static_cast<uint32_t>(payload_bytes);
  if (payload_bytes > 0) e.payload.bytes = Buffer::allocate(payload_bytes);
  return e;
}
/// Entries 2..last of term 1 behind a base of 1.
GroupLog log_up_to(uint64_t last, size_t payload_bytes = 0) {
  GroupLog log({}, {Term(1), LogIndex(1)}, snapshot_at(1));
  for (uint64_t i = 2; i <= last; ++i) log.append_recovered(entry(i, 1, payload_bytes));
  return log;
}

TEST(GroupLog, AnAppendReplacesTheSuffix) {
  GroupLog log = log_up_to(9);
  const std::vector<raft::Entry> entries{entry(5, 2), entry(6, 2)};
  log.append(entries);
  EXPECT_EQ(log.last_index(), LogIndex(6));
  EXPECT_EQ(log.term(LogIndex(4)).value(), Term(1));
  EXPECT_EQ(log.term(LogIndex(5)).value(), Term(2));
}

TEST(GroupLog, AnAppendOfWhatIsCutOffChangesNothing) {
  GroupLog log = log_up_to(9);
  log.set_snapshot(snapshot_at(8));
  log.compact(LogIndex(6));
  log.append(std::vector<raft::Entry>{entry(4, 1), entry(5, 1)});
  EXPECT_EQ(log.first_index(), LogIndex(7));
  EXPECT_EQ(log.last_index(), LogIndex(9));
}

TEST(GroupLog, TellsCutOffFromNotThereYet) {
  GroupLog log = log_up_to(9);
  log.set_snapshot(snapshot_at(8));
  log.compact(LogIndex(6));
  EXPECT_EQ(log.term(LogIndex(5)).code(), raft::kCompacted);
  EXPECT_EQ(log.term(LogIndex(6)).value(), Term(1)) << "appends are matched against it";
  EXPECT_EQ(log.term(LogIndex(10)).code(), raft::kEntryUnavailable);
  EXPECT_EQ(log.entries(LogIndex(6), LogIndex(8), 1000).code(), raft::kCompacted);
  EXPECT_EQ(log.entries(LogIndex(7), LogIndex(11), 1000).code(), raft::kEntryUnavailable);
}

TEST(GroupLog, HandsOutAtLeastOneEntryAndNoMoreThanAsked) {
  GroupLog log = log_up_to(9, 4096);
  EXPECT_EQ(log.entries(LogIndex(2), LogIndex(9), 1)->size(), 1u);
  EXPECT_EQ(log.entries(LogIndex(2), LogIndex(9), 10'000)->size(), 2u);
  EXPECT_EQ(log.entries(LogIndex(2), LogIndex(5), kMiB)->size(), 3u);
}

TEST(GroupLog, ADroppedPayloadKeepsItsSize) {
  GroupLog log = log_up_to(4, 4096);
  EXPECT_TRUE(log.drop_payload(LogIndex(3), Term(1)));
  const auto entries = log.entries(LogIndex(3), LogIndex(4), kMiB).value();
  EXPECT_TRUE(entries[0].payload.bytes.empty());
  EXPECT_EQ(entries[0].payload.size_bytes, 4096u);
}

TEST(GroupLog, ANoteOfAReplacedEntryDropsNothing) {
  GroupLog log = log_up_to(4, 4096);
  log.append(std::vector<raft::Entry>{entry(3, 2, 4096)});
  EXPECT_TRUE(log.drop_payload(LogIndex(3), Term(1)));
  EXPECT_FALSE(log.entries(LogIndex(3), LogIndex(4), kMiB).value()[0].payload.bytes.empty());
  EXPECT_TRUE(log.drop_payload(LogIndex(77), Term(1))) << "gone: nothing to drop";
}

TEST(GroupLog, ACutKeepsBytesOrEntriesWhicheverAreFewer) {
  GroupLog log = log_up_to(20, 4096);
  EXPECT_EQ(log.cut_that_keeps(LogIndex(15), kGiB, 4), LogIndex(11));
  EXPECT_EQ(log.cut_that_keeps(LogIndex(15), 4096, 100), LogIndex(14));
  EXPECT_EQ(log.cut_that_keeps(LogIndex(15), kGiB, 100), LogIndex(1));
  EXPECT_EQ(log.cut_that_keeps(LogIndex(15), 0, 100), LogIndex(15));
}

TEST(GroupLog, ResetBeginsBehindTheSnapshot) {
  GroupLog log = log_up_to(9);
  log.reset(snapshot_at(50, 4));
  EXPECT_EQ(log.first_index(), LogIndex(51));
  EXPECT_EQ(log.last_index(), LogIndex(50));
  EXPECT_EQ(log.term(LogIndex(50)).value(), Term(4));
}

}  // namespace
}  // namespace cairn::multiraft
