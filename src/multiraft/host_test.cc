// Groups on simulated hosts: what holds when disks, links, processes and state machines fail.
#include "multiraft/host.h"

#include "multiraft/testbed_test.h"

namespace cairn::multiraft {
namespace {

using namespace testing;
using Outcome = TestBed::Outcome;

HostOptions often_snapshot() {
  HostOptions options;
  options.snapshot_log_entries = 50;
  options.retained_log_entries = 20;
  options.snapshot_check_interval = 100ms;
  return options;
}

TEST(Host, AppliesCommandsInOrderOnAllMembers) {
  TestBed bed;
  bed.create();
  Member& leader = bed.wait_leader();
  std::vector<std::string> expected;
  for (int i = 0; i < 100; ++i) {
    expected.push_back("v" + std::to_string(i));
    ASSERT_TRUE(bed.apply(leader, expected.back()).ok());
  }
  ASSERT_TRUE(bed.converges());
  for (auto& member : bed.members) EXPECT_EQ(member->ledger().values, expected);
}

TEST(Host, AFollowerProposesNothingAndKnowsItsLeader) {
  TestBed bed;
  bed.create();
  Member& leader = bed.wait_leader();
  Member& follower = bed.follower_of(leader);
  EXPECT_EQ(bed.apply(follower, "x").code(), Errc::kNotLeader);
  EXPECT_EQ(follower.node()->leader(), leader.self());
  EXPECT_EQ(bed.world.run(follower.machine(), follower.node()->read_barrier()).code(),
            Errc::kNotLeader);
}

TEST(Host, AProposerHearsTheStateMachinesRefusal) {
  TestBed bed;
  bed.create();
  EXPECT_EQ(bed.apply(bed.wait_leader(), "refuse").code(), Errc::kStaleFence);
}

TEST(Host, ACommandForAnEarlierTermIsRefusedThoughTheMemberLeadsAgain) {
  TestBed bed({.members_count = 1, .members_started = 1});
  bed.create();
  Member* only = &bed.wait_leader();
  const Term term = only->node()->term();
  const auto apply_in = [&](Term only_in) {
    return bed.world
        .run(only->machine(), only->node()->apply(Buffer::copy_of("x"), Buffer(), only_in))
        .code();
  };
  EXPECT_EQ(apply_in(term), Errc::kOk);
  only->crash(sim::CrashKind::kKill);
  only->start();
  bed.wait_leader();
  EXPECT_GT(only->node()->term(), term);
  EXPECT_EQ(apply_in(term), Errc::kNotLeader);
}

TEST(Host, ACommandWithoutAnyContentIsRefused) {
  TestBed bed;
  bed.create();
  Member& leader = bed.wait_leader();
  Outcome outcome;
  bed.start_apply(leader, "", &outcome);
  ASSERT_TRUE(bed.world.run_until([&] { return outcome.has_value(); }, 5s))
      << "it looks like a leader's own entry, and its proposer would wait for ever";
  EXPECT_EQ(outcome->code(), Errc::kInvalidArgument);
}

TEST(Host, AGroupOfOneMemberServes) {
  TestBed bed({.members_count = 1, .members_started = 1});
  bed.create();
  Member& only = bed.wait_leader();
  EXPECT_TRUE(bed.apply(only, "a").ok());
  EXPECT_TRUE(bed.world.run(only.machine(), only.node()->read_barrier()).ok());
}

TEST(Host, WhatWasAcknowledgedSurvivesAPowerLossOfAllMembers) {
  TestBed bed({.raft = often_snapshot()});
  bed.create();
  Member* leader = &bed.wait_leader();
  for (int i = 0; i < 130; ++i) {
    ASSERT_TRUE(bed.apply(*leader, "v" + std::to_string(i), bed.payload(*leader, 4096, i)).ok());
  }
  const auto expected = leader->ledger().values;
  for (auto& member : bed.members) member->crash(sim::CrashKind::kPowerLoss);
  for (auto& member : bed.members) member->start();
  bed.wait_leader();
  ASSERT_TRUE(bed.converges());
  for (auto& member : bed.members) EXPECT_EQ(member->ledger().values, expected);
}

TEST(Host, AcknowledgedCommandsStandOnceInTheSameOrderWhateverCrashes) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    HostOptions options = often_snapshot();
    options.cached_payload_bytes_max = 16 * kKiB;
    TestBed bed({.seed = seed, .raft = options});
    bed.create();
    std::deque<std::pair<std::string, Outcome>> proposed;
    for (int round = 0; round < 12; ++round) {
      Member& leader = bed.wait_leader();
      for (int i = 0; i < 15; ++i) {
        auto& [value, outcome] =
            proposed.emplace_back(std::to_string(round) + "." + std::to_string(i), Outcome());
        bed.start_apply(leader, value, &outcome, bed.payload(leader, 8192, round));
      }
      bed.world.run_for(Duration(bed.world.rng().below(3'000'000)));
      Member& victim = bed.member(1 + bed.world.rng().below(3));
      victim.crash(bed.world.rng().chance(0.5) ? sim::CrashKind::kPowerLoss
                                               : sim::CrashKind::kKill);
      bed.world.run_for(Duration(bed.world.rng().below(2'000'000'000)));
      victim.start();
    }
    // A leader may still be deposed by what the last crash left behind.
    while (!bed.apply(bed.wait_leader(), "end").ok()) bed.world.run_for(100ms);
    ASSERT_TRUE(bed.converges());
    Member& leader = bed.wait_leader();
    const auto& values = leader.ledger().values;
    for (auto& member : bed.members) ASSERT_EQ(member->ledger().values, values);
    for (auto& [value, outcome] : proposed) {
      const auto count = std::ranges::count_if(
          values, [&](const std::string& v) { return v.starts_with(value + "#"); });
      ASSERT_LE(count, 1) << value;
      if (outcome && outcome->ok()) {
        ASSERT_EQ(count, 1) << value << " was acknowledged";
      }
    }
  }
}

TEST(Host, ProposersAreToldThatLeadershipIsLost) {
  TestBed bed;
  bed.create();
  Member& old = bed.wait_leader();
  bed.cut_off(old);
  Outcome outcome;
  bed.start_apply(old, "lost?", &outcome);
  Member& next = bed.wait_leader(30s, kGroup, &old);
  ASSERT_TRUE(bed.apply(next, "new").ok());
  ASSERT_TRUE(bed.world.run_until([&] { return outcome.has_value(); }, 10s));
  EXPECT_EQ(outcome->code(), Errc::kUnavailable);
  EXPECT_EQ(old.ledger().leader_stops, 1u);
  bed.world.fabric().heal_all();
  ASSERT_TRUE(bed.converges());
  EXPECT_EQ(old.ledger().values, std::vector<std::string>{"new"});
}

TEST(Host, StopTellsWhoWaitsAndEnds) {
  TestBed bed;
  bed.create();
  Member& leader = bed.wait_leader();
  bed.cut_off(leader);
  Outcome outcome;
  std::optional<Status> read;
  bed.start_apply(leader, "waits", &outcome);
  bed.world.run_for(700ms);  // the lease is over, its term not yet
  leader.machine().spawn(TestBed::store(leader.node()->read_barrier(), &read));
  ASSERT_FALSE(outcome || read);
  bed.world.run(leader.machine(), leader.stop(), 1s);
  ASSERT_TRUE(outcome && read);
  EXPECT_EQ(outcome->code(), Errc::kClosed);
  EXPECT_EQ(read->code(), Errc::kClosed);
  EXPECT_EQ(bed.apply(leader, "late").code(), Errc::kClosed);
}

// ---- failures

TEST(Host, AFailureToApplyPutsThatGroupAloneOutOfService) {
  TestBed bed;
  const GroupId other(8);
  bed.create();
  bed.create(other);
  bed.wait_leader();
  bed.wait_leader(30s, other);
  Member& broken = bed.member(2);
  broken.knobs.fail_apply = error(Errc::kCorrupt, "cannot be read");
  Member* leader = bed.leader();
  Outcome outcome;
  bed.start_apply(*leader, "poison", &outcome);
  ASSERT_TRUE(bed.world.run_until([&] { return broken.ledger().failure.has_value(); }, 5s));
  broken.knobs.fail_apply.reset();
  EXPECT_FALSE(broken.node()->status().error.empty());
  EXPECT_FALSE(broken.node()->is_leader());
  EXPECT_FALSE(broken.raft().disk_error().has_value());
  EXPECT_TRUE(bed.apply(bed.wait_leader(30s, kGroup, &broken), "on").ok()) << "a quorum is left";
  Member& leader_of_other = bed.wait_leader(30s, other);
  ASSERT_TRUE(bed.apply(leader_of_other, "x", {}, other).ok());
  ASSERT_TRUE(bed.converges(60s, other));
  EXPECT_EQ(broken.ledger(other).values, std::vector<std::string>{"x"});
}

TEST(Host, ADeviceErrorOfOneGroupIsTheWholeDisks) {
  TestBed bed;
  const GroupId other(8);
  bed.create();
  bed.create(other);
  Member& broken = bed.wait_leader();
  broken.knobs.fail_save = error(Errc::kIo, "a flush failed");
  ASSERT_TRUE(bed.apply(broken, "a").ok());
  EXPECT_EQ(bed.world.run(broken.machine(), broken.node()->snapshot()).code(), Errc::kIo);
  ASSERT_TRUE(broken.raft().disk_error().has_value())
      << "after a failed flush nothing on the device is to be trusted";
  EXPECT_EQ(broken.machine().env().metrics.gauge("cairn_raft_disk_failed", "").value(), 1);
  EXPECT_FALSE(broken.node(other)->status().error.empty());
  EXPECT_TRUE(bed.apply(bed.wait_leader(30s, kGroup, &broken), "on").ok());
}

TEST(Host, AFailedWriteOfTheLogPutsAllGroupsOutOfServiceAndOthersLead) {
  TestBed bed;
  const GroupId other(8);
  bed.create();
  bed.create(other);
  Member& broken = bed.wait_leader();
  bed.wait_leader(30s, other);
  broken.machine().disk().set_error_rate(sim::DiskOperation::kWrite, 1.0);
  broken.machine().disk().set_error_rate(sim::DiskOperation::kSync, 1.0);
  Outcome outcome;
  bed.start_apply(broken, "a", &outcome);
  ASSERT_TRUE(bed.world.run_until([&] { return outcome.has_value(); }, 5s));
  EXPECT_EQ(outcome->code(), Errc::kIo);
  EXPECT_TRUE(broken.raft().disk_error().has_value());
  EXPECT_FALSE(broken.node(other)->status().error.empty());
  Member& next = bed.wait_leader(30s, kGroup, &broken);
  EXPECT_TRUE(bed.apply(next, "b").ok());
  broken.machine().disk().set_error_rate(sim::DiskOperation::kWrite, 0.0);
  broken.machine().disk().set_error_rate(sim::DiskOperation::kSync, 0.0);
  broken.crash(sim::CrashKind::kPowerLoss);
  broken.start();
  ASSERT_TRUE(bed.converges());
  EXPECT_EQ(broken.ledger().values, next.ledger().values);
}

TEST(Host, TakesNoMoreThanTheLogCanHold) {
  HostOptions options;
  wal::WalOptions wal{.segment_bytes = kMiB, .pending_bytes_max = 64 * kKiB};
  TestBed bed({.raft = options, .wal = wal});
  bed.create();
  Member& leader = bed.wait_leader();
  leader.machine().disk().set_hung(true);
  std::deque<Outcome> outcomes;
  for (int i = 0; i < 64; ++i) {
    bed.start_apply(leader, "w", &outcomes.emplace_back(), bed.payload(leader, 4096, 1));
  }
  const auto refused = std::ranges::count_if(
      outcomes, [](const Outcome& o) { return o && o->code() == Errc::kOverloaded; });
  EXPECT_GE(refused, 40);
  EXPECT_LE(refused, 50);
  leader.machine().disk().set_hung(false);
  ASSERT_TRUE(bed.world.run_until(
      [&] { return std::ranges::all_of(outcomes, [](auto& o) { return o.has_value(); }); }, 10s));
}

// ---- creation

TEST(Host, AGroupThatIsCreatedTwiceAtOnceIsRecoveredOnce) {
  TestBed bed({.members_count = 1, .members_started = 1});
  Member& only = bed.member(1);
  only.knobs.hold_recover = true;
  std::optional<Result<Node*>> first, second;
  only.machine().spawn(
      TestBed::store(only.raft().create(kGroup, bed.voters, only.ledger()), &first));
  bed.world.run_for(50ms);
  only.machine().spawn(
      TestBed::store(only.raft().create(kGroup, bed.voters, only.ledger()), &second));
  bed.world.run_for(50ms);
  only.knobs.hold_recover = false;
  only.release();
  ASSERT_TRUE(bed.world.run_until([&] { return first && second; }, 5s));
  ASSERT_TRUE(first->ok() && second->ok());
  EXPECT_EQ(**first, **second);
  EXPECT_EQ(only.ledger().recovers, 1u) << "the second would wipe what is applied meanwhile";
}

// ---- snapshots

TEST(Host, ASnapshotIsNotTakenInTheMiddleOfACommand) {
  TestBed bed({.members_count = 1, .members_started = 1});
  bed.create();
  Member& only = bed.wait_leader();
  ASSERT_TRUE(bed.apply(only, "a").ok());
  only.knobs.hold_apply = true;
  Outcome outcome;
  std::optional<Status> taken;
  bed.start_apply(only, "half:b", &outcome);
  ASSERT_TRUE(bed.world.run_until([&] { return only.ledger().is_applying; }, 5s));
  only.machine().spawn(TestBed::store(only.node()->snapshot(), &taken));
  bed.world.run_for(100ms);
  EXPECT_EQ(only.ledger().saves, 0u);
  only.knobs.hold_apply = false;
  only.release();
  ASSERT_TRUE(bed.world.run_until([&] { return outcome && taken; }, 5s));
  EXPECT_TRUE(taken->ok());
  EXPECT_FALSE(only.ledger().saved_while_applying);
  only.crash(sim::CrashKind::kPowerLoss);
  only.start();
  bed.wait_leader();
  const std::vector<std::string> expected{"a", "begun", "half:b"};
  EXPECT_EQ(only.ledger().values, expected) << "the snapshot held half of a command";
}

TEST(Host, CommandsAreAppliedWhileASnapshotIsSaved) {
  TestBed bed({.members_count = 1, .members_started = 1});
  bed.create();
  Member& only = bed.wait_leader();
  ASSERT_TRUE(bed.apply(only, "a").ok());
  only.knobs.hold_save = true;
  std::optional<Status> taken;
  only.machine().spawn(TestBed::store(only.node()->snapshot(), &taken));
  ASSERT_TRUE(bed.apply(only, "b").ok());
  EXPECT_FALSE(taken.has_value());
  EXPECT_EQ(bed.world.run(only.machine(), only.node()->snapshot()).code(), Errc::kUnavailable);
  only.knobs.hold_save = false;
  only.release();
  ASSERT_TRUE(bed.world.run_until([&] { return taken.has_value(); }, 5s));
  only.crash(sim::CrashKind::kPowerLoss);
  only.start();
  bed.wait_leader();
  EXPECT_EQ(only.ledger().values, (std::vector<std::string>{"a", "b"}));
}

TEST(Host, StopEndsWhileASnapshotWaitsForAnApply) {
  TestBed bed({.members_count = 1, .members_started = 1});
  bed.create();
  Member& only = bed.wait_leader();
  only.knobs.hold_apply = true;
  Outcome outcome;
  std::optional<Status> taken;
  bed.start_apply(only, "a", &outcome);
  only.machine().spawn(TestBed::store(only.node()->snapshot(), &taken));
  bed.world.run_for(100ms);
  std::optional<bool> stopped;
  only.machine().spawn([](Member* m, std::optional<bool>* into) -> io::Task<void> {
    co_await m->stop();
    *into = true;
  }(&only, &stopped));
  bed.world.run_for(100ms);
  only.knobs.hold_apply = false;
  only.release();
  ASSERT_TRUE(bed.world.run_until([&] { return stopped.has_value(); }, 5s));
}

TEST(Host, TheLogIsCutAndKeepsWhatLaggingMembersMayNeed) {
  TestBed bed({.raft = often_snapshot()});
  bed.create();
  Member& leader = bed.wait_leader();
  for (int i = 0; i < 300; ++i) ASSERT_TRUE(bed.apply(leader, std::to_string(i)).ok());
  bed.world.run_for(1s);
  const NodeStatus status = leader.node()->status();
  EXPECT_GT(status.snapshot, LogIndex(200));
  EXPECT_EQ(status.snapshot - status.first + 1, 20u);
}

TEST(Host, AMemberThatLagsTooFarInstallsASnapshot) {
  TestBed bed({.raft = often_snapshot()});
  bed.create();
  Member& leader = bed.wait_leader();
  Member& slow = bed.follower_of(leader);
  bed.cut_off(slow);
  for (int i = 0; i < 300; ++i) ASSERT_TRUE(bed.apply(leader, std::to_string(i)).ok());
  bed.world.run_for(1s);
  bed.world.fabric().heal_all();
  ASSERT_TRUE(bed.converges());
  EXPECT_GE(slow.ledger().loads, 1u);
  EXPECT_EQ(slow.ledger().last_source, leader.self());
  EXPECT_EQ(slow.ledger().values, leader.ledger().values);
  EXPECT_EQ(slow.ledger().last_epoch, leader.ledger().last_epoch);
}

TEST(Host, AnInstallThatACrashInterruptedIsDoneAgain) {
  TestBed bed({.raft = often_snapshot()});
  bed.create();
  Member& leader = bed.wait_leader();
  Member& slow = bed.follower_of(leader);
  bed.cut_off(slow);
  for (int i = 0; i < 300; ++i) ASSERT_TRUE(bed.apply(leader, std::to_string(i)).ok());
  bed.world.run_for(1s);
  slow.knobs.hold_load = true;
  bed.world.fabric().heal_all();
  ASSERT_TRUE(bed.world.run_until([&] { return slow.ledger().loads > 0; }, 30s));
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(bed.apply(leader, "more" + std::to_string(i)).ok());
  slow.crash(sim::CrashKind::kPowerLoss);
  slow.knobs.hold_load = false;
  slow.start();
  ASSERT_TRUE(bed.converges());
  EXPECT_GE(slow.ledger().loads, 1u);
  EXPECT_EQ(slow.ledger().values, leader.ledger().values);
}

TEST(Host, AnInstallIsTriedAgainWhenItsSourceFails) {
  TestBed bed({.raft = often_snapshot()});
  bed.create();
  Member& leader = bed.wait_leader();
  Member& slow = bed.follower_of(leader);
  bed.cut_off(slow);
  for (int i = 0; i < 300; ++i) ASSERT_TRUE(bed.apply(leader, std::to_string(i)).ok());
  bed.world.run_for(1s);
  slow.knobs.fail_load = error(Errc::kUnavailable, "the source is busy");
  bed.world.fabric().heal_all();
  ASSERT_TRUE(bed.world.run_until([&] { return slow.ledger().loads >= 3; }, 30s));
  slow.knobs.fail_load.reset();
  ASSERT_TRUE(bed.converges());
  EXPECT_EQ(slow.ledger().values, leader.ledger().values);
}

TEST(Host, StopEndsWhileAnInstallIsRetried) {
  TestBed bed({.raft = often_snapshot()});
  bed.create();
  Member& leader = bed.wait_leader();
  Member& slow = bed.follower_of(leader);
  bed.cut_off(slow);
  for (int i = 0; i < 300; ++i) ASSERT_TRUE(bed.apply(leader, std::to_string(i)).ok());
  bed.world.run_for(1s);
  slow.knobs.fail_load = error(Errc::kUnavailable, "the source is busy");
  bed.world.fabric().heal_all();
  ASSERT_TRUE(bed.world.run_until([&] { return slow.ledger().loads >= 1; }, 30s));
  bed.world.run(slow.machine(), slow.stop(), 2s);
}

TEST(Host, ManyGroupsShareWhatIsRetainedForThoseThatLag) {
  HostOptions options;
  options.retained_log_bytes = 16 * kMiB;
  options.retained_log_bytes_all = 1 * kMiB;
  TestBed bed({.members_count = 1, .members_started = 1, .raft = options});
  for (uint64_t i = 1; i <= 8; ++i) bed.create(GroupId(i));
  Member& only = bed.member(1);
  bed.wait_leader(30s, GroupId(1));
  for (int i = 0; i < 40; ++i) {
    ASSERT_TRUE(bed.apply(only, "x", bed.payload(only, 16 * kKiB, 1), GroupId(1)).ok());
  }
  Node& node = *only.raft().find(GroupId(1));
  ASSERT_TRUE(bed.world.run(only.machine(), node.snapshot()).ok());
  const NodeStatus status = node.status();
  const uint64_t kept = status.last.value() - status.first.value() + 1;
  EXPECT_GE(kept, 8u);
  EXPECT_LE(kept, 9u) << "an eighth of a MiB in entries of 16 KiB";
}

TEST(Host, RetainedLogsGiveWayAndTheLogStaysBelowItsBound) {
  HostOptions options;
  options.snapshot_check_interval = 100ms;
  options.snapshot_log_bytes = 512 * kKiB;
  options.retained_log_bytes = 512 * kKiB;
  wal::WalOptions wal{.segment_bytes = 256 * kKiB, .wal_bytes_max = 4 * kMiB};
  TestBed bed({.members_count = 1, .members_started = 1, .raft = options, .wal = wal});
  std::vector<GroupId> groups;
  for (uint64_t i = 1; i <= 12; ++i) groups.emplace_back(i);
  for (GroupId group : groups) bed.create(group);
  Member& only = bed.member(1);
  for (GroupId group : groups) bed.wait_leader(30s, group);
  size_t refused = 0;
  for (int i = 0; i < 80; ++i) {
    for (GroupId group : groups) {
      for (;;) {
        const auto applied = bed.apply(only, "x", bed.payload(only, 16 * kKiB, 1), group);
        ASSERT_LE(only.raft().log().log_bytes(), wal.wal_bytes_max);
        if (applied.ok()) break;
        ASSERT_EQ(applied.code(), Errc::kOverloaded) << applied.error().describe();
        ASSERT_LE(++refused, 1000u) << "the log does not shrink";
        bed.world.run_for(1ms);
      }
    }
  }
  EXPECT_TRUE(bed.world.run_until([&] { return !only.raft().log().over_limit(); }, 60s))
      << only.raft().log().log_bytes() << " bytes";
}

TEST(Host, AFollowerWhoseLogIsFullTakesNothingAndCatchesUpLater) {
  HostOptions options;
  options.snapshot_check_interval = 100ms;
  wal::WalOptions wal{.segment_bytes = 256 * kKiB, .wal_bytes_max = 4 * kMiB};
  TestBed bed({.raft = options, .wal = wal});
  bed.create();
  Member& leader = bed.wait_leader();
  Member& slow = bed.follower_of(leader);
  slow.knobs.hold_save = true;  // so that nothing leaves its log
  slow.knobs.hold_apply = true;
  for (int i = 0; i < 600; ++i) {
    for (;;) {
      const auto applied = bed.apply(leader, "x", bed.payload(leader, 16 * kKiB, 1));
      ASSERT_LE(slow.raft().log().log_bytes(), wal.wal_bytes_max);
      if (applied.ok()) break;
      ASSERT_EQ(applied.code(), Errc::kOverloaded) << applied.error().describe();
      bed.world.run_for(10ms);
    }
  }
  slow.knobs.hold_save = slow.knobs.hold_apply = false;
  slow.release();
  ASSERT_TRUE(bed.converges());
  EXPECT_EQ(slow.ledger().values, leader.ledger().values);
}

// ---- whose log it is

/// A Host of `self` on the machine of a member that is down: how its opening ends.
Errc open_as(TestBed& bed, Member& member, NodeId self) {
  sim::Host& machine = member.machine();
  rpc::Client client(machine.env(), rpc::ClientOptions(), kKey);
  PeerDirectory nobody;
  Host host(machine.env(), self, client, nobody, HostOptions());
  return bed.world
      .run(machine, host.open(machine.disk(), {.segment_bytes = kMiB},
                              [&](GroupId group) { return &member.ledger(group); }))
      .code();
}

// Pitfall 19: a node that lost its log comes back under the same name and votes.
TEST(Host, ANodeWithoutItsLogAndOneWithAnothersLogDoNotStart) {
  TestBed bed({.members_count = 1, .members_started = 1});
  bed.create();
  ASSERT_TRUE(bed.apply(bed.wait_leader(), "x").ok());
  Member& only = bed.member(1);
  const uint64_t incarnation = only.raft().incarnation();
  EXPECT_NE(incarnation, 0u);
  only.crash(sim::CrashKind::kPowerLoss);
  only.machine().boot();
  EXPECT_EQ(open_as(bed, only, NodeId(2)), Errc::kPreconditionFailed);
  sim::SimDisk& disk = only.machine().disk();
  const auto names = bed.world.run(only.machine(), disk.list("wal")).value();
  for (const auto& name : names) {
    ASSERT_TRUE(bed.world.run(only.machine(), disk.remove("wal/" + name)).ok());
  }
  EXPECT_EQ(open_as(bed, only, NodeId(1)), Errc::kNotFound);
  // With nothing left of it the disk is a new one, for whoever names it.
  ASSERT_TRUE(bed.world.run(only.machine(), disk.remove("wal.identity")).ok());
  only.crash(sim::CrashKind::kKill);
  only.start();
  ASSERT_TRUE(bed.world.run_until([&] { return only.is_up(); }, 10s));
  EXPECT_NE(only.raft().incarnation(), incarnation);
  EXPECT_EQ(only.node(), nullptr);
}

TEST(Host, WhatARestartAppliesAgainIsBoundedOverAllGroups) {
  HostOptions options;
  options.replay_bytes_max = 1 * kMiB;  // far below what each group takes a snapshot after
  TestBed bed({.members_count = 1, .members_started = 1, .raft = options});
  Member& only = bed.member(1);
  for (uint64_t i = 1; i <= 8; ++i) bed.create(GroupId(i));
  for (uint64_t i = 1; i <= 8; ++i) bed.wait_leader(30s, GroupId(i));
  const auto saves = [&] {
    size_t count = 0;
    for (uint64_t i = 1; i <= 8; ++i) count += only.ledger(GroupId(i)).saves;
    return count;
  };
  for (int round = 0; round < 10; ++round) {
    for (uint64_t i = 1; i <= 8; ++i) {
      ASSERT_TRUE(bed.apply(only, "x", bed.payload(only, 16 * kKiB, 1), GroupId(i)).ok());
    }
  }
  EXPECT_EQ(saves(), 0u);  // 1.25 MiB were written before the next look at it
  bed.world.run_for(3s);
  EXPECT_GE(saves(), 2u) << "two groups hold more than the excess";
  EXPECT_LE(saves(), 4u) << "not all of them: the others stay below the bound";
}

TEST(Host, AStopLeavesNothingToApplyAgain) {
  TestBed bed({.members_count = 1, .members_started = 1});
  bed.create();
  Member& only = bed.wait_leader();
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(bed.apply(only, std::to_string(i)).ok());
  EXPECT_EQ(only.ledger().saves, 0u);
  bed.world.run(only.machine(), only.stop(), 10s);
  EXPECT_EQ(only.ledger().saves, 1u);
  only.crash(sim::CrashKind::kKill);
  only.start();
  bed.wait_leader();
  EXPECT_EQ(only.ledger().recovers, 1u);
  EXPECT_EQ(only.ledger().values.size(), 50u);
  EXPECT_EQ(only.ledger().last, LogIndex()) << "all came with the snapshot";
}

// ---- payloads

TEST(Host, PayloadsThatLeftMemoryAreReadBackForApplyAndForSending) {
  HostOptions options;
  options.cached_payload_bytes_max = 0;
  TestBed bed({.raft = options});
  bed.create();
  Member& leader = bed.wait_leader();
  Member& slow = bed.follower_of(leader);
  bed.cut_off(slow);
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(bed.apply(leader, std::to_string(i), bed.payload(leader, 8192, i)).ok());
  }
  bed.world.fabric().heal_all();
  ASSERT_TRUE(bed.converges());
  EXPECT_EQ(slow.ledger().values, leader.ledger().values);
  EXPECT_EQ(slow.ledger().loads, 0u) << "by the log, not by a snapshot";
}

// ---- reads and votes

TEST(Host, AReadUnderTheLeaseAsksNobody) {
  TestBed bed;
  bed.create();
  Member& leader = bed.wait_leader();
  ASSERT_TRUE(bed.apply(leader, "a").ok());
  bed.world.run_for(500ms);
  const Instant before = bed.world.now();
  EXPECT_TRUE(bed.world.run(leader.machine(), leader.node()->read_barrier()).ok());
  EXPECT_LT(bed.world.now() - before, 10us);
}

TEST(Host, ALeaderThatIsCutOffServesNoReadOnceAnotherMayLead) {
  TestBed bed;
  bed.create();
  Member& old = bed.wait_leader();
  bed.cut_off(old);
  bed.world.run_for(620ms);
  std::optional<Status> read;
  old.machine().spawn(TestBed::store(old.node()->read_barrier(), &read));
  EXPECT_FALSE(read.has_value()) << "its lease has run out and nobody answers";
  Member& next = bed.wait_leader(30s, kGroup, &old);
  ASSERT_TRUE(bed.apply(next, "new").ok());
  ASSERT_TRUE(bed.world.run_until([&] { return read.has_value(); }, 10s));
  EXPECT_FALSE(read->ok());
}

TEST(Host, APausedLeaderServesNoStaleRead) {
  TestBed bed;
  bed.create();
  Member& old = bed.wait_leader();
  bed.world.run_for(500ms);
  old.machine().pause();
  Member& next = bed.wait_leader(30s, kGroup, &old);
  ASSERT_TRUE(bed.apply(next, "new").ok());
  std::optional<Status> read;
  old.machine().resume();
  old.machine().spawn(TestBed::store(old.node()->read_barrier(), &read));
  ASSERT_TRUE(bed.world.run_until([&] { return read.has_value(); }, 10s));
  if (read->ok()) {
    EXPECT_EQ(old.ledger().values, next.ledger().values);
  }
}

TEST(Host, ARestartedMemberKeepsThePromiseThatItForgot) {
  // The leader dies; its follower is restarted shortly before the other one campaigns: it must not
  // vote for a whole election timeout, since it may have promised the leader a lease.
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    TestBed bed({.seed = seed});
    bed.create();
    Member& leader = bed.wait_leader();
    bed.world.run_for(500ms);
    Member& restarted = bed.follower_of(leader);
    leader.crash(sim::CrashKind::kPowerLoss);
    bed.world.run_for(700ms);
    restarted.crash(sim::CrashKind::kKill);
    restarted.start();
    const Instant started = bed.world.now();
    bed.wait_leader();
    EXPECT_GE(bed.world.now() - started, HostOptions().election_timeout()) << "seed " << seed;
  }
}

/// One real member; the test speaks for the two others.
class LoneMember : public ::testing::Test {
 protected:
  LoneMember() : bed_({.members_started = 1}), member_(bed_.member(1)) {
    bed_.create();
    bed_.world.run_for(900ms);  // past the promise of a fresh start, before most campaigns
  }
  raft::Message from(uint64_t node, raft::MessageType type, Term term) {
    raft::Message message;
    message.type = type;
    message.from = NodeId(node);
    message.to = member_.self();
    message.term = term;
    return message;
  }
  void hand_over(const raft::Message& message) {
    rpc::Call<wire::RaftBatch> call;
    std::vector<Buffer> attachment;
    call.request.set_from_node(message.from.value());
    encode(kGroup, message, call.request.add_messages(), &attachment);
    member_.raft().on_batch(std::move(call));
  }
  void deliver(const raft::Message& message) {
    member_.machine().execute([&] { hand_over(message); });
  }
  NodeStatus status() { return member_.node()->status(); }

