#include "raft/log.h"

#include <gtest/gtest.h>

#include "base/rng.h"

namespace cairn::raft {
namespace {

constexpr uint64_t kNoLimit = std::numeric_limits<uint64_t>::max();

Entry entry(uint64_t term, uint64_t index, size_t size_bytes = 0) {
  Entry result;
  result.term = Term(term);
  result.index = LogIndex(index);
  if (size_bytes > 0) result.head = Buffer::copy_of(std::string(size_bytes, 'x'));
  return result;
}

std::vector<Entry> entries(std::initializer_list<uint64_t> terms, uint64_t first) {
  std::vector<Entry> result;
  for (uint64_t term : terms) result.push_back(entry(term, first + result.size()));
  return result;
}

std::vector<uint64_t> terms_of(std::span<const Entry> list) {
  std::vector<uint64_t> result;
  for (const Entry& e : list) result.push_back(e.term.value());
  return result;
}

EntryId id(uint64_t term, uint64_t index) {
  return {.term = Term(term), .index = LogIndex(index)};
}

using Outcome = UnstableLog::StableOutcome;

TEST(UnstableLog, AnAcknowledgmentOfReplacedEntriesChangesNothing) {
  UnstableLog log(LogIndex(5));
  log.truncate_and_append(entries({1, 1, 1}, 5));
  log.accept_in_progress();
  log.truncate_and_append(entries({2, 2}, 6));
  EXPECT_EQ(log.in_progress(), LogIndex(6));  // what was replaced is to be written anew
  EXPECT_EQ(log.stable_to(id(1, 7)), Outcome::kTermMismatch);
  EXPECT_EQ(log.count(), 3U);
  EXPECT_EQ(log.stable_to(id(1, 5)), Outcome::kDone);
  EXPECT_EQ(log.offset(), LogIndex(6));
  EXPECT_EQ(log.stable_to(id(1, 5)), Outcome::kMissing);
  EXPECT_EQ(log.stable_to(id(2, 9)), Outcome::kMissing);
  EXPECT_EQ(terms_of(log.next_entries()), (std::vector<uint64_t>{2, 2}));
}

TEST(UnstableLog, TruncationBeforeItsStartTakesTheStableTailBack) {
  UnstableLog log(LogIndex(5));
  log.truncate_and_append(entries({2, 2}, 5));
  log.accept_in_progress();
  log.truncate_and_append(entries({3}, 4));
  EXPECT_EQ(log.offset(), LogIndex(4));
  EXPECT_EQ(log.in_progress(), LogIndex(4));
  EXPECT_EQ(terms_of(log.next_entries()), (std::vector<uint64_t>{3}));
}

TEST(UnstableLog, ASnapshotIsHandedOutOnceAndReplacesEverything) {
  UnstableLog log(LogIndex(5));
  log.truncate_and_append(entries({1}, 5));
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->metadata.index = LogIndex(9);
  snapshot->metadata.term = Term(3);
  log.restore(snapshot);
  EXPECT_EQ(log.first_index(), LogIndex(10));
  EXPECT_EQ(log.last_index(), LogIndex(9));
  EXPECT_EQ(log.term(LogIndex(9)), Term(3));
  EXPECT_EQ(log.next_snapshot(), snapshot);
  log.accept_in_progress();
  EXPECT_EQ(log.next_snapshot(), nullptr);
  EXPECT_EQ(log.stable_to(id(3, 9)), Outcome::kIsSnapshot);
  log.stable_snapshot_to(LogIndex(8));
  EXPECT_TRUE(log.snapshot());
  log.stable_snapshot_to(LogIndex(9));
  EXPECT_FALSE(log.snapshot());
}

TEST(UnstableLog, MatchesAPlainVectorUnderRandomUse) {
  Rng rng(5);
  for (int round = 0; round < 300; ++round) {
    UnstableLog log(LogIndex(1));
    std::vector<Entry> model;  // model[i].index == i + 1; the first `stable` are stable
    uint64_t stable = 0;
    uint64_t term = 1;
    for (int step = 0; step < 100; ++step) {
      if (rng.chance(0.6)) {
        const uint64_t from = rng.between(stable + 1, model.size() + 1);
        if (rng.chance(0.2)) ++term;
        std::vector<Entry> fresh;
        for (uint64_t i = 0, count = rng.between(1, 4); i < count; ++i) {
          fresh.push_back(entry(term, from + i));
        }
        log.truncate_and_append(fresh);
        model.resize(from - 1);
        model.insert(model.end(), fresh.begin(), fresh.end());
      } else if (rng.chance(0.5)) {
        log.accept_in_progress();
        EXPECT_TRUE(log.next_entries().empty());
      } else if (model.size() > stable) {
        const uint64_t to = rng.between(stable + 1, model.size());
        ASSERT_EQ(log.stable_to({.term = model[to - 1].term, .index = LogIndex(to)}),
                  Outcome::kDone);
        stable = to;
      }
      log.check_invariants();
      ASSERT_EQ(log.offset().value(), stable + 1);
      ASSERT_EQ(log.count(), model.size() - stable);
      ASSERT_EQ(terms_of(log.slice(log.offset(), LogIndex(model.size() + 1))),
                terms_of(std::span(model).subspan(stable)));
    }
  }
}

class LogTest : public testing::Test {
 protected:
  // Entries 1..4 are compacted (term 1), 5..7 stable, 8..9 unstable.
  LogTest() {
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->metadata.index = LogIndex(4);
    snapshot->metadata.term = Term(1);
    EXPECT_TRUE(storage_.apply_snapshot(snapshot).ok());
    storage_.append(entries({1, 2, 2}, 5));
  }
  Log make(uint64_t limit = kNoLimit) {
    Log log(storage_, limit);
    log.append(entries({3, 3}, 8));
    return log;
  }
  MemoryStorage storage_;
};

TEST_F(LogTest, TermsAreKnownFromTheLastCompactedEntryOn) {
  const Log log = make();
  EXPECT_FALSE(log.term(LogIndex(3)));
  EXPECT_EQ(log.term(LogIndex(4)), Term(1));
  EXPECT_EQ(log.term(LogIndex(6)), Term(2));
  EXPECT_EQ(log.term(LogIndex(9)), Term(3));
  EXPECT_FALSE(log.term(LogIndex(10)));
  EXPECT_EQ(log.last_entry_id(), id(3, 9));
}

TEST_F(LogTest, SlicesSpanBothPartsWithinTheLimit) {
  const Log log = make();
  EXPECT_EQ(terms_of(*log.slice(LogIndex(5), LogIndex(10), kNoLimit)),
            (std::vector<uint64_t>{1, 2, 2, 3, 3}));
  EXPECT_FALSE(log.slice(LogIndex(4), LogIndex(10), kNoLimit));
  const uint64_t one = encoded_bytes(entry(1, 5));
  EXPECT_EQ(log.slice(LogIndex(5), LogIndex(10), 0)->size(), 1U);
  for (uint64_t count = 1; count <= 5; ++count) {
    EXPECT_EQ(log.slice(LogIndex(5), LogIndex(10), one * count)->size(), count);
    EXPECT_EQ(log.slice(LogIndex(5), LogIndex(10), one * count + one - 1)->size(), count);
  }
}

TEST_F(LogTest, AnAppendKeepsWhatMatchesAndReplacesFromTheConflict) {
  Log log = make();
  EXPECT_FALSE(log.maybe_append(id(9, 7), LogIndex(9), {}));
  LogIndex conflict;
  // All known: a late copy must not truncate what lies behind it.
  EXPECT_EQ(log.maybe_append(id(1, 5), LogIndex(5), entries({2}, 6), &conflict), LogIndex(6));
  EXPECT_TRUE(conflict.is_zero());
  EXPECT_EQ(log.last_index(), LogIndex(9));
  EXPECT_EQ(log.committed(), LogIndex(5));
  EXPECT_EQ(log.maybe_append(id(2, 6), LogIndex(99), entries({2, 4}, 7), &conflict), LogIndex(8));
  EXPECT_EQ(conflict, LogIndex(8));
  EXPECT_EQ(log.last_entry_id(), id(4, 8));
  EXPECT_EQ(log.committed(), LogIndex(8));  // no further than what is known to match
}

TEST_F(LogTest, OnlyEntriesOfTheOwnTermAreCommittedByCounting) {
  Log log = make();
  EXPECT_FALSE(log.maybe_commit(id(3, 7)));
  EXPECT_EQ(log.committed(), LogIndex(4));
  EXPECT_TRUE(log.maybe_commit(id(3, 8)));
  EXPECT_FALSE(log.maybe_commit(id(3, 8)));
  EXPECT_FALSE(log.maybe_commit(id(0, 9)));
}

TEST_F(LogTest, AHintSkipsTermsThatCannotMatch) {
  const Log log = make();
  EXPECT_EQ(log.find_conflict_by_term(LogIndex(9), Term(2)), id(2, 7));
  EXPECT_EQ(log.find_conflict_by_term(LogIndex(9), Term(1)), id(1, 5));
  EXPECT_EQ(log.find_conflict_by_term(LogIndex(9), Term(0)), id(0, 3));  // compacted: unknown
  EXPECT_EQ(log.find_conflict_by_term(LogIndex(12), Term(3)), id(0, 12));
}

TEST_F(LogTest, UnstableEntriesAreAppliedOnlyWhereAllowed) {
  Log log = make();
  log.commit_to(LogIndex(9));
  EXPECT_EQ(log.next_committed_entries(false).size(), 3U);
  EXPECT_EQ(log.next_committed_entries(true).size(), 5U);
}

TEST_F(LogTest, ApplyingPausesAtTheLimitUntilItIsAcknowledged) {
  const uint64_t one = encoded_bytes(entry(1, 5));
  Log log = make(2 * one);
  log.commit_to(LogIndex(9));
  auto batch = log.next_committed_entries(true);
  ASSERT_EQ(batch.size(), 2U);
  log.accept_applying(LogIndex(6), encoded_bytes(batch), true);
  EXPECT_FALSE(log.has_next_committed_entries(true));
  log.applied_to(LogIndex(5), one);
  batch = log.next_committed_entries(true);
  ASSERT_EQ(batch.size(), 1U);
  EXPECT_EQ(batch[0].index, LogIndex(7));
  log.check_invariants();
}

TEST_F(LogTest, NothingIsAppliedWhileASnapshotIsUnderWay) {
  Log log = make();
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->metadata.index = LogIndex(20);
  snapshot->metadata.term = Term(5);
  log.restore(snapshot);
  log.append(entries({5}, 21));
  log.commit_to(LogIndex(21));
  EXPECT_FALSE(log.has_next_committed_entries(true));
  log.stable_snapshot_to(LogIndex(20));
  log.applied_to(LogIndex(20), 0);
  EXPECT_TRUE(log.has_next_committed_entries(true));
  EXPECT_FALSE(log.has_next_committed_entries(false));
}

TEST(MemoryStorage, CompactionAndSnapshotsRefuseWhatIsNotThere) {
  MemoryStorage storage;
  storage.append(entries({1, 1, 2}, 1));
  EXPECT_EQ(storage.compact(LogIndex(4)).code(), kEntryUnavailable);
  EXPECT_EQ(storage.create_snapshot(LogIndex(4), {}, {}).code(), kEntryUnavailable);
  ASSERT_TRUE(storage.create_snapshot(LogIndex(2), {}, {}).ok());
  EXPECT_EQ(storage.create_snapshot(LogIndex(2), {}, {}).code(), kSnapshotOutOfDate);
  ASSERT_TRUE(storage.compact(LogIndex(2)).ok());
  EXPECT_EQ(storage.compact(LogIndex(2)).code(), kCompacted);
  EXPECT_EQ(storage.first_index(), LogIndex(3));
  EXPECT_EQ(*storage.term(LogIndex(2)), Term(1));
  EXPECT_EQ(storage.term(LogIndex(1)).code(), kCompacted);
  EXPECT_EQ(storage.entries(LogIndex(2), LogIndex(3), kNoLimit).code(), kCompacted);
  EXPECT_EQ(storage.entries(LogIndex(3), LogIndex(5), kNoLimit).code(), kEntryUnavailable);
  // An append may reach back over what is compacted; it replaces from its first entry on.
  storage.append(entries({1, 1, 3, 3}, 1));
  EXPECT_EQ(storage.last_index(), LogIndex(4));
  EXPECT_EQ(*storage.term(LogIndex(3)), Term(3));
}

TEST(EntrySizes, CountPayloadsThatAreNotInMemory) {
  Entry e = entry(1, 1, 10);
  e.payload.size_bytes = 4096;
  EXPECT_EQ(payload_bytes(e), 4106U);
  EXPECT_GT(encoded_bytes(e), 4106U);
  EXPECT_EQ(payload_bytes(entry(1, 1)), 0U);
}

}  // namespace
}  // namespace cairn::raft
