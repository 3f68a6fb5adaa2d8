#include "placement/planners.h"

#include "placement/cluster_test.h"

namespace cairn::placement {
namespace {

struct Planned {
  std::vector<Operator> operators;
  std::vector<Note> notes;
  PoolProgress progress;
};

Planned plan(const Cluster& cluster, Ledger& ledger, const PlannerLimits& limits = {},
             uint64_t now_ms = kNowMs) {
  RoundResult result = plan_round(cluster, ledger, limits, now_ms);
  ledger.check_invariants();
  Planned planned{.notes = std::move(result.notes), .progress = result.progress.at(0)};
  for (const Operator* op : ledger.list()) {
    if (std::ranges::find(result.planned, op->id) != result.planned.end()) {
      planned.operators.push_back(*op);
    }
  }
  return planned;
}

Planned plan(const Cluster& cluster) {
  Ledger ledger{LedgerLimits{}};
  return plan(cluster, ledger);
}

TEST(Recovery, ReplacesALostReplicaInAZoneThatTheOthersAreNotIn) {
  Cluster cluster = make_cluster(4, 1, 2);  // zones {1,2} {3,4} {5,6} {7,8}
  add(cluster, 1, ids_of({1, 3, 5}));
  set_liveness(cluster, 5, Liveness::kOffline);
  const Planned planned = plan(cluster);
  ASSERT_EQ(planned.operators.size(), 1u);
  const Operator& op = planned.operators[0];
  EXPECT_EQ(op.kind, OperatorKind::kChangeReplica);
  EXPECT_EQ(op.cause, Cause::kRecover);
  EXPECT_EQ(op.priority, Priority::kHigh);
  EXPECT_EQ(op.source, ChunkserverId(5));
  EXPECT_GE(op.target, ChunkserverId(6)) << "zones 1 and 2 have the members that stay";
  EXPECT_EQ(op.epoch, Epoch(1));
  EXPECT_NE(op.reason.find("chunkserver 5 of zone 3 is offline"), std::string::npos) << op.reason;
  EXPECT_EQ(planned.progress.replicas_lost, 1u);
  EXPECT_EQ(planned.progress.copysets_degraded, 1u);
}

TEST(Recovery, AlsoOfAChunkserverThatNoLongerBelongsToThePool) {
  Cluster cluster = make_cluster(4, 1, 1);
  add(cluster, 1, ids_of({1, 2, 3}));
  Chunkserver foreign = disk(3, 3, 3);
  foreign.physical_pool = PoolId(2);
  foreign.liveness = Liveness::kOffline;
  ASSERT_TRUE(cluster.put_chunkserver(foreign).ok());
  const Planned planned = plan(cluster);
  ASSERT_EQ(planned.operators.size(), 1u);
  EXPECT_EQ(planned.operators[0].target, ChunkserverId(4));
}

TEST(Recovery, UnstableIsNotLost) {
  Cluster cluster = make_cluster(4, 1, 1);
  add(cluster, 1, ids_of({1, 2, 3}));
  set_liveness(cluster, 3, Liveness::kUnstable);
  EXPECT_TRUE(plan(cluster).operators.empty());
}

TEST(Recovery, LooksAtCapacityAndUsesAnOccupiedZoneOnlyWhereNoOtherHasRoom) {
  Cluster cluster = make_cluster(4, 1, 2);
  add(cluster, 1, ids_of({1, 3, 5}));
  set_liveness(cluster, 5, Liveness::kOffline);
  for (uint64_t id : {6, 7, 8}) {
    ASSERT_TRUE(cluster.apply_heartbeat(ChunkserverId(id), kTiB, kTiB - kGiB, kNowMs));
  }
  const Planned planned = plan(cluster);
  ASSERT_EQ(planned.operators.size(), 1u);
  EXPECT_TRUE(planned.operators[0].target == ChunkserverId(2) ||
              planned.operators[0].target == ChunkserverId(4));
}

TEST(Recovery, WhatOthersKeepOnADiskIsNotTakenForReplicas) {
  Cluster cluster = make_cluster(4, 1, 1);
  add(cluster, 1, ids_of({1, 2, 3}));
  tell_size(cluster, 1, ids_of({1, 2, 3}), kGiB);
  for (uint64_t id : {1, 2, 4}) {  // most of each disk is in use; the replica is small
    ASSERT_TRUE(cluster.apply_heartbeat(ChunkserverId(id), kTiB, kTiB - 100 * kGiB, kNowMs));
  }
  set_liveness(cluster, 3, Liveness::kOffline);
  const auto planned = plan(cluster).operators;
  EXPECT_EQ(std::ranges::count_if(planned, &Operator::copies_data), 1);
}

TEST(Recovery, ReplicasOnTheirWayAreCountedAgainstTheRoom) {
  Cluster cluster = make_cluster(4, 1, 1);
  for (uint64_t copyset : {1, 2}) {
    add(cluster, copyset, ids_of({1, 2, 3}));
    tell_size(cluster, copyset, ids_of({1, 2, 3}), 50 * kGiB);
  }
  ASSERT_TRUE(cluster.apply_heartbeat(ChunkserverId(4), kTiB, kTiB - 100 * kGiB, kNowMs));
  set_liveness(cluster, 3, Liveness::kOffline);
  const auto planned = plan(cluster).operators;
  EXPECT_EQ(std::ranges::count_if(planned, &Operator::copies_data), 1)
      << "a second one would leave the disk full";
}

TEST(Recovery, WaitsForABusyZoneRatherThanCrowdingAnother) {
  Cluster cluster = make_cluster(3, 1, 2);
  add(cluster, 1, ids_of({1, 3, 5}));
  add(cluster, 2, ids_of({2, 4, 5}));
  set_liveness(cluster, 5, Liveness::kOffline);
  Ledger ledger({.copies_per_chunkserver = 1});
  const Planned planned = plan(cluster, ledger);
  ASSERT_EQ(planned.operators.size(), 1u)
      << "6 alone is in the third zone, and takes one at a time";
  EXPECT_EQ(planned.operators[0].target, ChunkserverId(6));
}

TEST(Recovery, HoldsBackWhenTooMuchIsGoneAndSaysSo) {
  Cluster cluster = make_cluster(3, 2, 1);
  add(cluster, 1, ids_of({1, 3, 5}));
  for (uint64_t id : {1, 4, 6}) set_liveness(cluster, id, Liveness::kOffline);
  const Planned planned = plan(cluster);
  EXPECT_TRUE(planned.operators.empty());
  ASSERT_EQ(planned.notes.size(), 1u);
  EXPECT_EQ(planned.notes[0].kind, NoteKind::kHeldBack);
  EXPECT_NE(planned.notes[0].text.find("3 of 6 chunkservers (50 %) are offline"), std::string::npos)
      << planned.notes[0].text;
  // Whoever knows that they will not return says so, and recovery begins.
  for (uint64_t id : {4, 6}) set_service(cluster, id, Service::kRetired);
  EXPECT_EQ(plan(cluster).operators.size(), 1u);
}

TEST(Recovery, TheCopysetsWithTheFewestSpareMembersComeFirst) {
  Cluster cluster = make_cluster(7, 1, 3);
  ASSERT_TRUE(
      cluster.put_pool({.id = PoolId(1), .physical_pool = PoolId(1), .replicas_count = 5}).ok());
  add(cluster, 1, ids_of({4, 1, 7, 10, 13}));
  add(cluster, 2, ids_of({5, 1, 2, 11, 14}));
  for (uint64_t id : {1, 2}) set_liveness(cluster, id, Liveness::kOffline);
  Ledger ledger({.copies_in_cluster = 1});
  const Planned planned = plan(cluster, ledger);
  ASSERT_EQ(planned.operators.size(), 1u);
  EXPECT_EQ(planned.operators[0].copyset, CopysetId(2)) << "it has lost two of five";
}

TEST(Recovery, ACopysetWithoutQuorumIsReportedAndLeftAlone) {
  Cluster cluster = make_cluster(3, 3, 1);
  add(cluster, 1, ids_of({1, 4, 7}));
  for (uint64_t id : {1, 4}) set_liveness(cluster, id, Liveness::kOffline);
  const Planned planned = plan(cluster);
  EXPECT_TRUE(planned.operators.empty());
  ASSERT_FALSE(planned.notes.empty());
  EXPECT_EQ(planned.notes[0].kind, NoteKind::kNoQuorum);
  EXPECT_EQ(planned.progress.copysets_without_quorum, 1u);
}

TEST(Recovery, WithNoPlaceToGoItSaysSo) {
  Cluster cluster = make_cluster(3, 1, 1);
  add(cluster, 1, ids_of({1, 2, 3}));
  set_liveness(cluster, 3, Liveness::kOffline);
  const Planned planned = plan(cluster);
  EXPECT_TRUE(planned.operators.empty());
  ASSERT_EQ(planned.notes.size(), 1u);
  EXPECT_EQ(planned.notes[0].kind, NoteKind::kNoPlace);
}

TEST(OutOfService, AReplicaThatIsGoneOnALivingChunkserverIsReplaced) {
  Cluster cluster = make_cluster(4, 1, 1);
  add(cluster, 1, ids_of({1, 2, 3}));
  add(cluster, 2, ids_of({2, 3, 4}));
  cluster.set_out_of_service(CopysetId(1), ChunkserverId(3), true);
  cluster.set_out_of_service(CopysetId(1), ChunkserverId(4), true);  // no member: nothing to note
  cluster.check_invariants();
  const Planned planned = plan(cluster);
  EXPECT_EQ(planned.progress.copysets_degraded, 1u);
  ASSERT_EQ(planned.operators.size(), 1u);
  EXPECT_EQ(planned.operators[0].copyset, CopysetId(1));
  EXPECT_EQ(planned.operators[0].source, ChunkserverId(3));
  EXPECT_EQ(planned.operators[0].target, ChunkserverId(4));
  EXPECT_NE(planned.operators[0].reason.find("out of service"), std::string::npos);
  ASSERT_EQ(tell(cluster, {1, 2, 1, ids_of({1, 2, 4})}), ReportOutcome::kUpdated);
  EXPECT_TRUE(cluster.out_of_service().empty()) << "it is no member any more";
  EXPECT_TRUE(plan(cluster).operators.empty());
}

TEST(OutOfService, WithoutAnotherPlaceItIsMadeAnewWhereItWas) {
  Cluster cluster = make_cluster(3, 1, 1);
  add(cluster, 1, ids_of({1, 2, 3}));
  cluster.set_out_of_service(CopysetId(1), ChunkserverId(3), true);
  Planned planned = plan(cluster);
  ASSERT_EQ(planned.operators.size(), 1u);
  EXPECT_EQ(planned.operators[0].kind, OperatorKind::kRemoveReplica);
  EXPECT_EQ(planned.operators[0].source, ChunkserverId(3));
  ASSERT_EQ(tell(cluster, {1, 2, 1, ids_of({1, 2})}), ReportOutcome::kUpdated);
  planned = plan(cluster);
  ASSERT_EQ(planned.operators.size(), 1u);
  EXPECT_EQ(planned.operators[0].kind, OperatorKind::kAddReplica);
  EXPECT_EQ(planned.operators[0].target, ChunkserverId(3));
}

TEST(OutOfService, WithoutAQuorumItIsLeftAlone) {
  Cluster cluster = make_cluster(4, 1, 1);
  add(cluster, 1, ids_of({1, 2, 3}));
  cluster.set_out_of_service(CopysetId(1), ChunkserverId(3), true);
  cluster.set_out_of_service(CopysetId(1), ChunkserverId(2), true);
  EXPECT_TRUE(plan(cluster).operators.empty());
  cluster.set_out_of_service(CopysetId(1), ChunkserverId(2), false);
  EXPECT_EQ(plan(cluster).operators.size(), 1u);
}

TEST(Replicas, AreBroughtToTheConfiguredNumber) {
  Cluster cluster = make_cluster(5, 1, 1);
  add(cluster, 1, ids_of({1, 2}));
  add(cluster, 2, ids_of({3, 2, 4, 5}));
  set_service(cluster, 5, Service::kDraining);
  const Planned planned = plan(cluster);
  ASSERT_EQ(planned.operators.size(), 2u);
  EXPECT_EQ(planned.operators[0].kind, OperatorKind::kAddReplica);
  EXPECT_TRUE(planned.operators[0].source.is_none());
  EXPECT_EQ(planned.operators[1].kind, OperatorKind::kRemoveReplica);
  EXPECT_EQ(planned.operators[1].source, ChunkserverId(5)) << "the one that is to be emptied";
}

TEST(Replicas, ALearnerThatAChangeLeftBehindIsRemovedUnlessOneIsUnderWay) {
  Cluster cluster = make_cluster(4, 1, 1);
  add(cluster, 1, ids_of({1, 2, 3}));
  tell(cluster, {1, 2, 1, ids_of({1, 2, 3}), ids_of({4}), ChangeKind::kChange, 4});
  EXPECT_TRUE(plan(cluster).operators.empty());
  tell(cluster, {1, 2, 1, ids_of({1, 2, 3}), ids_of({4})});
  const Planned planned = plan(cluster);
  ASSERT_EQ(planned.operators.size(), 1u);
  EXPECT_EQ(planned.operators[0].kind, OperatorKind::kRemoveReplica);
  EXPECT_EQ(planned.operators[0].source, ChunkserverId(4));
}

TEST(Drain, MovesReplicasAndLeadersAwayAndTellsWhenAllIsGone) {
  Cluster cluster = make_cluster(4, 1, 1);
  add(cluster, 1, ids_of({1, 2, 3}));
  set_service(cluster, 1, Service::kDraining);
  Planned planned = plan(cluster);
  ASSERT_EQ(planned.operators.size(), 1u);
  EXPECT_EQ(planned.operators[0].cause, Cause::kDrain);
  EXPECT_EQ(planned.operators[0].target, ChunkserverId(4));
  EXPECT_EQ(planned.progress.replicas_draining, 1u);
  tell(cluster, {1, 9, 2, ids_of({4, 2, 3})});
  planned = plan(cluster);
  EXPECT_TRUE(planned.operators.empty());
  ASSERT_EQ(planned.notes.size(), 1u);
  EXPECT_EQ(planned.notes[0].kind, NoteKind::kDrained);
  EXPECT_EQ(planned.notes[0].text, "chunkserver 1 holds no replica and may be removed");
}

TEST(Drain, LeadersLeaveEvenWhereNoDiskCanTakeTheReplica) {
  Cluster cluster = make_cluster(3, 1, 1);
  add(cluster, 1, ids_of({1, 2, 3}));
  set_service(cluster, 1, Service::kDraining);
  const Planned planned = plan(cluster);
  ASSERT_EQ(planned.operators.size(), 1u);
  EXPECT_EQ(planned.operators[0].kind, OperatorKind::kTransferLeader);
  ASSERT_EQ(planned.notes.size(), 1u);
  EXPECT_EQ(planned.notes[0].kind, NoteKind::kNoPlace);
}

TEST(CopysetSpread, ReplicasInOneZoneArePartedOnceThereAreZonesEnough) {
  Cluster cluster = make_cluster(3, 1, 2);
  add(cluster, 1, ids_of({1, 2, 3}));
  const Planned planned = plan(cluster);
  ASSERT_EQ(planned.operators.size(), 1u);
  EXPECT_LE(planned.operators[0].source, ChunkserverId(2));
  EXPECT_GE(planned.operators[0].target, ChunkserverId(5));
  EXPECT_EQ(planned.operators[0].priority, Priority::kLow);
}

TEST(CopysetSpread, ANewChunkserverIsFilledToItsShareByCapacity) {
  Cluster cluster = make_cluster(3, 1, 1);
  for (uint64_t i = 1; i <= 60; ++i)
    add(cluster, i, ids_of({1 + i % 3, 1 + (i + 1) % 3, 1 + (i + 2) % 3}));
  EXPECT_TRUE(plan(cluster).operators.empty());
  Chunkserver large = disk(4, 1, 9);
  large.capacity_bytes = 2 * kTiB;
  ASSERT_TRUE(cluster.put_chunkserver(large).ok());
  Ledger ledger({.copies_per_chunkserver = 1000, .copies_per_server = 1000});
  const Planned planned = plan(cluster, ledger);
  EXPECT_EQ(planned.operators.size(), 40u) << "zone 1 has 60 replicas, two thirds for the larger";
  for (const auto& op : planned.operators) {
    EXPECT_EQ(op.source, ChunkserverId(1));
    EXPECT_EQ(op.target, ChunkserverId(4));
  }
  // The same again: what is on its way is not planned twice.
  EXPECT_TRUE(plan(cluster, ledger).operators.empty());
}

TEST(CopysetSpread, WaitsWhileReplicasAreLost) {
  Cluster cluster = make_cluster(3, 1, 2);
  for (uint64_t i = 1; i <= 30; ++i) add(cluster, i, ids_of({1, 3, 5}));
  set_liveness(cluster, 5, Liveness::kOffline);
  const Planned planned = plan(cluster);
  EXPECT_FALSE(planned.operators.empty());
  for (const auto& op : planned.operators) EXPECT_NE(op.cause, Cause::kCopyset) << describe(op);
}

TEST(Leaders, AreEvenedOutToWithinOne) {
  Cluster cluster = make_cluster(3, 1, 1);
  for (uint64_t i = 1; i <= 9; ++i) add(cluster, i, ids_of({1, 2, 3}));
  const Planned planned = plan(cluster);
  EXPECT_EQ(planned.operators.size(), 6u);
  for (const auto& op : planned.operators) {
    EXPECT_EQ(op.kind, OperatorKind::kTransferLeader);
    EXPECT_EQ(op.source, ChunkserverId(1));
    EXPECT_EQ(op.cause, Cause::kLeader);
  }
  EXPECT_EQ(leader_difference(cluster, cluster.pools()[0]), 9u);
}

TEST(Leaders, GoByWayOfAThirdWhereTheFullestAndTheEmptiestShareNothing) {
  // One replica a zone; 1 leads two, 5 none, and they share no copyset: 3 stands between them.
  Cluster cluster = make_cluster(3, 1, 2);
  ASSERT_TRUE(
      cluster.put_pool({.id = PoolId(1), .physical_pool = PoolId(1), .replicas_count = 2}).ok());
  add(cluster, 1, ids_of({1, 3}));
  add(cluster, 2, ids_of({1, 3}));
  add(cluster, 3, ids_of({3, 5}));
  Ledger ledger{LedgerLimits{}};
  const PlannerLimits limits{.spread_max = 100};
  const Planned planned = plan(cluster, ledger, limits);
  ASSERT_EQ(planned.operators.size(), 2u);
  std::map<CopysetId, ChunkserverId> targets;
  for (const auto& op : planned.operators) targets[op.copyset] = op.target;
  EXPECT_EQ(targets[CopysetId(3)], ChunkserverId(5));
}

TEST(Leaders, RestAfterAReturnAndAfterAMoveButNotOnRequest) {
  Cluster cluster = make_cluster(3, 1, 1);
  for (uint64_t i = 1; i <= 4; ++i) add(cluster, i, ids_of({1, 2, 3}));
  const PlannerLimits limits{.leader_rest_ms = 5000};
  for (uint64_t id : {2, 3}) {
    set_liveness(cluster, id, Liveness::kUnstable);
    set_liveness(cluster, id, Liveness::kOnline);  // came back at kNowMs
  }
  Ledger ledger{LedgerLimits{}};
  EXPECT_TRUE(plan(cluster, ledger, limits, kNowMs + 4999).operators.empty());
  Ledger rapid{LedgerLimits{.transfers_in_cluster = 1}};
  const auto result = plan_rapid_leaders(cluster, rapid, limits, PoolId(1), kNowMs + 1);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->planned.size(), 2u) << "no rest and no limits";
  EXPECT_EQ(plan_rapid_leaders(cluster, rapid, limits, PoolId(2), kNowMs).code(), Errc::kNotFound);
  EXPECT_EQ(plan(cluster, ledger, limits, kNowMs + 5000).operators.size(), 2u);
}

TEST(Leaders, LeaveASlowDiskAndDoNotReturnBeforeItIsBeyondDoubt) {
  Cluster cluster = make_cluster(3, 1, 1);
  for (uint64_t i = 1; i <= 6; ++i)
    add(cluster, i, ids_of({i % 3 + 1, (i + 1) % 3 + 1, (i + 2) % 3 + 1}));
  const auto replan = [&] {
    Ledger ledger{LedgerLimits{}};
    return plan(cluster, ledger, {.leader_rest_ms = 0});
  };
  for (uint64_t id : {1, 2, 3}) set_write_us(cluster, id, 15'000);
  EXPECT_TRUE(replan().operators.empty());
  set_write_us(cluster, 3, 110'000);
  const Planned planned = replan();
  ASSERT_EQ(planned.operators.size(), 2u);
  for (const auto& op : planned.operators) {
    EXPECT_EQ(op.kind, OperatorKind::kTransferLeader);
    EXPECT_EQ(op.source, ChunkserverId(3));
    EXPECT_NE(op.reason.find("110 ms"), std::string::npos) << op.reason;
  }
  // Somewhat slow: what it leads it keeps, and it is given no more.
  set_write_us(cluster, 3, 45'000);
  EXPECT_TRUE(replan().operators.empty());
  for (uint64_t i = 1; i <= 6; ++i) {
    const auto voters = ids_of({1, 2, 3});
    ASSERT_EQ(tell(cluster, {i, 2, i % 2 + 1, voters}), ReportOutcome::kUpdated);
  }
  EXPECT_TRUE(replan().operators.empty()) << "it leads nothing now, and stays so";
  set_write_us(cluster, 3, 15'000);
  EXPECT_EQ(replan().operators.size(), 2u);
}

TEST(DiskSpeeds, WhereAllAreSlowNoneIs) {
  Cluster cluster = make_cluster(3, 1, 1);
  const auto slow = [&](uint64_t id) {
    const DiskSpeeds speeds(cluster, cluster.pools()[0], {});
    return speeds.is_slow(cluster.chunkserver(cluster.find_chunkserver(ChunkserverId(id))));
  };
  set_write_us(cluster, 1, 500'000);
  EXPECT_FALSE(slow(1)) << "there is nothing to compare it with";
  set_write_us(cluster, 2, 400'000);
  set_write_us(cluster, 3, 300'000);
  EXPECT_FALSE(slow(1) || slow(2) || slow(3));
  set_write_us(cluster, 2, 300);
  set_write_us(cluster, 3, 200);
  EXPECT_TRUE(slow(1));
  set_write_us(cluster, 1, 30'000);
  EXPECT_FALSE(slow(1)) << "a hundred times the others', and still fast enough";
  set_write_us(cluster, 1, 500'000);
  set_liveness(cluster, 2, Liveness::kOffline);
  EXPECT_TRUE(slow(1)) << "of two disks one can be the slow one";
}

TEST(Leaders, LimitsOfTransfersHold) {
  Cluster cluster = make_cluster(3, 1, 1);
  for (uint64_t i = 1; i <= 90; ++i) add(cluster, i, ids_of({1, 2, 3}));
  Ledger ledger({.transfers_per_chunkserver = 4, .transfers_in_cluster = 7});
  EXPECT_EQ(plan(cluster, ledger).operators.size(), 7u);
  EXPECT_TRUE(plan(cluster, ledger).operators.empty());
}

TEST(Planners, AFreshPlanOfCopysetsLeavesNothingToMove) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Rng rng(seed);
    Cluster cluster = make_cluster(rng.between(3, 5), rng.between(1, 3), rng.between(1, 3));
    std::vector<ChunkserverSpec> specs;
    for (const auto& chunkserver : cluster.chunkservers()) {
      Chunkserver changed = chunkserver;
      changed.capacity_bytes = kTiB * rng.between(1, 4);
      ASSERT_TRUE(cluster.put_chunkserver(changed).ok());
      specs.push_back(
          {changed.id, to_string(changed.zone), to_string(changed.server), changed.capacity_bytes});
    }
    const auto copysets = plan_copysets(specs, {.copysets_per_chunkserver = 40}, rng);
    ASSERT_TRUE(copysets.ok());
    for (size_t i = 0; i < copysets->size(); ++i) add(cluster, i + 1, (*copysets)[i]);
    for (const auto& op : plan(cluster).operators) {
      EXPECT_EQ(op.kind, OperatorKind::kTransferLeader) << describe(op);
    }
  }
}

}  // namespace
}  // namespace cairn::placement