  TestBed bed_;
  Member& member_;
};

TEST_F(LoneMember, DoesNotLeadBeforeItKnowsWhatIsCommittedThoughAnApplyEndsInThatMoment) {
  const Term term = status().term + 5;
  raft::Message append = from(2, raft::MessageType::kAppend, term);
  append.index = LogIndex(1);
  append.log_term = Term(1);
  append.commit = LogIndex(2);
  for (uint64_t i = 2; i <= 3; ++i) {
    raft::Entry entry;
    entry.term = term;
    entry.index = LogIndex(i);
    entry.head = Buffer::copy_of("v" + std::to_string(i));
    append.entries.push_back(entry);
  }
  member_.knobs.hold_apply = true;
  deliver(append);
  ASSERT_TRUE(bed_.world.run_until([&] { return member_.ledger().is_applying; }, 5s));
  // Entry 3 is committed, too, but the leader dies before it tells. Two others vote for us.
  const Duration tick = HostOptions().tick;
  Term campaign;
  for (int i = 0; i < 100 && status().term == term; ++i) {
    bed_.world.run_for(tick);
    raft::Message vote = from(3, raft::MessageType::kPreVoteResponse, term + 1);
    deliver(vote);
  }
  campaign = status().term;
  ASSERT_EQ(campaign, term + 1);
  bed_.world.run_for(5ms);  // its own vote is durable
  ASSERT_FALSE(member_.node()->is_leader());
  member_.machine().execute([&] {
    hand_over(from(3, raft::MessageType::kVoteResponse, campaign));
    EXPECT_TRUE(member_.node()->is_leader());
    member_.knobs.hold_apply = false;
    member_.release();
  });
  EXPECT_TRUE(member_.ledger().leader_starts.empty())
      << "entry 3 was acknowledged to its client and is not applied here";
  EXPECT_FALSE(member_.node()->is_ready_leader());
}

TEST_F(LoneMember, IgnoresMessagesOfNoTerm) {
  const NodeStatus before = status();
  raft::Message append = from(2, raft::MessageType::kAppend, Term());
  append.index = LogIndex(1);
  append.log_term = Term(1);
  raft::Entry entry;
  entry.term = Term(1);
  entry.index = LogIndex(2);
  entry.head = Buffer::copy_of("forged");
  append.entries.push_back(entry);
  deliver(append);
  EXPECT_EQ(status().last, before.last);
}

TEST_F(LoneMember, DropsABatchThatIsMeantForAnother) {
  const NodeStatus before = status();
  raft::Message beat = from(2, raft::MessageType::kAppend, before.term + 9);
  beat.to = NodeId(3);
  deliver(beat);
  EXPECT_EQ(status().term, before.term);
}

}  // namespace
}  // namespace cairn::multiraft
