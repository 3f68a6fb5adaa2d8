#include "placement/cluster_test.h"

namespace cairn::placement {
namespace {

TEST(Cluster, AReportOfANewerEpochReplacesMembersLeaderAndCounts) {
  Cluster cluster = make_cluster(4, 1, 1);
  add(cluster, 7, ids_of({1, 2, 3}));
  EXPECT_EQ(tell(cluster, {7, 4, 2, ids_of({4, 2, 3})}, kNowMs + 5), ReportOutcome::kUpdated);
  const Copyset& copyset = cluster.copyset(cluster.find_copyset(CopysetId(7)));
  EXPECT_EQ(copyset.epoch, Epoch(4));
  EXPECT_EQ(copyset.leader_since_ms, kNowMs + 5);
  EXPECT_EQ(cluster.chunkserver(cluster.find_chunkserver(ChunkserverId(1))).replicas_count, 0u);
  EXPECT_EQ(cluster.chunkserver(cluster.find_chunkserver(ChunkserverId(4))).replicas_count, 1u);
  EXPECT_EQ(cluster.chunkserver(cluster.find_chunkserver(ChunkserverId(2))).leaders_count, 1u);
  cluster.check_invariants();
}

TEST(Cluster, LateRepeatedAndContradictoryReportsChangeNothing) {
  Cluster cluster = make_cluster(4, 1, 1);
  add(cluster, 7, ids_of({1, 2, 3}));
  ASSERT_EQ(tell(cluster, {7, 4, 2, ids_of({4, 2, 3})}), ReportOutcome::kUpdated);
  EXPECT_EQ(tell(cluster, {7, 3, 1, ids_of({1, 2, 3})}), ReportOutcome::kStale);
  EXPECT_EQ(tell(cluster, {7, 4, 2, ids_of({4, 2, 3})}), ReportOutcome::kSame);
  EXPECT_EQ(tell(cluster, {7, 4, 3, ids_of({4, 2, 3})}), ReportOutcome::kConflict);
  EXPECT_EQ(tell(cluster, {.copyset = 7,
                           .epoch = 4,
                           .leader = 2,
                           .voters = ids_of({1, 2, 3}),
                           .change = ChangeKind::kAdd,
                           .change_target = 1}),
            ReportOutcome::kConflict);
  EXPECT_EQ(tell(cluster, {8, 4, 2, ids_of({4, 2, 3})}), ReportOutcome::kUnknownCopyset);
  EXPECT_EQ(tell(cluster, {7, 5, 2, ids_of({9, 2, 3})}), ReportOutcome::kUnknownChunkserver);
  EXPECT_EQ(tell(cluster, {7, 5, 9, ids_of({4, 2, 3})}), ReportOutcome::kUnknownChunkserver);
  EXPECT_EQ(tell(cluster, {7, 5, 2, ids_of({2, 2, 3})}), ReportOutcome::kMalformed);
  EXPECT_EQ(tell(cluster, {7, 5, 1, ids_of({2, 3, 4})}), ReportOutcome::kMalformed);
  EXPECT_EQ(tell(cluster, {7, 5, 2, {}}), ReportOutcome::kMalformed);
  EXPECT_EQ(tell(cluster, {7, 5, 2, ids_of({2}), ids_of({1, 3, 4, 2})}), ReportOutcome::kMalformed);
  const Copyset& copyset = cluster.copyset(cluster.find_copyset(CopysetId(7)));
  EXPECT_EQ(copyset.epoch, Epoch(4));
  EXPECT_EQ(copyset.leader, cluster.find_chunkserver(ChunkserverId(2)));
  cluster.check_invariants();
}

TEST(Cluster, AChangeUnderWayIsSeenWithinAnEpoch) {
  Cluster cluster = make_cluster(4, 1, 1);
  add(cluster, 7, ids_of({1, 2, 3}));
  const Told told{.copyset = 7,
                  .epoch = 1,
                  .leader = 1,
                  .voters = ids_of({1, 2, 3}),
                  .change = ChangeKind::kChange,
                  .change_target = 4};
  EXPECT_EQ(tell(cluster, told), ReportOutcome::kUpdated);
  EXPECT_EQ(tell(cluster, told), ReportOutcome::kSame);
  const Copyset& copyset = cluster.copyset(cluster.find_copyset(CopysetId(7)));
  EXPECT_EQ(copyset.change_target, cluster.find_chunkserver(ChunkserverId(4)));
  EXPECT_EQ(tell(cluster, {7, 2, 1, ids_of({1, 2, 3}), ids_of({4})}), ReportOutcome::kUpdated);
  EXPECT_EQ(copyset.learners().size(), 1u);
  EXPECT_EQ(copyset.voters().size(), 3u);
  EXPECT_EQ(copyset.change, ChangeKind::kNone);
  cluster.check_invariants();
}

TEST(Cluster, SilenceMakesUnstableThenOfflineAndOnlyAHeartbeatBringsBack) {
  Cluster cluster = make_cluster(1, 1, 2);
  const LivenessLimits limits{.unstable_after_ms = 30'000, .offline_after_ms = 100'000};
  EXPECT_EQ(cluster.sweep_liveness(kNowMs + 29'999, limits), 0u);
  ASSERT_TRUE(cluster.apply_heartbeat(ChunkserverId(2), kTiB, 5, kNowMs + 20'000));
  EXPECT_EQ(cluster.sweep_liveness(kNowMs + 30'000, limits), 1u);
  EXPECT_EQ(cluster.chunkserver(0).liveness, Liveness::kUnstable);
  EXPECT_EQ(cluster.sweep_liveness(kNowMs + 130'000, limits), 2u);
  EXPECT_EQ(cluster.chunkserver(0).liveness, Liveness::kOffline);
  EXPECT_EQ(cluster.sweep_liveness(kNowMs - 5, limits), 0u) << "a clock set back revives nobody";
  ASSERT_TRUE(cluster.apply_heartbeat(ChunkserverId(1), kTiB, 5, kNowMs + 131'000));
  EXPECT_TRUE(cluster.chunkserver(0).is_online());
  EXPECT_EQ(cluster.chunkserver(0).online_since_ms, kNowMs + 131'000);
  EXPECT_FALSE(cluster.apply_heartbeat(ChunkserverId(9), kTiB, 5, kNowMs));
}

TEST(Cluster, OnlyAnEmptyChunkserverIsRemovedAndItsRowIsUsedAgain) {
  Cluster cluster = make_cluster(4, 1, 1);
  add(cluster, 7, ids_of({1, 2, 3}));
  EXPECT_EQ(cluster.remove_chunkserver(ChunkserverId(1)).code(), Errc::kPreconditionFailed);
  EXPECT_EQ(cluster.remove_chunkserver(ChunkserverId(9)).code(), Errc::kNotFound);
  ASSERT_TRUE(cluster.remove_chunkserver(ChunkserverId(4)).ok());
  EXPECT_EQ(cluster.find_chunkserver(ChunkserverId(4)), kNoSlot);
  ASSERT_TRUE(cluster.put_chunkserver(disk(5, 4, 4)).ok());
  EXPECT_EQ(cluster.chunkservers().size(), 4u);
  Chunkserver changed = disk(1, 2, 2);
  changed.service = Service::kDraining;
  ASSERT_TRUE(cluster.put_chunkserver(changed).ok());
  cluster.check_invariants();
}

TEST(Cluster, CopysetsAreAddedOnceWithKnownMembersAndRemovedWithTheirCounts) {
  Cluster cluster = make_cluster(3, 1, 1);
  add(cluster, 7, ids_of({1, 2, 3}));
  const auto voters = ids_of({1, 2, 3});
  const auto add_again = [&](uint64_t id, PoolId pool, std::vector<ChunkserverId> members) {
    return cluster.add_copyset(CopysetId(id), pool, Epoch(1), members).code();
  };
  EXPECT_EQ(add_again(7, PoolId(1), voters), Errc::kAlreadyExists);
  EXPECT_EQ(add_again(8, PoolId(2), voters), Errc::kNotFound);
  EXPECT_EQ(add_again(8, PoolId(1), ids_of({1, 2, 9})), Errc::kNotFound);
  EXPECT_EQ(add_again(8, PoolId(1), ids_of({1, 2, 2})), Errc::kInvalidArgument);
  EXPECT_EQ(add_again(8, PoolId(1), {}), Errc::kInvalidArgument);
  ASSERT_TRUE(cluster.remove_copyset(CopysetId(7)).ok());
  EXPECT_EQ(cluster.remove_copyset(CopysetId(7)).code(), Errc::kNotFound);
  EXPECT_EQ(cluster.chunkserver(0).replicas_count, 0u);
  EXPECT_EQ(add_again(8, PoolId(1), voters), Errc::kOk);
  EXPECT_EQ(cluster.copysets().size(), 1u) << "the row is used again";
  cluster.check_invariants();
}

TEST(Cluster, APoolTakesTheChunkserversThatBearAllItsTags) {
  Cluster cluster = make_cluster(1, 1, 1);
  Chunkserver fast = disk(2, 1, 1);
  fast.tags = 0b101;
  ASSERT_TRUE(cluster.put_chunkserver(fast).ok());
  const LogicalPool pool{.id = PoolId(2), .physical_pool = PoolId(1), .tags_required = 0b100};
  ASSERT_TRUE(cluster.put_pool(pool).ok());
  EXPECT_FALSE(cluster.is_in_pool(cluster.chunkserver(0), pool));
  EXPECT_TRUE(cluster.is_in_pool(cluster.chunkserver(1), pool));
  EXPECT_EQ(cluster.put_pool({.id = PoolId(3), .replicas_count = 8}).code(),
            Errc::kInvalidArgument);
}

TEST(Cluster, SegmentsGoToCopysetsWhoseMembersAllServeWithTheSpaceOfTheFullest) {
  Cluster cluster = make_cluster(3, 1, 2);
  add(cluster, 1, ids_of({1, 3, 5}));
  add(cluster, 2, ids_of({2, 4, 6}));
  add(cluster, 3, ids_of({1, 4, 5}));
  set_service(cluster, 2, Service::kDraining);
  ASSERT_TRUE(cluster.apply_heartbeat(ChunkserverId(3), kTiB, kTiB - kGiB, kNowMs));
  const auto candidates = segment_candidates(cluster, PoolId(1));
  ASSERT_EQ(candidates.size(), 2u);
  EXPECT_EQ(candidates[0].id, CopysetId(1));
  EXPECT_EQ(candidates[0].free_bytes, kGiB);
  EXPECT_EQ(candidates[1].id, CopysetId(3));
  EXPECT_EQ(candidates[1].free_bytes, kTiB - kTiB / 10);
  set_liveness(cluster, 1, Liveness::kUnstable);
  EXPECT_TRUE(segment_candidates(cluster, PoolId(1)).empty());
  EXPECT_TRUE(segment_candidates(cluster, PoolId(9)).empty());
}

TEST(Shares, AreProportionalWithinTheirBounds) {
  const auto parts = divide({{1, 0, 100}, {2, 0, 100}, {10, 0, 40}, {1, 30, 100}}, 100);
  EXPECT_NEAR(parts[0], 10, 1e-6);
  EXPECT_NEAR(parts[1], 20, 1e-6);
  EXPECT_NEAR(parts[2], 40, 1e-6);
  EXPECT_NEAR(parts[3], 30, 1e-6);
  EXPECT_NEAR(divide({{1, 0, 10}, {1, 0, 10}}, 100)[0], 10, 1e-6) << "no more than allowed";
}

TEST(Shares, AZoneGetsOneReplicaOfACopysetWhateverItsCapacity) {
  Cluster cluster = make_cluster(3, 1, 2);
  Chunkserver large = disk(1, 1, 1);
  large.capacity_bytes = 3 * kTiB;
  ASSERT_TRUE(cluster.put_chunkserver(large).ok());
  const auto shares = replica_shares(cluster, {0, 1, 2, 3, 4, 5}, 100, 3);
  EXPECT_NEAR(shares[0], 75, 1e-6);
  EXPECT_NEAR(shares[1], 25, 1e-6);
  for (size_t i = 2; i < 6; ++i) EXPECT_NEAR(shares[i], 50, 1e-6);
}

TEST(Shares, TwoZonesHoldOneOrTwoOfThreeReplicas) {
  Cluster cluster = make_cluster(2, 3, 1);
  for (uint64_t id = 4; id <= 6; ++id) {
    Chunkserver large = disk(id, 2, 3 + id);
    large.capacity_bytes = 100 * kTiB;
    ASSERT_TRUE(cluster.put_chunkserver(large).ok());
  }
  const auto shares = replica_shares(cluster, {0, 1, 2, 3, 4, 5}, 90, 3);
  for (size_t i = 0; i < 3; ++i) EXPECT_NEAR(shares[i], 30, 1e-6);
  for (size_t i = 3; i < 6; ++i) EXPECT_NEAR(shares[i], 60, 1e-6);
}

TEST(Shares, PairsAreCountedForAnEvenSpread) {
  EXPECT_EQ(pairs_at_least(3, 3), 0u);
  EXPECT_EQ(pairs_at_least(3, 5), 0u);
  EXPECT_EQ(pairs_at_least(3, 2), 1u);
  EXPECT_EQ(pairs_at_least(3, 1), 3u);
  EXPECT_EQ(pairs_at_least(5, 2), 4u);
}

TEST(Cluster, ALeaderThatStepsDownIsBelievedUnlessItsWordIsOld) {
  Cluster cluster = make_cluster(3, 1, 1);
  add(cluster, 1, ids_of({1, 2, 3}));
  ASSERT_EQ(tell(cluster, {1, 4, 2, ids_of({1, 2, 3})}), ReportOutcome::kUpdated);
  const auto leader = [&] { return cluster.copyset(cluster.find_copyset(CopysetId(1))).leader; };
  cluster.step_down(CopysetId(1), ChunkserverId(1), Epoch(4), kNowMs);
  EXPECT_NE(leader(), kNoSlot) << "somebody else leads";
  cluster.step_down(CopysetId(1), ChunkserverId(2), Epoch(3), kNowMs);
  EXPECT_NE(leader(), kNoSlot) << "said before it was elected";
  cluster.step_down(CopysetId(1), ChunkserverId(2), Epoch(4), kNowMs);
  EXPECT_EQ(leader(), kNoSlot);
  cluster.check_invariants();
  EXPECT_EQ(tell(cluster, {1, 4, 2, ids_of({1, 2, 3})}), ReportOutcome::kUpdated);
  cluster.check_invariants();
}

TEST(Cluster, NewTablesTakeOverWhatWasHeardAndIsNotOlder) {
  Cluster heard = make_cluster(4, 1, 1);
  add(heard, 1, ids_of({1, 2, 3}));
  add(heard, 2, ids_of({1, 2, 3}));
  add(heard, 3, ids_of({1, 2, 3}));
  tell(heard, {1, 7, 2, ids_of({1, 2, 4}), ids_of({3}), ChangeKind::kAdd, 3}, kNowMs + 5);
  set_liveness(heard, 4, Liveness::kOffline);
  Cluster fresh = make_cluster(4, 1, 1);
  ASSERT_TRUE(fresh.add_copyset(CopysetId(1), PoolId(1), Epoch(1), ids_of({1, 2, 3})).ok());
  ASSERT_TRUE(fresh.add_copyset(CopysetId(2), PoolId(1), Epoch(9), ids_of({1, 2, 4})).ok());
  fresh.take_over(heard);
  fresh.check_invariants();
  const Copyset& one = fresh.copyset(fresh.find_copyset(CopysetId(1)));
  EXPECT_EQ(one.epoch, Epoch(7));
  EXPECT_TRUE(one.has_voter(fresh.find_chunkserver(ChunkserverId(4))));
  EXPECT_EQ(one.learners_count, 1);
  EXPECT_EQ(one.change, ChangeKind::kAdd);
  EXPECT_EQ(one.reported_ms, kNowMs + 5);
  const Copyset& two = fresh.copyset(fresh.find_copyset(CopysetId(2)));
  EXPECT_EQ(two.epoch, Epoch(9)) << "the record is newer than what was heard";
  EXPECT_EQ(two.leader, kNoSlot);
  EXPECT_EQ(fresh.find_copyset(CopysetId(3)), kNoSlot) << "it is gone";
  EXPECT_EQ(fresh.chunkserver(fresh.find_chunkserver(ChunkserverId(4))).liveness,
            Liveness::kOffline);
}

}  // namespace
}  // namespace cairn::placement
