#include "placement/cluster_test.h"

namespace cairn::placement {
namespace {

/// Copyset 7 on chunkservers 1, 2 and 3, led by 1, in epoch 1; 4 and 5 are free.
Cluster five_with_one() {
  Cluster cluster = make_cluster(5, 1, 1);
  add(cluster, 7, ids_of({1, 2, 3}));
  return cluster;
}

Operator plan(OperatorKind kind, uint64_t source, uint64_t target) {
  return {.kind = kind,
          .cause = Cause::kByHand,
          .copyset = CopysetId(7),
          .epoch = Epoch(1),
          .source = ChunkserverId(source),
          .target = ChunkserverId(target),
          .sender = ChunkserverId(1),
          .voters = ids_of({1, 2, 3}),
          .created_ms = kNowMs,
          .deadline_ms = kNowMs + 1000,
          .reason = "a test"};
}

TEST(OperatorStep, AChangeIsSentWithTheReportedEpochAwaitedAndFinished) {
  Cluster cluster = five_with_one();
  const Operator op = plan(OperatorKind::kChangeReplica, 3, 4);
  // A new leader in between: the same members, so the operator still holds.
  ASSERT_EQ(tell(cluster, {7, 2, 2, ids_of({1, 2, 3})}), ReportOutcome::kUpdated);
  Step step = next_step(op, cluster, kNowMs);
  ASSERT_EQ(step.kind, StepKind::kSend);
  EXPECT_EQ(step.command.kind, OperatorKind::kChangeReplica);
  EXPECT_EQ(step.command.epoch, Epoch(2));
  EXPECT_EQ(step.command.source, ChunkserverId(3));
  EXPECT_EQ(step.command.target, ChunkserverId(4));
  tell(cluster, {7, 2, 2, ids_of({1, 2, 3}), {}, ChangeKind::kChange, 4});
  EXPECT_EQ(next_step(op, cluster, kNowMs).kind, StepKind::kWait);
  tell(cluster, {7, 3, 2, ids_of({1, 2, 3}), ids_of({4}), ChangeKind::kChange, 4});
  EXPECT_EQ(next_step(op, cluster, kNowMs).kind, StepKind::kWait);
  tell(cluster, {7, 5, 2, ids_of({1, 2, 4})});
  EXPECT_EQ(next_step(op, cluster, kNowMs).kind, StepKind::kFinished);
  EXPECT_EQ(next_step(op, cluster, kNowMs + 2000).kind, StepKind::kFinished) << "late but done";
}

TEST(OperatorStep, ALeaderThatIsToLeaveHandsOverFirst) {
  Cluster cluster = five_with_one();
  const Operator op = plan(OperatorKind::kChangeReplica, 1, 4);
  set_liveness(cluster, 2, Liveness::kUnstable);
  const Step step = next_step(op, cluster, kNowMs);
  ASSERT_EQ(step.kind, StepKind::kSend);
  EXPECT_EQ(step.command.kind, OperatorKind::kTransferLeader);
  EXPECT_EQ(step.command.target, ChunkserverId(3)) << "2 does not answer";
  tell(cluster, {7, 1, 1, ids_of({1, 2, 3}), {}, ChangeKind::kTransfer, 3});
  EXPECT_EQ(next_step(op, cluster, kNowMs).kind, StepKind::kWait);
  tell(cluster, {7, 2, 3, ids_of({1, 2, 3})});
  EXPECT_EQ(next_step(op, cluster, kNowMs).command.kind, OperatorKind::kChangeReplica);
}

TEST(OperatorStep, AddRemoveAndTransferEndWhenTheCopysetIsAsWanted) {
  Cluster cluster = five_with_one();
  EXPECT_EQ(next_step(plan(OperatorKind::kAddReplica, 0, 4), cluster, kNowMs).kind,
            StepKind::kSend);
  EXPECT_EQ(next_step(plan(OperatorKind::kAddReplica, 0, 2), cluster, kNowMs).kind,
            StepKind::kFinished);
  EXPECT_EQ(next_step(plan(OperatorKind::kRemoveReplica, 3, 0), cluster, kNowMs).kind,
            StepKind::kSend);
  EXPECT_EQ(next_step(plan(OperatorKind::kRemoveReplica, 5, 0), cluster, kNowMs).kind,
            StepKind::kFinished);
  EXPECT_EQ(next_step(plan(OperatorKind::kTransferLeader, 1, 2), cluster, kNowMs).kind,
            StepKind::kSend);
  EXPECT_EQ(next_step(plan(OperatorKind::kTransferLeader, 3, 1), cluster, kNowMs).kind,
            StepKind::kFinished);
}

TEST(OperatorStep, WhatItWasPlannedForIsGoneSoItIsInvalid) {
  const auto why = [](const Operator& op, auto change) {
    Cluster cluster = five_with_one();
    change(cluster);
    const Step step = next_step(op, cluster, kNowMs);
    EXPECT_EQ(step.kind, StepKind::kInvalid);
    return step.why;
  };
  const Operator change = plan(OperatorKind::kChangeReplica, 3, 4);
  EXPECT_EQ(why(change, [](Cluster& c) { EXPECT_TRUE(c.remove_copyset(CopysetId(7)).ok()); }),
            "the copyset is gone");
  EXPECT_EQ(why(change, [](Cluster& c) { tell(c, {7, 3, 1, ids_of({1, 2, 5})}); }),
            "it has other members now");
  EXPECT_EQ(why(change,
                [](Cluster& c) { tell(c, {7, 1, 1, ids_of({1, 2, 3}), {}, ChangeKind::kAdd, 5}); }),
            "another change is under way");
  EXPECT_EQ(why(change, [](Cluster& c) { set_liveness(c, 4, Liveness::kOffline); }),
            "chunkserver 4 is offline");
  EXPECT_EQ(why(change, [](Cluster& c) { set_service(c, 4, Service::kDraining); }),
            "chunkserver 4 is draining");
  EXPECT_EQ(
      why(change, [](Cluster& c) { EXPECT_TRUE(c.remove_chunkserver(ChunkserverId(4)).ok()); }),
      "chunkserver 4 is gone");
  EXPECT_EQ(why(plan(OperatorKind::kTransferLeader, 1, 2),
                [](Cluster& c) { tell(c, {7, 2, 3, ids_of({1, 2, 3})}); }),
            "it has another leader now");
  Operator recover = change;
  recover.cause = Cause::kRecover;
  EXPECT_EQ(why(recover, [](Cluster&) {}), "chunkserver 3 is back");
  Operator drain = change;
  drain.cause = Cause::kDrain;
  EXPECT_EQ(why(drain, [](Cluster&) {}), "chunkserver 3 is no longer to be drained");
}

TEST(OperatorStep, NothingIsSentThatWouldLeaveLessThanAQuorum) {
  Cluster cluster = five_with_one();
  set_liveness(cluster, 2, Liveness::kUnstable);
  // Removing 3 would leave {1, 2} of which one answers; replacing 3 leaves {1, 2, 4} with two.
  EXPECT_EQ(next_step(plan(OperatorKind::kRemoveReplica, 3, 0), cluster, kNowMs).kind,
            StepKind::kWait);
  EXPECT_EQ(next_step(plan(OperatorKind::kRemoveReplica, 2, 0), cluster, kNowMs).kind,
            StepKind::kSend);
  EXPECT_EQ(next_step(plan(OperatorKind::kChangeReplica, 3, 4), cluster, kNowMs).kind,
            StepKind::kSend);
  set_liveness(cluster, 3, Liveness::kUnstable);
  EXPECT_EQ(next_step(plan(OperatorKind::kChangeReplica, 3, 4), cluster, kNowMs).kind,
            StepKind::kWait)
      << "without a quorum nothing commits";
}

TEST(OperatorStep, ItExpiresAndWaitsWhileTheTablesAreOlderThanItself) {
  Cluster cluster = five_with_one();
  Operator op = plan(OperatorKind::kChangeReplica, 3, 4);
  op.epoch = Epoch(3);  // restored by an MDS that has not heard of epoch 3 yet
  EXPECT_EQ(next_step(op, cluster, kNowMs).kind, StepKind::kWait);
  EXPECT_EQ(next_step(op, cluster, op.deadline_ms).kind, StepKind::kExpired);
}

TEST(Operator, IsDescribedInOneLine) {
  EXPECT_EQ(describe(plan(OperatorKind::kChangeReplica, 3, 4)),
            "by-hand: change copyset 7 from 3 to 4, epoch 1, normal priority: a test");
  EXPECT_EQ(describe(plan(OperatorKind::kAddReplica, 0, 4)),
            "by-hand: add copyset 7 to 4, epoch 1, normal priority: a test");
}

/// An operator of its own copyset for every copyset in `cluster`.
Operator plan_for(uint64_t copyset, OperatorKind kind, uint64_t sender, uint64_t target,
                  Priority priority = Priority::kNormal) {
  Operator op = plan(kind, 3, target);
  op.copyset = CopysetId(copyset);
  op.sender = ChunkserverId(sender);
  op.priority = priority;
  return op;
}

TEST(Ledger, LimitsHoldByDiskServerAndCluster) {
  Cluster cluster = make_cluster(4, 1, 4);  // 1-4, 5-8, 9-12, 13-16
  Ledger ledger({.copies_per_chunkserver = 2, .copies_per_server = 3, .copies_in_cluster = 5});
  uint64_t copyset = 0;
  const auto add_copy = [&](uint64_t sender, uint64_t target) {
    ledger.check_invariants();
    return ledger.add(plan_for(++copyset, OperatorKind::kChangeReplica, sender, target), cluster)
        .code();
  };
  EXPECT_EQ(add_copy(1, 5), Errc::kOk);
  EXPECT_EQ(add_copy(1, 6), Errc::kOk);
  EXPECT_EQ(add_copy(1, 9), Errc::kOverloaded) << "disk 1 has two";
  EXPECT_EQ(add_copy(2, 9), Errc::kOk);
  EXPECT_EQ(add_copy(3, 9), Errc::kOverloaded) << "the server of 1-4 has three";
  EXPECT_EQ(add_copy(10, 11), Errc::kOk) << "counts twice on its server, which has three now";
  EXPECT_EQ(add_copy(5, 12), Errc::kOverloaded);
  EXPECT_EQ(add_copy(5, 13), Errc::kOk);
  EXPECT_EQ(add_copy(14, 15), Errc::kOverloaded) << "five are all that the cluster may have";
  EXPECT_EQ(ledger.add(plan_for(++copyset, OperatorKind::kTransferLeader, 0, 2), cluster).code(),
            Errc::kOk)
      << "a transfer is no copy";
  ASSERT_TRUE(ledger.cancel(ledger.list().front()->id));
  EXPECT_EQ(add_copy(14, 15), Errc::kOk);
  EXPECT_FALSE(ledger.cancel(OperatorId(999)));
}

TEST(Ledger, BalancingLeavesRoomForRecovery) {
  Cluster cluster = make_cluster(10, 1, 1);
  Ledger ledger({.copies_in_cluster = 4, .low_priority_part = 0.5});
  const auto add_copy = [&](uint64_t id, Priority priority) {
    const auto kind = OperatorKind::kChangeReplica;
    return ledger.add(plan_for(id, kind, 2 * id - 1, 2 * id, priority), cluster).code();
  };
  EXPECT_EQ(add_copy(1, Priority::kLow), Errc::kOk);
  EXPECT_EQ(add_copy(2, Priority::kLow), Errc::kOk);
  EXPECT_EQ(add_copy(3, Priority::kLow), Errc::kOverloaded);
  EXPECT_EQ(add_copy(3, Priority::kHigh), Errc::kOk);
  EXPECT_EQ(add_copy(3, Priority::kHigh), Errc::kAlreadyExists) << "one operator a copyset";
  EXPECT_EQ(add_copy(4, Priority::kHigh), Errc::kOk);
  EXPECT_EQ(add_copy(5, Priority::kHigh), Errc::kOverloaded);
}

TEST(Ledger, WhatWasStoredIsTakenUpAgainAndGoesOn) {
  Cluster cluster = five_with_one();
  Ledger ledger{LedgerLimits{}};
  const auto id = ledger.add(plan(OperatorKind::kChangeReplica, 3, 4), cluster);
  ASSERT_TRUE(id.ok());
  std::vector<Operator> stored;
  for (const Operator* op : ledger.list()) stored.push_back(*op);

  Ledger next{LedgerLimits{}};
  next.restore(stored, cluster);
  next.check_invariants();
  ASSERT_EQ(next.count(), 1u);
  EXPECT_EQ(*next.find(CopysetId(7)), stored[0]);
  EXPECT_EQ(next.advance(CopysetId(7), cluster, kNowMs)->kind, StepKind::kSend);
  EXPECT_FALSE(next.advance(CopysetId(8), cluster, kNowMs).has_value());
  tell(cluster, {7, 4, 1, ids_of({1, 2, 4})});
  EXPECT_EQ(next.advance(CopysetId(7), cluster, kNowMs)->kind, StepKind::kFinished);
  EXPECT_EQ(next.count(), 0u);
  Operator later = plan(OperatorKind::kTransferLeader, 1, 2);
  EXPECT_GT(*next.add(later, cluster), *id) << "an id is never used again";
}

TEST(Ledger, ASweepEndsWhatNobodyReports) {
  Cluster cluster = five_with_one();
  Ledger ledger{LedgerLimits{}};
  ASSERT_TRUE(ledger.add(plan(OperatorKind::kChangeReplica, 3, 4), cluster).ok());
  EXPECT_TRUE(ledger.sweep(cluster, kNowMs).empty());
  const auto over = ledger.sweep(cluster, kNowMs + 1000);
  ASSERT_EQ(over.size(), 1u);
  EXPECT_EQ(over[0].second.kind, StepKind::kExpired);
  EXPECT_EQ(ledger.count(), 0u);
}

TEST(Ledger, AReplicaIsStrayOnlyWhenItsLeaderSpokeAndNobodyWantsIt) {
  Cluster cluster = five_with_one();
  Ledger ledger{LedgerLimits{}};
  const auto stray = [&](uint64_t copyset, uint64_t holder, uint64_t epoch) {
    return is_stray(cluster, ledger, CopysetId(copyset), ChunkserverId(holder), Epoch(epoch));
  };
  EXPECT_TRUE(stray(7, 4, 0)) << "removed long ago, and back";
  EXPECT_FALSE(stray(7, 3, 1)) << "a member";
  EXPECT_FALSE(stray(7, 4, 2)) << "it knows more than the MDS";
  EXPECT_FALSE(stray(8, 4, 0)) << "unknown: nothing is deleted";
  ASSERT_TRUE(cluster.add_copyset(CopysetId(9), PoolId(1), Epoch(1), ids_of({1, 2, 3})).ok());
  EXPECT_FALSE(stray(9, 4, 0)) << "its leader has not spoken since this process began";
  ASSERT_TRUE(ledger.add(plan(OperatorKind::kChangeReplica, 3, 4), cluster).ok());
  EXPECT_FALSE(stray(7, 4, 0)) << "it was created for the change";
  EXPECT_TRUE(stray(7, 5, 0));
}

}  // namespace
}  // namespace cairn::placement
