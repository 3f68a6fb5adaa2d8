// What others' logs got wrong, one test a line of docs/raft-pitfalls.md (its number in the
// comment). Lines whose test stands with the rest of the log's promises: 23 and 24 in wal_test.cc
// (a write that hangs, a write that fails), the torn tail of 29 there too.
#include "store/wal/wal_test.h"

namespace cairn::wal {
namespace {

class WalPitfalls : public WalTest {
 protected:
  /// Well-formed batches of an earlier life of the segment's file; none of them is one of this.
  uint64_t count_old_batches_behind(const Found& last) {
    const Buffer bytes = file(last.sequence);
    uint64_t count = 0;
    for (uint64_t at = last.offset_bytes + last.descriptor_bytes; at < bytes.size_bytes();
         at += kBlockBytes) {
      const ByteView rest = bytes.view().subspan(at);
      const auto header = load<BatchHeader>(rest);
      if (header.magic != kBatchMagic || header.sequence == last.sequence) continue;
      count += decode_batch(rest, header.sequence, 0).ok();
      EXPECT_FALSE(decode_batch(rest, last.sequence, 0).ok());
    }
    return count;
  }
};

// Pitfall 16: a term is durable before entries of that term are. The term and the entries go out in
// different writes that are in flight together and end in any order, when the power fails.
TEST_F(WalPitfalls, NoPowerLossLeavesAnEntryWithoutItsTerm) {
  options.batch_bytes_max = kBlockBytes;  // a batch a record
  size_t with_entry = 0, without_entry = 0;
  for (uint64_t life = 1; life <= 200 && !HasFailure(); ++life) {
    open();
    if (const RecoveredGroup* found = group(1)) {
      for (const RecoveredEntry& entry : found->entries) {
        EXPECT_LE(entry.term, found->hard_state.term);
      }
      const bool has_new = !found->entries.empty() && found->entries.back().term == Term(life - 1);
      ++(has_new ? with_entry : without_entry);
    }
    const uint64_t last =
        group(1) && !group(1)->entries.empty() ? group(1)->entries.back().index.value() : 0;
    turn([&] {
      hard_state(1, life);
      if (last > 3) mark(1, last - 1);
      entry(1, last + 1, life);
      entry(1, last + 2, life);
    });
    world.run_for(std::chrono::microseconds(10 + 5 * (life % 40)));
    crash();
  }
  EXPECT_GT(with_entry, 20u);
  EXPECT_GT(without_entry, 20u);
}

// Pitfall 17: a vote that is not synced is a double vote. Acknowledged is what survives.
TEST_F(WalPitfalls, AVoteThatWasReportedDurableSurvivesAPowerLoss) {
  Term acknowledged;
  size_t survived = 0;
  for (uint64_t life = 1; life <= 100 && !HasFailure(); ++life) {
    open();
    if (!acknowledged.is_zero()) {
      ASSERT_TRUE(group(1));
      EXPECT_GE(group(1)->hard_state.term, acknowledged);
      EXPECT_EQ(group(1)->hard_state.vote, 2u);
      survived += group(1)->hard_state.term == acknowledged;
    }
    turn([&] { hard_state(1, life); });
    world.run_for(std::chrono::microseconds(2 * life));
    if (listener.durable == wal->last_lsn()) acknowledged = Term(life);
    crash();
  }
  EXPECT_GT(survived, 20u);
}

// Pitfall 20: a suffix is truncated from its end on, and only where an entry conflicts. A crash at
// any moment leaves the old log, a prefix of it, or the new one.
TEST_F(WalPitfalls, ACrashInATruncationLeavesAPrefix) {
  size_t old_logs = 0, new_logs = 0;
  for (int i = 0; i < 60 && !HasFailure(); ++i) {
    open();
    turn([&] {
      wal->append_remove_group(GroupId(1));
      for (uint64_t index = 1; index <= 6; ++index) entry(1, index, 1);
    });
    wait();
    turn([&] {
      entry(1, 3, 2);
      entry(1, 4, 2);
    });
    world.run_for(std::chrono::microseconds(4 * i));
    crash();
    open();
    ASSERT_TRUE(group(1));
    const auto& entries = group(1)->entries;
    ASSERT_GE(entries.size(), 3u);
    EXPECT_EQ(entries[1].term, Term(1)) << "what is before the conflict stays";
    if (entries[2].term == Term(1)) {
      ++old_logs;
      EXPECT_EQ(entries.size(), 6u);
    } else {
      ++new_logs;
      EXPECT_LE(entries.size(), 4u) << "nothing of the old suffix comes back";
    }
    crash();
  }
  EXPECT_GT(old_logs, 3u);
  EXPECT_GT(new_logs, 3u);
}

// Pitfall 25: a write that ends while a truncation runs says nothing about what replaced its entry.
TEST_F(WalPitfalls, AWriteThatEndsBehindATruncationPlacesNothing) {
  open();
  disk.set_hung(true);
  turn([&] { entry(1, 1, 1); });
  turn([&] { entry(1, 1, 2); });  // the first write is still under way
  const Lsn first(1);
  disk.set_hung(false);
  ASSERT_TRUE(world.run_until([&] { return listener.durable >= first; }, std::chrono::seconds(1)));
  expect_payload(1, 1, 2);
  if (listener.durable == first) {
    EXPECT_EQ(wal->durable_lsn(), first);
  }
  wait();
  expect_payload(1, 1, 2);
  reopen();
  ASSERT_EQ(group(1)->entries.size(), 1u);
  EXPECT_EQ(group(1)->entries[0].term, Term(2));
}

// Pitfall 28: a rewrite that is aborted at any moment loses nothing: the originals are part of the
// log until a batch behind the copies is durable.
TEST_F(WalPitfalls, ARewriteThatIsAbortedLosesNothing) {
  options.batch_bytes_max = kBlockBytes;  // the copies go out in several batches
  options.writes_inflight_max = 2;
  size_t aborted = 0;
  for (int i = 0; i < 80 && !HasFailure(); ++i) {
    open();
    turn([&] {
      wal->append_remove_group(GroupId(1));
      wal->append_remove_group(GroupId(2));
      hard_state(2, 7);
      for (uint64_t index = 1; index <= 5; ++index) entry(2, index);
    });
    wait();
    const auto moved_before = wal->stats().moved_records;
    for (uint64_t index = 1; wal->stats().moved_records == moved_before && index < 400; ++index) {
      turn([&] {
        entry(1, index, 1, 16384);
        mark(1, index);
      });
      wait();
    }
    ASSERT_GT(wal->stats().moved_records, moved_before) << "a rewrite has begun";
    world.run_for(std::chrono::microseconds(10 * i));
    if (wal->durable_lsn() < wal->last_lsn()) ++aborted;
    crash();
    open();
    ASSERT_TRUE(group(2));
    EXPECT_EQ(group(2)->hard_state.term, Term(7));
    ASSERT_EQ(group(2)->entries.size(), 5u);
    for (uint64_t index = 1; index <= 5; ++index) expect_payload(2, index);
    crash();
  }
  EXPECT_GT(aborted, 10u) << "crashes did come in the middle";
}

// Pitfall 29: in a recycled segment an old record looks like a new one. The log is torn where its
// file still holds whole batches of the file's earlier life.
TEST_F(WalPitfalls, ARecordOfASegmentsEarlierLifeIsNone) {
  open();
  uint64_t index = 0;
  uint64_t old_batches = 0;
  while (old_batches == 0 && index < 400) {
    ++index;
    turn([&] {
      entry(1, index, 1, 16384);
      mark(1, index);
    });
    wait();
    if (index > 300) old_batches = count_old_batches_behind(find_batch_with(1, index));
  }
  ASSERT_GT(old_batches, 0u) << "nothing old is there to be taken for new";
  ASSERT_GT(wal->stats().segments_recycled, 5u);
  crash(sim::CrashKind::kKill);
  open();
  EXPECT_EQ(reason(1), "");
  EXPECT_TRUE(group(1)->entries.empty());
  EXPECT_EQ(group(1)->snapshot->index, LogIndex(index));
}

// Pitfall 29, its other half: what may be committed is never cut. The same damage in the last batch
// (a torn tail) and in one that was acknowledged before another (rot) have different ends.
TEST_F(WalPitfalls, DamageInTheMiddleIsNoTornTail) {
  for (const bool in_the_middle : {false, true}) {
    const uint64_t id = in_the_middle ? 2 : 1;
    open();
    for (uint64_t index = 1; index <= 4; ++index) entry_and_wait(id, index);
    const auto batch = find_batch_with(id, in_the_middle ? 3 : 4);
    crash(sim::CrashKind::kKill);
    rot(batch.sequence, batch.offset_bytes + batch.descriptor_bytes + 9);
    open();
    EXPECT_EQ(reason(id).empty(), !in_the_middle) << reason(id);
    EXPECT_EQ(group(id)->entries.size(), in_the_middle ? 4u : 3u);
    crash();
  }
}

}  // namespace
}  // namespace cairn::wal
