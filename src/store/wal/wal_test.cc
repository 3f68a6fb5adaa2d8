// What the log does, one promise at a time, on a simulated disk. Crashes: wal_crash_test.cc.
#include "store/wal/wal_test.h"

namespace cairn::wal {
namespace {

TEST_F(WalTest, ATurnIsOneFlushHoweverManyGroupsAppend) {
  open();
  const auto flushes = wal->stats().flushes_count;
  const auto synced = disk.counters().synced_writes;
  turn([&] {
    for (uint64_t id = 1; id <= 50; ++id) {
      hard_state(id, 3);
      entry(id, 1);
    }
  });
  wait();
  EXPECT_EQ(wal->stats().flushes_count, flushes + 1);
  EXPECT_EQ(disk.counters().synced_writes, synced + 1);
  EXPECT_EQ(listener.durable, wal->last_lsn());
}

TEST_F(WalTest, RecoversEverythingItAcknowledged) {
  open();
  turn([&] {
    hard_state(5, 9);
    for (uint64_t i = 1; i <= 10; ++i) entry(5, i, 2, i % 2 ? 8192 : 0);
    mark(5, 3);
    entry(6, 1);
  });
  wait();
  crash();
  open();
  ASSERT_EQ(recovered.size(), 2u);
  ASSERT_TRUE(group(5));
  EXPECT_EQ(group(5)->hard_state, (HardState{Term(9), 2, LogIndex(0)}));
  ASSERT_TRUE(group(5)->snapshot);
  EXPECT_EQ(group(5)->snapshot->index, LogIndex(3));
  EXPECT_EQ(as_text(group(5)->snapshot->data.view()), "m");
  ASSERT_EQ(group(5)->entries.size(), 7u);
  EXPECT_EQ(group(5)->entries.front().index, LogIndex(4));
  EXPECT_EQ(group(5)->entries.front().type, 7);
  EXPECT_EQ(as_text(group(5)->entries.front().head.view()), "g5 i4 t2");
  EXPECT_EQ(group(5)->entries[1].payload_bytes, 8192u);
  expect_payload(5, 5, 2, 8192);
  expect_payload(5, 4, 2, 0);
  EXPECT_EQ(read(5, 3).code(), Errc::kNotFound);
}

TEST_F(WalTest, AnIndexThatIsTakenReplacesTheSuffix) {
  open();
  turn([&] {
    for (uint64_t i = 1; i <= 5; ++i) entry(1, i, 1);
    entry(1, 3, 2);
  });
  EXPECT_EQ(read(1, 4).code(), Errc::kNotFound);
  expect_payload(1, 3, 2);
  wait();
  reopen();
  ASSERT_EQ(group(1)->entries.size(), 3u);
  EXPECT_EQ(group(1)->entries.back().term, Term(2));
  expect_payload(1, 3, 2);
}

TEST_F(WalTest, AResettingSnapshotVoidsTheEntriesBehindIt) {
  open();
  turn([&] {
    for (uint64_t i = 1; i <= 5; ++i) entry(1, i);
    mark(1, 2, true);
    entry(1, 3, 8);
  });
  wait();
  reopen();
  ASSERT_EQ(group(1)->entries.size(), 1u);
  EXPECT_EQ(group(1)->entries[0].term, Term(8));
}

TEST_F(WalTest, ARemovedGroupIsGoneAndItsNameIsFree) {
  open();
  turn([&] {
    hard_state(1, 4);
    entry(1, 1);
    entry(2, 1);
    wal->append_remove_group(GroupId(1));
  });
  wait();
  reopen();
  EXPECT_FALSE(group(1));
  EXPECT_TRUE(group(2));
  turn([&] { entry(1, 1, 5); });
  wait();
  reopen();
  ASSERT_TRUE(group(1));
  EXPECT_EQ(group(1)->hard_state, HardState{});
  expect_payload(1, 1, 5);
}

TEST_F(WalTest, PayloadsInFlightAreReadFromMemory) {
  open();
  disk.set_hung(true);
  turn([&] { entry(1, 1); });
  const auto reads = disk.counters().reads;
  expect_payload(1, 1);
  EXPECT_EQ(disk.counters().reads, reads);
  EXPECT_EQ(listener.durable, Lsn());
  disk.set_hung(false);
  wait();
  expect_payload(1, 1);
}

TEST_F(WalTest, RecordsGatherWhileAllWritesAreUnderWay) {
  options.writes_inflight_max = 2;
  open();
  disk.set_slowness(10);
  const auto batches = wal->stats().batches_count;
  for (uint64_t i = 1; i <= 50; ++i) turn([&] { entry(1, i); });
  wait();
  EXPECT_LE(wal->stats().batches_count - batches, 6u);
}

TEST_F(WalTest, ALargeTurnIsSplitIntoBatches) {
  options.segment_bytes = kMiB;
  options.batch_bytes_max = 64 * kKiB;
  open();
  const auto batches = wal->stats().batches_count;
  turn([&] {
    for (uint64_t i = 1; i <= 100; ++i) entry(1, i);
  });
  wait();
  EXPECT_GE(wal->stats().batches_count - batches, 7u);
  reopen();
  EXPECT_EQ(group(1)->entries.size(), 100u);
}

TEST_F(WalTest, TakesHeadsAndMarksOfTheLargestSizes) {
  options.segment_bytes = kMiB;
  open();
  const std::string head(Wal::kHeadBytesMax, 'h');
  const std::string data(Wal::kMarkBytesMax, 'd');
  turn([&] {
    wal->append_entry(GroupId(1), {.term = Term(1),
                                   .index = LogIndex(1),
                                   .type = 1,
                                   .head = Buffer::copy_of(head),
                                   .payload = {}});
    wal->append_snapshot(
        GroupId(2), {.index = LogIndex(4), .term = Term(1), .data = Buffer::copy_of(data)}, true);
  });
  wait();
  reopen();
  EXPECT_EQ(as_text(group(1)->entries[0].head.view()), head);
  EXPECT_EQ(as_text(group(2)->snapshot->data.view()), data);
}

// ---- segments

TEST_F(WalTest, SegmentsAreRecycledBehindSnapshots) {
  open();
  for (uint64_t i = 1; i <= 400; ++i) {
    turn([&] {
      entry(1, i, 1, 16384);
      if (i % 20 == 0) mark(1, i - 5);
    });
    wait();
  }
  EXPECT_FALSE(wal->over_limit());
  EXPECT_LE(wal->log_bytes(), 5 * options.segment_bytes);
  EXPECT_GT(wal->stats().segments_recycled, 15u);
  EXPECT_LE(wal->stats().segments_created, 8u);
  EXPECT_EQ(wal->bytes_since_snapshot(GroupId(1)), wal->live_bytes());
  reopen();
  EXPECT_EQ(group(1)->entries.size(), 5u);
  expect_payload(1, 400, 1, 16384);
}

TEST_F(WalTest, SmallRecordsOfIdleGroupsDoNotHoldTheLog) {
  open();
  turn([&] {
    for (uint64_t id = 2; id <= 40; ++id) {
      hard_state(id, id);
      mark(id, 10, true);
    }
  });
  wait();
  for (uint64_t i = 1; i <= 300; ++i) {
    turn([&] {
      entry(1, i, 1, 16384);
      mark(1, i);
    });
    wait();
  }
  EXPECT_LE(wal->log_bytes(), 4 * options.segment_bytes);
  EXPECT_GE(wal->stats().moved_records, 78u);
  reopen();
  for (uint64_t id = 2; id <= 40; ++id) {
    ASSERT_TRUE(group(id));
    EXPECT_EQ(group(id)->hard_state.term, Term(id));
    EXPECT_EQ(group(id)->snapshot->index, LogIndex(10));
  }
}

TEST_F(WalTest, TheEntriesOfAFewSlowGroupsAreMovedAboveTheBound) {
  open();
  turn([&] {
    for (uint64_t i = 1; i <= 5; ++i) entry(2, i);
  });
  wait();
  for (uint64_t i = 1; i <= 300; ++i) {
    turn([&] {
      entry(1, i, 1, 16384);
      mark(1, i);
    });
    wait();
  }
  EXPECT_FALSE(wal->over_limit());
  EXPECT_GE(wal->stats().moved_records, 5u);
  for (uint64_t i = 1; i <= 5; ++i) expect_payload(2, i);
  turn([&] { entry(2, 4, 2); });  // ends the log within what was moved
  wait();
  reopen();
  ASSERT_EQ(group(2)->entries.size(), 4u);
  for (uint64_t i = 1; i <= 3; ++i) expect_payload(2, i);
  expect_payload(2, 4, 2);
}

TEST_F(WalTest, TellsWhoPinsTheOldestSegments) {
  options.move_groups_max = 1;
  open();
  turn([&] {
    for (uint64_t id = 2; id <= 9; ++id) entry(id, 1);
  });
  wait();
  for (uint64_t i = 1; i <= 200 && !wal->over_limit(); ++i) {
    turn([&] {
      entry(1, i, 1, 16384);
      mark(1, i);
    });
    wait();
  }
  ASSERT_TRUE(wal->over_limit());
  const auto pinning = wal->groups_pinning_oldest(100);
  EXPECT_EQ(pinning.size(), 8u);
  EXPECT_EQ(wal->groups_pinning_oldest(3).size(), 3u);
  turn([&] {
    for (const GroupId id : pinning) mark(id.value(), 1);
  });
  wait();
  world.run_for(std::chrono::seconds(1));
  EXPECT_FALSE(wal->over_limit());
}

// ---- failures

TEST_F(WalTest, AFailedWriteLatchesTheLog) {
  open();
  entry_and_wait(1, 1);
  disk.fail_next_sync();
  turn([&] { entry(1, 2); });
  world.run_for(std::chrono::seconds(1));
  EXPECT_TRUE(wal->failed());
  EXPECT_EQ(listener.failures, 1);
  const Lsn before = listener.durable;
  const auto writes = disk.counters().writes + disk.counters().synced_writes;
  turn([&] { entry(1, 3); });
  world.run_for(std::chrono::seconds(20));
  EXPECT_EQ(listener.durable, before);
  EXPECT_EQ(listener.failures, 1);
  EXPECT_EQ(disk.counters().writes + disk.counters().synced_writes, writes) << "nothing is retried";
  expect_payload(1, 1);
  world.run(host, wal->stop());
  crash();
  open();
  EXPECT_GE(group(1)->entries.size(), 1u);
}

TEST_F(WalTest, AWriteThatHangsLatchesTheLogAndStopDoesNotWaitForIt) {
  options.write_hang_max = std::chrono::seconds(2);
  open();
  entry_and_wait(1, 1);
  disk.set_hung(true);
  turn([&] { entry(1, 2); });
  world.run_for(std::chrono::milliseconds(1500));
  EXPECT_FALSE(wal->failed());
  world.run_for(std::chrono::seconds(3));
  EXPECT_TRUE(wal->failed());
  EXPECT_EQ(listener.failures, 1);
  world.run(host, wal->stop(), std::chrono::seconds(3));
  host.execute([&] { wal.reset(); });
  disk.set_hung(false);
  world.run_for(std::chrono::seconds(1));  // the write ends after its log is gone
  EXPECT_EQ(listener.durable, Lsn(1));
}

TEST_F(WalTest, APauseOfTheWholeProcessIsNoHang) {
  options.write_hang_max = std::chrono::seconds(2);
  open();
  turn([&] { entry(1, 1); });
  host.pause();
  world.run_for(std::chrono::minutes(1));
  host.resume();
  wait();
  EXPECT_FALSE(wal->failed());
}

TEST_F(WalTest, WithoutSpaceItWaitsAndGoesOnWhenThereIsSome) {
  open();
  disk.set_capacity(4 * options.segment_bytes);
  for (uint64_t i = 1; i <= 100; ++i) turn([&] { entry(1, i, 1, 16384); });
  world.run_for(std::chrono::seconds(5));
  EXPECT_FALSE(wal->failed());
  EXPECT_LT(listener.durable, wal->last_lsn());
  expect_payload(1, 100, 1, 16384);
  disk.set_capacity(kGiB);
  wait();
  reopen();
  EXPECT_EQ(group(1)->entries.size(), 100u);
}

TEST_F(WalTest, StopEndsThoughThereIsNoSpace) {
  open();
  disk.set_capacity(3 * options.segment_bytes);
  for (uint64_t i = 1; i <= 100; ++i) turn([&] { entry(1, i, 1, 16384); });
  world.run_for(std::chrono::seconds(3));
  world.run(host, wal->stop(), std::chrono::seconds(10));
}

// ---- damage

TEST_F(WalTest, ARottenPayloadQuarantinesItsGroupAlone) {
  open();
  for (uint64_t i = 1; i <= 4; ++i) {
    turn([&] {
      entry(1, i);
      entry(2, i);
    });
    wait();
  }
  const auto batch = find_batch_with(2, 3);
  close();
  rot(batch.sequence, batch.offset_bytes + batch.descriptor_bytes + 4096 + 100);
  open();
  EXPECT_EQ(reason(1), "");
  EXPECT_NE(reason(2).find("entry 3"), std::string::npos) << reason(2);
  EXPECT_EQ(wal->recovery().damaged_entries, 1u);
  EXPECT_EQ(read(2, 3).code(), Errc::kCorrupt);
  expect_payload(2, 4);
  // It stays so until the group is removed, even when the rotten entry is dead.
  turn([&] { mark(2, 3); });
  wait();
  reopen();
  EXPECT_NE(reason(2), "");
  turn([&] { wal->append_remove_group(GroupId(2)); });
  wait();
  turn([&] { entry(2, 1); });
  wait();
  reopen();
  EXPECT_EQ(reason(2), "");
}

TEST_F(WalTest, ARottenPayloadOfADeadEntryHarmsNobody) {
  open();
  for (uint64_t i = 1; i <= 4; ++i) entry_and_wait(1, i);
  const auto batch = find_batch_with(1, 2);
  turn([&] { mark(1, 3); });
  wait();
  close();
  rot(batch.sequence, batch.offset_bytes + batch.descriptor_bytes + 1);
  open();
  EXPECT_EQ(reason(1), "");
  EXPECT_EQ(group(1)->entries.size(), 1u);
}

TEST_F(WalTest, ARottenDescriptorInTheMiddleQuarantinesAllGroupsButNotLaterOnes) {
  open();
  turn([&] {
    entry(1, 1);
    entry(2, 1);
  });
  wait();
  for (uint64_t i = 2; i <= 4; ++i) entry_and_wait(1, i);
  const auto batch = find_batch_with(1, 3);
  close();
  rot(batch.sequence, batch.offset_bytes + 200);
  open();
  EXPECT_NE(reason(1), "");
  EXPECT_NE(reason(2), "") << "what was in the batch cannot be known";
  EXPECT_EQ(wal->recovery().gaps.size(), 1u);
  // Everything from now on is sound, and the verdict on the old ones stays.
  turn([&] {
    hard_state(3, 1);
    entry(3, 1);
    wal->append_remove_group(GroupId(1));
    entry(1, 1);
  });
  wait();
  for (int i = 0; i < 3; ++i) {
    reopen();
    EXPECT_EQ(reason(1), "");
    EXPECT_NE(reason(2), "");
    EXPECT_EQ(reason(3), "");
  }
}

TEST_F(WalTest, AQuarantineOutlivesTheSegmentThatItCameFrom) {
  open();
  turn([&] {
    entry(1, 1);
    hard_state(2, 5);
  });
  wait();
  for (uint64_t i = 2; i <= 4; ++i) entry_and_wait(1, i);
  const auto batch = find_batch_with(1, 2);
  close();
  rot(batch.sequence, batch.offset_bytes + 200);
  open();
  ASSERT_NE(reason(2), "");
  turn([&] { wal->append_remove_group(GroupId(1)); });
  for (uint64_t i = 1; i <= 300; ++i) {
    turn([&] {
      entry(3, i, 1, 16384);
      mark(3, i);
    });
    wait();
  }
  reopen();
  EXPECT_TRUE(wal->recovery().gaps.empty()) << "the gap has left the log";
  EXPECT_NE(reason(2), "");
  EXPECT_EQ(reason(3), "");
}

TEST_F(WalTest, ATornTailIsCutAndDoesNotComeBack) {
  open();
  entry_and_wait(1, 1);
  entry_and_wait(1, 2);
  const auto batch = find_batch_with(1, 2);
  crash(sim::CrashKind::kKill);  // before a mark covers the last batch
  const uint64_t payload_at = batch.offset_bytes + batch.descriptor_bytes + 77;
  rot(batch.sequence, payload_at);
  open();
  EXPECT_EQ(reason(1), "");
  EXPECT_EQ(group(1)->entries.size(), 1u);
  EXPECT_EQ(wal->recovery().batches_cut, 1u);
  crash(sim::CrashKind::kKill);
  rot(batch.sequence, payload_at);  // the same bit again: the batch is whole once more
  open();
  EXPECT_EQ(group(1)->entries.size(), 1u) << "what was cut once stays cut";
  EXPECT_EQ(reason(1), "");
}

TEST_F(WalTest, AnIdleLogCoversItsLastRecords) {
  open();
  entry_and_wait(1, 1);
  world.run_for(std::chrono::seconds(1));
  const auto batches = wal->stats().batches_count;
  world.run_for(std::chrono::minutes(1));
  EXPECT_EQ(wal->stats().batches_count, batches) << "one mark is enough";
  const auto batch = find_batch_with(1, 1);
  crash();
  rot(batch.sequence, batch.offset_bytes + batch.descriptor_bytes);
  open();
  EXPECT_NE(reason(1), "") << "acknowledged, covered, rotten: no torn tail";
}

TEST_F(WalTest, ATruncatedSegmentQuarantinesAndTheLogGoesOn) {
  open();
  for (uint64_t i = 1; i <= 4; ++i) entry_and_wait(1, i);
  const auto batch = find_batch_with(1, 3);
  close();
  ASSERT_TRUE(disk.cut_file(path(batch.sequence), batch.offset_bytes).ok());
  open();
  EXPECT_NE(reason(1).find("truncated"), std::string::npos) << reason(1);
  turn([&] { entry(2, 1); });
  wait();
  reopen();
  EXPECT_NE(reason(1), "");
  EXPECT_EQ(reason(2), "");
}

TEST_F(WalTest, ALogOfWhichNothingIsReadableIsNotANewOne) {
  open();
  entry_and_wait(1, 1);
  const auto batch = find_batch_with(1, 1);
  close();
  ASSERT_TRUE(disk.cut_file(path(batch.sequence), 0).ok());
  const auto opened = try_open();
  ASSERT_EQ(opened.code(), Errc::kCorrupt);
  EXPECT_NE(opened.error().message().find(segment_name(batch.sequence)), std::string::npos);
}

TEST_F(WalTest, AnEmptyDirectoryIsAnErrorToAHostThatHadALog) {
  options.must_exist = true;
  EXPECT_EQ(try_open().code(), Errc::kNotFound);
}

TEST_F(WalTest, AMissingSegmentInTheMiddleQuarantines) {
  open();
  for (uint64_t i = 1; i <= 60; ++i) entry_and_wait(1, i, 16384);
  const auto batch = find_batch_with(1, 30);
  const auto last = find_batch_with(1, 60);
  close();
  ASSERT_LT(batch.sequence, last.sequence);
  run_io(disk.remove(path(batch.sequence)));
  open();
  EXPECT_NE(reason(1).find("missing"), std::string::npos) << reason(1);
}

TEST_F(WalTest, AMissingOldestSegmentQuarantines) {
  open();
  for (uint64_t i = 1; i <= 60; ++i) entry_and_wait(1, i, 16384);
  const auto batch = find_batch_with(1, 1);
  close();
  run_io(disk.remove(path(batch.sequence)));
  open();
  EXPECT_NE(reason(1), "");
}

TEST_F(WalTest, ASegmentOfAnotherStoreIsRefused) {
  open();
  entry_and_wait(1, 1);
  close();
  run_io(disk.remove("wal.identity"));
  options.store_token = 12345;
  const auto opened = try_open();
  ASSERT_EQ(opened.code(), Errc::kCorrupt);
  EXPECT_NE(opened.error().message().find("another store"), std::string::npos);
}

TEST_F(WalTest, AFileWhoseNumberNoLogReachesIsRefused) {
  open();
  entry_and_wait(1, 1);
  close();
  run_io(io::replace_file(disk, "wal/segment_ffffffffffffffff", Buffer::copy_of("x")));
  EXPECT_EQ(try_open().code(), Errc::kCorrupt);
}

TEST_F(WalTest, ARottenSegmentHeaderCostsNothing) {
  open();
  for (uint64_t i = 1; i <= 4; ++i) entry_and_wait(1, i);
  const auto batch = find_batch_with(1, 1);
  close();
  rot(batch.sequence, 40);
  open();
  EXPECT_EQ(reason(1), "");
  EXPECT_EQ(group(1)->entries.size(), 4u);
}

TEST_F(WalTest, AnUnreadableBlockIsNotATornTail) {
  open();
  entry_and_wait(1, 1);
  close();
  disk.set_error_rate(sim::DiskOperation::kRead, 1.0);
  const auto opened = try_open();
  EXPECT_NE(opened.code(), Errc::kOk) << "a disk that cannot be read holds no empty log";
  disk.set_error_rate(sim::DiskOperation::kRead, 0);
  open();
  EXPECT_EQ(group(1)->entries.size(), 1u);
}

TEST_F(WalTest, AReadErrorThatGoesAwayCostsNothing) {
  open();
  for (uint64_t i = 1; i <= 60; ++i) entry_and_wait(1, i, 16384);
  close();
  for (uint64_t n = 1; n <= 8; ++n) disk.fail_operation(sim::DiskOperation::kRead, 7);
  open();
  EXPECT_EQ(reason(1), "");
  EXPECT_EQ(group(1)->entries.size(), 60u);
}

}  // namespace
}  // namespace cairn::wal
