// Segments: made ahead of their use and at a pace, let go, moved out of, and never more than the
// bound. A log that nothing was ever durable in.
#include "store/wal/wal_test.h"
#include "store/wal/writer.h"

namespace cairn::wal {
namespace {

class WalSegmentsTest : public WalTest {
 protected:
  /// Until the log does nothing of its own any more.
  void settle() {
    world.run_for(std::chrono::seconds(10));
    const auto batches = wal->stats().batches_count;
    world.run_for(std::chrono::seconds(10));
    EXPECT_EQ(wal->stats().batches_count, batches) << "the log writes though nothing happens";
  }
  /// Turns of entries without a mark until the log refuses more; the turns that it took.
  uint64_t fill(uint64_t group, uint64_t turns_max) {
    for (uint64_t i = 1; i <= turns_max; ++i) {
      if (!wal->admit(Intake::kProposal).ok()) return i - 1;
      entry_and_wait(group, i, 16384);
      EXPECT_LE(wal->log_bytes(), options.wal_bytes_max);
    }
    ADD_FAILURE() << "nothing was refused";
    return 0;
  }
};

// ---- made ahead

TEST_F(WalSegmentsTest, AGrowingLogNeverWaitsForASegment) {
  options.wal_bytes_max = kGiB;
  open();
  world.run_for(std::chrono::seconds(1));
  for (uint64_t i = 1; i <= 400; ++i) entry_and_wait(1, i, 16384);
  EXPECT_GE(wal->stats().segments_created, 25u);
  EXPECT_EQ(wal->stats().segment_waits, 0u);
}

TEST_F(WalSegmentsTest, WaitsForASegmentAreCounted) {
  options.wal_bytes_max = kGiB;
  options.segments_ready_min = 1;
  open();
  turn([&] {
    for (uint64_t i = 1; i <= 100; ++i) entry(1, i, 1, 16384);
  });
  wait();
  EXPECT_GE(wal->stats().segment_waits, 1u);
  const std::string metrics = host.env().metrics.render();
  EXPECT_NE(metrics.find("cairn_wal_segment_wait_seconds_count"), std::string::npos) << metrics;
}

TEST_F(WalSegmentsTest, SegmentsAreMadeAtATrickleWhileTheLogIsIdle) {
  options.segment_bytes = 16 * kMiB;
  options.wal_bytes_max = kGiB;
  options.segments_ready_min = 4;
  open();
  world.run_for(std::chrono::milliseconds(100));
  const auto begun = disk.counters().bytes_written;
  world.run_for(std::chrono::seconds(1));
  const auto written = disk.counters().bytes_written - begun;
  EXPECT_GT(written, 16 * kMiB) << "it does go on";
  EXPECT_LT(written, 48 * kMiB) << "and leaves the device to others";
  world.run_for(std::chrono::seconds(3));
  EXPECT_EQ(wal->stats().segments_created, 5u);
}

TEST_F(WalSegmentsTest, StopDoesNotWaitForASegmentThatIsBeingMade) {
  options.segment_bytes = 64 * kMiB;
  options.wal_bytes_max = 4 * kGiB;
  open();
  world.run_for(std::chrono::milliseconds(50));
  const Instant begun = world.now();
  world.run(host, wal->stop());
  EXPECT_LT(world.now() - begun, std::chrono::milliseconds(100));
  crash();
  const auto names = world.run(host, disk.list("wal")).value();
  for (const auto& name : names) {
    EXPECT_TRUE(parse_segment_name(name)) << name << " is half-made and keeps its space";
  }
}

// A deleted file would have to be written over anew, and its discarded blocks cost the device time.
TEST_F(WalSegmentsTest, WhatTheLogOnceNeededIsRecycledAndNotDeleted) {
  options.wal_bytes_max = 64 * options.segment_bytes;
  open();
  uint64_t index = 0;
  const auto grow_and_shrink = [&] {
    for (int i = 0; i < 600; ++i) entry_and_wait(1, ++index, 16384);
    EXPECT_GT(wal->log_bytes(), 36 * options.segment_bytes);
    mark(1, index);
    wait();
    settle();
    EXPECT_LT(wal->log_bytes(), 4 * options.segment_bytes);
  };
  grow_and_shrink();
  const auto first = wal->stats();
  for (int i = 0; i < 3; ++i) grow_and_shrink();
  EXPECT_EQ(wal->stats().segments_created, first.segments_created);
  EXPECT_GT(wal->stats().segments_recycled, first.segments_recycled + 100);
}

TEST_F(WalSegmentsTest, EveryBatchIsOneFlushAndTheMetricsShowIt) {
  open();
  for (uint64_t i = 1; i <= 50; ++i) entry_and_wait(1, i);
  Registry& metrics = host.env().metrics;
  EXPECT_EQ(metrics.gauge("cairn_wal_bytes", "").value(), static_cast<int64_t>(wal->log_bytes()));
  EXPECT_GE(metrics.counter("cairn_wal_batches_total", "").value(), 50u);
  EXPECT_EQ(metrics.counter("cairn_wal_flushes_total", "").value(),
            metrics.counter("cairn_wal_batches_total", "").value());
}

TEST_F(WalSegmentsTest, WriteAmplificationIsBounded) {
  options.segment_bytes = 4 * kMiB;
  options.wal_bytes_max = kGiB;
  open();
  std::map<uint64_t, uint64_t> last;
  const auto amplification = [&](uint64_t depth) {
    const auto before = wal->stats();
    for (uint64_t round = 0; round < 20; ++round) {
      turn([&] {
        for (uint64_t id = 1; id <= depth; ++id) {
          entry(id, ++last[id]);
        }
      });
      wait();
    }
    const auto after = wal->stats();
    return static_cast<double>(after.written_bytes - before.written_bytes) /
           static_cast<double>(after.payload_bytes - before.payload_bytes);
  };
  EXPECT_LE(amplification(1), 2.1);
  EXPECT_LE(amplification(128), 1.15);
}

// ---- the bound

TEST_F(WalSegmentsTest, RefusesEntriesBeforeTheBoundAndStillTakesItsOwnRecords) {
  options.wal_bytes_max = 16 * options.segment_bytes;
  open();
  const uint64_t last = fill(1, 400);
  EXPECT_TRUE(wal->over_limit());
  const auto refused = wal->admit(Intake::kProposal);
  ASSERT_EQ(refused.code(), Errc::kOverloaded);
  EXPECT_NE(refused.error().message().find("as large as it may be"), std::string::npos);
  EXPECT_TRUE(wal->admit(Intake::kReplication).ok()) << "what others wait for comes before";
  // Its own records find room.
  turn([&] {
    for (uint64_t id = 2; id <= 200; ++id) hard_state(id, 3);
    mark(1, last - 1);
  });
  wait();
  EXPECT_LE(wal->log_bytes(), options.wal_bytes_max);
  settle();
  EXPECT_TRUE(wal->admit(Intake::kProposal).ok());
  EXPECT_FALSE(wal->over_limit());
  entry_and_wait(1, last + 1);
  reopen();
  EXPECT_EQ(group(1)->entries.size(), 2u);
  ASSERT_TRUE(group(200));
}

TEST_F(WalSegmentsTest, ReplicatedEntriesAreRefusedLastAndBeforeTheBoundToo) {
  options.wal_bytes_max = 16 * options.segment_bytes;
  open();
  uint64_t index = fill(1, 400);
  while (wal->admit(Intake::kReplication).ok() && index < 1000) entry_and_wait(1, ++index, 16384);
  EXPECT_EQ(wal->admit(Intake::kReplication).code(), Errc::kOverloaded);
  EXPECT_LE(wal->log_bytes(), options.wal_bytes_max);
}

// Entries that are not committed yet fill most of the oldest segment: no snapshot lets them go, and
// what would commit them is refused. (Raft profile of the simulator, seed 132.)
TEST_F(WalSegmentsTest, ALogThatIsMostlyDeadDoesNotStayFullForOneSegmentThatIsNot) {
  options.wal_bytes_max = 16 * options.segment_bytes;
  open();
  for (uint64_t index = 1; index <= 12; ++index) entry_and_wait(1, index, 16384);
  uint64_t last = 0;
  while (wal->admit(Intake::kReplication).ok() && last < 1000) {
    entry_and_wait(2, ++last, 16384);
    turn([&] { mark(2, last); });
    wait();
  }
  ASSERT_LT(last, 1000u) << "the log is never full";
  settle();
  EXPECT_TRUE(wal->admit(Intake::kProposal).ok());
  EXPECT_FALSE(wal->over_limit());
  reopen();
  ASSERT_EQ(group(1)->entries.size(), 12u);
  for (uint64_t index = 1; index <= 12; ++index) expect_payload(1, index, 1, 16384);
}

// Each entry was a batch of its own, a block for some sixty bytes. Moved one by one they would take
// as many blocks again, and the log would go round for ever without getting smaller. (Raft profile
// of the simulator, seed 27913.)
TEST_F(WalSegmentsTest, SmallEntriesThatAreMovedShareTheirBlocks) {
  options.wal_bytes_max = 3 * options.segment_bytes;
  open();
  for (uint64_t index = 1; index <= 1000; ++index) {
    const auto has_room = [&] { return wal->admit(Intake::kReplication).ok(); };
    ASSERT_TRUE(world.run_until(has_room, std::chrono::seconds(1)))
        << "full with entry " << index << ", of " << wal->log_bytes() << " bytes "
        << wal->live_bytes() << " are alive";
    entry_and_wait(1, index, 0);
  }
  EXPECT_LE(wal->log_bytes(), options.wal_bytes_max);
  EXPECT_LE(wal->stats().moved_records, 10'000u) << "a round of moves makes room for many entries";
  settle();
  EXPECT_TRUE(wal->admit(Intake::kProposal).ok());
  reopen();
  ASSERT_EQ(group(1)->entries.size(), 1000u);
}

TEST_F(WalSegmentsTest, TheMarksOfManyGroupsShareTheirBlocksToo) {
  constexpr uint64_t kGroups = 200;
  open();
  for (uint64_t id = 1; id <= kGroups; ++id) {
    turn([&] {
      hard_state(id, 3);
      mark(id, 5, /*reset=*/true);
    });
    wait();
  }
  uint64_t last = 0;
  const uint64_t first_files_bytes = wal->log_bytes();
  while (wal->log_bytes() < first_files_bytes + options.segment_bytes && last < 1000) {
    entry_and_wait(kGroups + 1, ++last, 16384);
    turn([&] { mark(kGroups + 1, last); });
    wait();
    if (wal->log_bytes() < first_files_bytes) break;
  }
  settle();
  EXPECT_LE(wal->log_bytes(), 2 * options.segment_bytes);
  reopen();
  for (uint64_t id = 1; id <= kGroups; ++id) {
    ASSERT_TRUE(group(id) && group(id)->snapshot) << "group " << id;
    EXPECT_EQ(group(id)->snapshot->index, LogIndex(5));
    EXPECT_EQ(group(id)->hard_state.term, Term(3));
  }
}

// More than half is alive, and none of it can be let go before more is taken; but a fifth is dead.
TEST_F(WalSegmentsTest, ALogThatIsMostlyAliveMakesRoomWhereEnoughIsDead) {
  options.wal_bytes_max = 16 * options.segment_bytes;
  open();
  uint64_t kept = 0, last = 0;
  while (wal->admit(Intake::kProposal).ok() && kept < 1000) {
    entry_and_wait(1, ++kept, 61440);
    entry_and_wait(2, ++last, 4096);
    turn([&] { mark(2, last); });
    wait();
  }
  ASSERT_LT(kept, 1000u) << "the log is never full";
  ASSERT_GT(wal->live_bytes(), wal->log_bytes() / 2);
  settle();
  EXPECT_TRUE(wal->admit(Intake::kProposal).ok());
  EXPECT_LE(wal->log_bytes(), options.wal_bytes_max);
  reopen();
  ASSERT_EQ(group(1)->entries.size(), kept);
}

// Nothing can be gained: what is alive is not written over and over.
TEST_F(WalSegmentsTest, ALogThatIsFullOfLiveEntriesComesToRest) {
  for (const uint64_t segments_max : {3, 4, 16}) {
    SCOPED_TRACE("at most " + std::to_string(segments_max) + " segments");
    options.directory = "wal" + std::to_string(segments_max);
    options.wal_bytes_max = segments_max * options.segment_bytes;
    for (const uint32_t payload_bytes : {0, 4096, 61440}) {
      options.directory += "x";
      open();
      uint64_t kept = 0;
      while (wal->admit(Intake::kReplication).ok() && kept < 100'000) {
        turn([&] {
          for (int i = 0; i < 40 && wal->admit(Intake::kReplication).ok(); ++i) {
            entry(1, ++kept, 1, payload_bytes);
          }
        });
        wait();
      }
      EXPECT_LT(kept, 100'000u);
      settle();
      close();
    }
  }
}

TEST_F(WalSegmentsTest, WhatIsNotDurableYetCountsToo) {
  options.wal_bytes_max = kGiB;
  options.pending_bytes_max = 64 * kKiB;
  open();
  disk.set_hung(true);
  uint64_t taken = 0;
  host.execute([&] {
    while (wal->admit(Intake::kProposal).ok() && taken < 100) entry(1, ++taken);
  });
  EXPECT_LE(taken, 17u);
  EXPECT_EQ(wal->admit(Intake::kProposal).code(), Errc::kOverloaded);
  disk.set_hung(false);
  wait();
  EXPECT_TRUE(wal->admit(Intake::kProposal).ok());
}

TEST_F(WalSegmentsTest, AFullDiskAndAFailedOneSaySo) {
  options.wal_bytes_max = kGiB;
  open();
  world.run_for(std::chrono::seconds(1));
  disk.set_capacity(4 * options.segment_bytes);
  for (uint64_t i = 1; i <= 100; ++i) turn([&] { entry(1, i, 1, 16384); });
  world.run_for(std::chrono::seconds(3));
  EXPECT_EQ(wal->admit(Intake::kProposal).code(), Errc::kNoSpace);
  EXPECT_EQ(wal->admit(Intake::kReplication).code(), Errc::kNoSpace);
  disk.set_capacity(kGiB);
  wait();
  EXPECT_TRUE(wal->admit(Intake::kProposal).ok());
  disk.fail_next_sync();
  turn([&] { entry(1, 101); });
  world.run_for(std::chrono::seconds(1));
  EXPECT_EQ(wal->admit(Intake::kProposal).code(), Errc::kIo);
}

// ---- a power loss before anything was durable

/// The segment of a life in which no batch became durable, should it be found, is no part of the
/// log that begins now: it would stand before the log's first segment for ever, and the reclaimer
/// would try to free it without end.
TEST(WalFirstSegment, IsTheLogsOldestWhateverWasFoundBeforeIt) {
  sim::World world(3);
  sim::Host& host = world.add_host("a");
  WalOptions options;
  options.segment_bytes = 256 * kKiB;
  RecordingListener listener;
  LiveIndex index;
  SegmentFiles files(host.env(), host.disk(), options);
  Writer writer(host.env(), options, listener, index, files);
  ASSERT_TRUE(world.run(host, host.disk().make_directory("wal")).ok());
  const io::OpenOptions create{.create = true, .access = io::Access::kDirect};
  auto old_file = world.run(host, host.disk().open(files.path(1), create));
  ASSERT_TRUE(old_file.ok());
  files.adopt({1, options.segment_bytes, std::shared_ptr<io::File>(std::move(*old_file))});
  files.set_next_sequence(2);
  index.add_segment(1);
  writer.start({.token = 77, .next_batch = 1});
  ASSERT_TRUE(world.run(host, files.prepare()).ok());
  host.execute([&] { writer.request_batch(); });
  ASSERT_TRUE(world.run(host, writer.drain()).ok());
  EXPECT_EQ(index.segments().front().sequence, 2u);
  EXPECT_EQ(files.in_use_count(), 1u);
  EXPECT_EQ(writer.durable_oldest(), 2u);
  host.execute([&] { writer.abandon(); });
}

using Opened = Result<std::unique_ptr<Wal>>;
io::Task<void> keep_result(io::Task<Opened> task, std::optional<Opened>* into) {
  into->emplace(co_await std::move(task));
}

TEST(WalFirstSegment, APowerLossBeforeTheFirstDurableBatchLeavesNothingBehind) {
  size_t begun_twice = 0;
  for (uint64_t seed = 1; seed <= 60 && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    sim::World world(seed);
    sim::Host& host = world.add_host("a");
    Rng rng(seed);
    WalOptions options;
    options.segment_bytes = 256 * kKiB;
    options.wal_bytes_max = 4 * options.segment_bytes;
    RecordingListener listener;
    std::vector<RecoveredGroup> recovered;
    std::unique_ptr<Wal> wal;
    const auto power_loss = [&] {
      host.crash(sim::CrashKind::kPowerLoss, [&] { wal.reset(); });
      host.boot();
    };
    for (int life = 0; life < 4; ++life) {
      std::optional<Opened> opened;
      host.spawn(
          keep_result(Wal::open(host.env(), host.disk(), options, listener, &recovered), &opened));
      world.run_for(Duration(rng.below(2'000'000)));
      if (opened && opened->ok()) wal = std::move(*opened).value();
      power_loss();
    }
    const auto names = world.run(host, host.disk().list("wal"));
    if (names.ok() && names->size() >= 2) ++begun_twice;
    auto opened =
        world.run(host, Wal::open(host.env(), host.disk(), options, listener, &recovered));
    ASSERT_TRUE(opened.ok()) << opened.error().describe();
    wal = std::move(opened).value();
    EXPECT_TRUE(recovered.empty());
    EXPECT_TRUE(wal->recovery().gaps.empty());
    host.execute([&] {
      wal->append_entry(GroupId(1),
                        {.term = Term(1), .index = LogIndex(1), .head = {}, .payload = {}});
    });
    world.run_for(std::chrono::seconds(5));
    const auto batches = wal->stats().batches_count;
    EXPECT_LE(wal->log_bytes(), 3 * options.segment_bytes);
    world.run_for(std::chrono::seconds(5));
    EXPECT_EQ(wal->stats().batches_count, batches) << "the reclaimer does not come to rest";
    power_loss();
  }
  EXPECT_GT(begun_twice, 10u) << "the seeds do reach what they are there for";
}

}  // namespace
}  // namespace cairn::wal
