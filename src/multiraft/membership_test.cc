// Members that come and go, and leadership that is handed over.
#include "multiraft/testbed_test.h"

namespace cairn::multiraft {
namespace {

using namespace testing;
using raft::ConfChangeTransition;
using raft::ConfChangeType;
using raft::ConfChangeV2;

ConfChangeV2 change_of(ConfChangeType type, NodeId node) {
  return ConfChangeV2(ConfChangeTransition::kAuto, {{.type = type, .node = node}});
}

std::vector<NodeId> nodes(std::initializer_list<uint64_t> numbers) {
  std::vector<NodeId> made;
  for (uint64_t number : numbers) made.emplace_back(number);
  return made;
}

/// A group on the first members of more.
class Membership : public ::testing::Test {
 protected:
  void begin(size_t members_count, size_t voters_count, uint64_t seed = 1) {
    bed_ = std::make_unique<TestBed>(
        BedOptions{.seed = seed, .members_count = members_count, .members_started = members_count});
    bed_->create_on_first(voters_count);
    leader_ = &bed_->wait_leader();
  }
  Status add(Member& m) {
    return on_leader([&](Node& n) { return n.add_member(m.self()); });
  }
  Status remove(Member& m) {
    return on_leader([&](Node& n) { return n.remove_member(m.self()); });
  }
  Status set(std::vector<NodeId> to) {
    return on_leader([&](Node& n) { return n.set_members(std::move(to)); });
  }
  Status transfer(NodeId to) {
    return on_leader([&](Node& n) { return n.transfer_leadership(to); });
  }
  Result<Epoch> change(ConfChangeV2 what) {
    return bed_->world.run(leader_->machine(), leader_->node()->change_members(std::move(what)),
                           120s);
  }
  template <typename Call>
  Status on_leader(Call&& call) {
    return bed_->world.run(leader_->machine(), call(*leader_->node()), 120s);
  }
  void write(size_t count) {
    for (size_t i = 0; i < count; ++i) {
      ASSERT_TRUE(bed_->apply(*leader_, "v" + std::to_string(written_++)).ok());
    }
  }
  /// Until all of `numbers` hold the same.
  bool same_on(std::initializer_list<uint64_t> numbers) {
    return bed_->world.run_until(
        [&] {
          Member* leader = bed_->leader();
          if (!leader) return false;
          for (uint64_t number : numbers) {
            Member& m = bed_->member(number);
            if (!m.node() || m.node()->status().applied != leader->node()->status().last ||
                m.ledger().values != leader->ledger().values) {
              return false;
            }
          }
          return true;
        },
        60s);
  }
  Member& other_member() { return bed_->follower_of(*leader_); }

  std::unique_ptr<TestBed> bed_;
  Member* leader_ = nullptr;
  size_t written_ = 0;
};

TEST_F(Membership, ANewMemberGetsACopyFirstAndThenAVote) {
  begin(4, 3);
  write(20);
  Member& added = bed_->member(4);
  bed_->join(added);
  const Epoch before = leader_->node()->status().epoch;
  ASSERT_TRUE(add(added).ok());
  EXPECT_EQ(added.ledger().loads, 1u) << "its log begins with a snapshot";
  EXPECT_EQ(leader_->node()->status().members, nodes({1, 2, 3, 4}));
  EXPECT_GE(leader_->node()->status().epoch, before + 2) << "as a learner, as a voter";
  write(5);
  ASSERT_TRUE(same_on({1, 2, 3, 4}));
  for (auto& m : bed_->members) {
    EXPECT_EQ(m->ledger().configuration.voters, nodes({1, 2, 3, 4}));
    EXPECT_EQ(m->ledger().last_epoch, leader_->node()->status().epoch);
  }
  // It counts: of four, two are not enough, and three are.
  bed_->member(1).crash(sim::CrashKind::kKill);
  leader_ = &bed_->wait_leader();
  write(1);
}

TEST_F(Membership, AMemberOfAQuietGroupIsAddedAsWell) {
  begin(4, 3);
  write(3);
  bed_->world.run_for(30s);
  bed_->join(bed_->member(4));
  EXPECT_TRUE(add(bed_->member(4)).ok());
  bed_->world.run_for(30s);
  EXPECT_TRUE(on_leader([&](Node& n) { return n.remove_member(NodeId(4)); }).ok());
}

TEST_F(Membership, OneJointChangeReplacesEveryMember) {
  begin(6, 3);
  write(10);
  for (uint64_t i = 4; i <= 6; ++i) bed_->join(bed_->member(i));
  ASSERT_TRUE(set(nodes({4, 5, 6})).ok());
  leader_ = &bed_->wait_leader();
  EXPECT_GE(leader_->self().value(), 4u);
  EXPECT_FALSE(leader_->node()->status().is_joint);
  EXPECT_EQ(leader_->node()->status().members, nodes({4, 5, 6}));
  for (uint64_t i = 1; i <= 3; ++i) bed_->member(i).crash(sim::CrashKind::kKill);
  leader_ = &bed_->wait_leader();
  write(5);
  ASSERT_TRUE(same_on({4, 5, 6}));
  EXPECT_EQ(leader_->ledger().values.size(), 15u);
}

// A restarted member campaigns under the configuration that it has applied: if it had forgotten
// that the last change is committed it would ask those who are gone. (Raft profile of the
// simulator, seed 284.)
TEST_F(Membership, NobodyNeedsTheReplacedMembersAgainAfterAPowerLoss) {
  begin(6, 3);
  write(5);
  for (uint64_t i = 4; i <= 6; ++i) bed_->join(bed_->member(i));
  ASSERT_TRUE(set(nodes({4, 5, 6})).ok());
  leader_ = &bed_->wait_leader();
  const Epoch epoch = leader_->node()->status().epoch;
  const auto all_know = [&] {
    for (uint64_t i = 4; i <= 6; ++i) {
      if (bed_->member(i).node()->status().epoch < epoch) return false;
    }
    return true;
  };
  ASSERT_TRUE(bed_->world.run_until(all_know, 30s));
  for (uint64_t i = 4; i <= 6; ++i) bed_->member(i).crash(sim::CrashKind::kPowerLoss);
  for (uint64_t i = 1; i <= 3; ++i) {
    Member& old = bed_->member(i);
    ASSERT_TRUE(bed_->world.run(old.machine(), old.raft().remove(kGroup)).ok());
  }
  for (uint64_t i = 4; i <= 6; ++i) bed_->member(i).start();
  ASSERT_TRUE(bed_->world.run_until([&] { return bed_->all_open(); }, 10s));
  leader_ = &bed_->wait_leader();
  write(1);
  ASSERT_TRUE(same_on({4, 5, 6}));
}

TEST_F(Membership, ALeaderThatIsRemovedTellsItsCallerAndAnotherLeads) {
  begin(3, 3);
  Member& old = *leader_;
  ASSERT_TRUE(remove(old).ok());
  leader_ = &bed_->wait_leader(30s, kGroup, &old);
  EXPECT_EQ(old.ledger().leader_stops, 1u);
  write(3);
  EXPECT_EQ(leader_->node()->status().members.size(), 2u);
  EXPECT_EQ(bed_->apply(old, "x").code(), Errc::kNotLeader);
}

TEST_F(Membership, WhatCannotBeDoneIsRefusedAndChangesNothing) {
  begin(4, 3);
  const Epoch before = leader_->node()->status().epoch;
  bed_->join(bed_->member(4));
  EXPECT_EQ(change(change_of(ConfChangeType::kAddVoter, NodeId(4))).code(),
            Errc::kPreconditionFailed)
      << "it has no copy yet";
  EXPECT_EQ(change(change_of(ConfChangeType::kAddLearner, NodeId())).code(),
            Errc::kInvalidArgument);
  EXPECT_EQ(change(ConfChangeV2()).code(), Errc::kPreconditionFailed) << "it is not joint";
  EXPECT_EQ(set({}).code(), Errc::kInvalidArgument);
  Member& follower = other_member();
  for (auto refused :
       {bed_->world.run(follower.machine(), follower.node()->add_member(NodeId(4))),
        bed_->world.run(follower.machine(), follower.node()->remove_member(NodeId(1))),
        bed_->world.run(follower.machine(), follower.node()->transfer_leadership())}) {
    EXPECT_EQ(refused.code(), Errc::kNotLeader);
  }
  EXPECT_EQ(leader_->node()->status().members, nodes({1, 2, 3}));
  EXPECT_EQ(leader_->node()->status().epoch, before);
}

TEST_F(Membership, TheLastVoterStays) {
  begin(1, 1);
  EXPECT_EQ(remove(*leader_).code(), Errc::kInvalidArgument);
  write(1);
}

TEST_F(Membership, OneChangeIsUnderWayAtATime) {
  begin(5, 3);
  for (uint64_t i = 4; i <= 5; ++i) bed_->join(bed_->member(i));
  std::optional<Status> first;
  leader_->machine().spawn(TestBed::store(leader_->node()->add_learner(NodeId(4)), &first));
  EXPECT_EQ(change(change_of(ConfChangeType::kAddLearner, NodeId(5))).code(), Errc::kOverloaded);
  ASSERT_TRUE(bed_->world.run_until([&] { return first.has_value(); }, 10s));
  EXPECT_TRUE(first->ok());
  EXPECT_EQ(leader_->node()->status().learners, nodes({4}));
  EXPECT_TRUE(change(change_of(ConfChangeType::kAddLearner, NodeId(5))).ok());
}

TEST_F(Membership, AChangeWithoutAQuorumIsAnOpenQuestionToItsCaller) {
  begin(3, 3);
  Member& old = *leader_;
  bed_->cut_off(old);
  std::optional<Status> removed;
  const NodeId victim = other_member().self();
  old.machine().spawn(TestBed::store(old.node()->remove_member(victim), &removed));
  ASSERT_TRUE(bed_->world.run_until([&] { return removed.has_value(); }, 30s));
  EXPECT_EQ(removed->code(), Errc::kUnavailable);
  bed_->world.fabric().heal_all();
  leader_ = &bed_->wait_leader(30s, kGroup, &old);
  write(1);
  ASSERT_TRUE(same_on({1, 2, 3}));
  EXPECT_EQ(leader_->node()->status().members, nodes({1, 2, 3}));
}

TEST_F(Membership, TheEpochAndTheMembersSurviveARestart) {
  begin(4, 3);
  bed_->join(bed_->member(4));
  ASSERT_TRUE(add(bed_->member(4)).ok());
  ASSERT_TRUE(remove(bed_->member(1)).ok());
  leader_ = &bed_->wait_leader();
  write(3);
  ASSERT_TRUE(same_on({2, 3, 4}));
  // One of them from its snapshot, the others from the log behind theirs.
  Member& one = bed_->member(3);
  ASSERT_TRUE(bed_->world.run(one.machine(), one.node()->snapshot()).ok());
  const Epoch before = leader_->node()->status().epoch;
  for (auto& m : bed_->members) m->crash(sim::CrashKind::kPowerLoss);
  for (auto& m : bed_->members) m->start();
  ASSERT_TRUE(bed_->world.run_until([&] { return bed_->all_open(); }, 10s));
  leader_ = &bed_->wait_leader();
  write(1);
  ASSERT_TRUE(same_on({2, 3, 4}));
  EXPECT_GT(leader_->node()->status().epoch, before);
  for (uint64_t i = 2; i <= 4; ++i) {
    EXPECT_EQ(bed_->member(i).node()->status().members, nodes({2, 3, 4}));
    EXPECT_EQ(bed_->member(i).node()->status().epoch, leader_->node()->status().epoch);
  }
}

// Pitfall 3: the members of two changes ago share no majority with those of today. 1 and 2 know all
// of today's log, and after a restart not what of it is committed: they must not elect each other.
TEST_F(Membership, ARestartedMemberDoesNotCampaignUnderTheMembersOfTwoChangesAgo) {
  begin(5, 3);
  for (uint64_t i = 4; i <= 5; ++i) bed_->join(bed_->member(i));
  ASSERT_TRUE(add(bed_->member(4)).ok());
  ASSERT_TRUE(add(bed_->member(5)).ok());
  if (leader_->self().value() <= 2) {
    const Status handed = transfer(NodeId(5));
    ASSERT_TRUE(handed.ok()) << handed.error().describe();
    leader_ = &bed_->wait_leader();
  }
  ASSERT_TRUE(same_on({1, 2, 3, 4, 5}));
  // Nobody else hears them.
  for (uint64_t a = 1; a <= 2; ++a) {
    for (uint64_t b = 3; b <= 5; ++b) {
      bed_->world.fabric().cut_both(bed_->member(a).machine(), bed_->member(b).machine());
    }
    bed_->member(a).crash(sim::CrashKind::kKill);
    bed_->member(a).start();
  }
  ASSERT_TRUE(bed_->world.run_until([&] { return bed_->all_open(); }, 10s));
  bed_->world.run_for(60s);
  EXPECT_FALSE(bed_->member(1).node()->is_leader());
  EXPECT_FALSE(bed_->member(2).node()->is_leader());
  leader_ = &bed_->wait_leader();
  write(3);
  bed_->world.fabric().heal_all();
  ASSERT_TRUE(same_on({1, 2, 3, 4, 5}));
}

TEST_F(Membership, ARemovedReplicaThatComesBackDisturbsNobody) {
  begin(3, 3);
  Member& removed = other_member();
  removed.crash(sim::CrashKind::kKill);
  ASSERT_TRUE(remove(removed).ok());
  write(5);
  const Term term = leader_->node()->term();
  const size_t stops = leader_->ledger().leader_stops;
  removed.start();  // it believes that it is a member, and hears of nobody
  bed_->world.run_for(60s);
  EXPECT_EQ(bed_->leader(), leader_);
  EXPECT_EQ(leader_->node()->term(), term);
  EXPECT_EQ(leader_->ledger().leader_stops, stops);
  // Also while the others elect.
  leader_->crash(sim::CrashKind::kKill);
  bed_->world.run_for(10s);
  EXPECT_FALSE(removed.node()->is_leader());
  leader_->start();
  ASSERT_TRUE(bed_->world.run_until([&] { return bed_->all_open(); }, 10s));
  leader_ = &bed_->wait_leader();
  EXPECT_NE(leader_, &removed);
  write(1);
}

// ---- replicas that have lost what they had

// Pitfall 19: under its old name and without its log, it would vote twice and forget what it
// acknowledged.
TEST_F(Membership, AReplicaThatLostItsLogCountsForNothingUntilItWasRemovedAndAddedAnew) {
  begin(3, 3);
  write(10);
  ASSERT_TRUE(same_on({1, 2, 3}));
  Member& lost = other_member();
  lost.crash(sim::CrashKind::kPowerLoss);
  lost.lose_log();
  lost.start();
  ASSERT_TRUE(bed_->world.run_until([&] { return bed_->all_open(); }, 10s));
  bed_->join(lost);
  write(5);
  bed_->world.run_for(20s);
  EXPECT_TRUE(lost.ledger().values.empty()) << "it is counted on, and takes nothing";
  EXPECT_TRUE(lost.ledger().failure == std::nullopt);

  Member& third = bed_->member(6 - leader_->self().value() - lost.self().value());
  third.crash(sim::CrashKind::kKill);
  TestBed::Outcome outcome;
  bed_->start_apply(*leader_, "not to be lost", &outcome);
  bed_->world.run_for(30s);
  EXPECT_FALSE(outcome && outcome->ok()) << "it must not help to commit";
  EXPECT_FALSE(bed_->leader()) << "nor to lead";
  third.start();
  ASSERT_TRUE(bed_->world.run_until([&] { return third.is_up(); }, 10s));
  leader_ = &bed_->wait_leader();

  ASSERT_TRUE(remove(lost).ok());
  ASSERT_TRUE(add(lost).ok());
  write(3);
  ASSERT_TRUE(same_on({1, 2, 3}));
  third.crash(sim::CrashKind::kKill);
  leader_ = &bed_->wait_leader();
  write(1);
}

TEST_F(Membership, ABlankReplicaStaysBlankOverARestart) {
  begin(4, 3);
  Member& joined = bed_->member(4);
  bed_->join(joined);
  joined.crash(sim::CrashKind::kPowerLoss);
  joined.start();
  ASSERT_TRUE(bed_->world.run_until([&] { return bed_->all_open(); }, 10s));
  ASSERT_TRUE(joined.node());
  EXPECT_TRUE(joined.node()->status().members.empty());
  bed_->world.run_for(10s);
  EXPECT_FALSE(joined.node()->is_leader());
  EXPECT_TRUE(add(joined).ok());
}

TEST_F(Membership, ALearnerThatNeverAnswersStaysALearner) {
  begin(4, 3);
  bed_->member(4).crash(sim::CrashKind::kKill);
  EXPECT_EQ(add(bed_->member(4)).code(), Errc::kTimeout);
  EXPECT_EQ(leader_->node()->status().members, nodes({1, 2, 3}));
  EXPECT_EQ(leader_->node()->status().learners, nodes({4}));
  EXPECT_TRUE(remove(bed_->member(4)).ok());
  EXPECT_TRUE(leader_->node()->status().learners.empty());
}

// ---- a lost quorum

TEST_F(Membership, ASurvivorMakesANewGroupAndTheOldMembersDoNotComeBack) {
  begin(5, 3);
  write(5);
  ASSERT_TRUE(same_on({1, 2, 3}));
  EXPECT_EQ(on_leader([&](Node& n) { return n.reset_members({leader_->self()}); }).code(),
            Errc::kPreconditionFailed)
      << "there is a leader";
  Member& survivor = other_member();
  std::vector<Member*> dead;
  for (uint64_t i = 1; i <= 3; ++i) {
    if (&bed_->member(i) != &survivor) dead.push_back(&bed_->member(i));
  }
  for (Member* m : dead) m->crash(sim::CrashKind::kKill);
  bed_->world.run_for(10s);
  leader_ = &survivor;
  EXPECT_EQ(on_leader([&](Node& n) { return n.reset_members({NodeId(4)}); }).code(),
            Errc::kInvalidArgument);
  ASSERT_TRUE(on_leader([&](Node& n) { return n.reset_members({survivor.self()}); }).ok());
  write(5);
  // The dead come back: they are a majority of what the group was.
  for (Member* m : dead) m->start();
  ASSERT_TRUE(bed_->world.run_until([&] { return bed_->all_open(); }, 10s));
  bed_->world.run_for(30s);
  EXPECT_TRUE(survivor.node()->is_leader());
  write(5);
  for (uint64_t i = 4; i <= 5; ++i) {
    bed_->join(bed_->member(i));
    const Status added = add(bed_->member(i));
    ASSERT_TRUE(added.ok()) << added.error().describe();
  }
  survivor.crash(sim::CrashKind::kPowerLoss);
  survivor.start();
  ASSERT_TRUE(bed_->world.run_until([&] { return bed_->all_open(); }, 10s));
  const auto has_all = [&](Member& m) { return m.ledger().values.size() == 15; };
  ASSERT_TRUE(bed_->world.run_until(
      [&] { return has_all(survivor) && has_all(bed_->member(4)) && has_all(bed_->member(5)); },
      60s));
}

// ---- leadership

TEST_F(Membership, LeadershipIsHandedToWhomIsAsked) {
  begin(3, 3);
  write(3);
  for (const NodeId to : nodes({1, 2, 3, 2, 1})) {
    ASSERT_TRUE(transfer(to).ok());
    leader_ = &bed_->wait_leader();
    ASSERT_EQ(leader_->self(), to);
    write(1);
  }
}

TEST_F(Membership, LeadershipIsHandedToTheOneThatKeepsUp) {
  begin(3, 3);
  Member& behind = other_member();
  bed_->cut_off(behind);
  write(5);
  Member& old = *leader_;
  ASSERT_TRUE(transfer(NodeId()).ok());
  leader_ = &bed_->wait_leader();
  EXPECT_NE(leader_, &behind);
  EXPECT_NE(leader_, &old);
}

TEST_F(Membership, AQuietGroupIsHandedOverToo) {
  begin(3, 3);
  write(1);
  bed_->world.run_for(30s);
  Member& old = *leader_;
  ASSERT_TRUE(transfer(NodeId()).ok());
  EXPECT_NE(&bed_->wait_leader(), &old);
}

TEST_F(Membership, ALeaderLeadsOnWhenItsSuccessorDoesNotAnswer) {
  begin(4, 3);
  Member& deaf = other_member();
  deaf.crash(sim::CrashKind::kKill);
  write(1);
  EXPECT_EQ(transfer(deaf.self()).code(), Errc::kTimeout);
  EXPECT_EQ(bed_->leader(), leader_);
  write(1);
  EXPECT_EQ(transfer(NodeId(4)).code(), Errc::kInvalidArgument) << "it is no member";
  EXPECT_TRUE(transfer(leader_->self()).ok());
}

TEST_F(Membership, NoReadIsServedByALeaderThatHandedOver) {
  begin(3, 3);
  Member& old = *leader_;
  ASSERT_TRUE(transfer(NodeId()).ok());
  leader_ = &bed_->wait_leader();
  ASSERT_NE(leader_, &old);
  write(1);
  EXPECT_EQ(bed_->world.run(old.machine(), old.node()->read_barrier()).code(), Errc::kNotLeader);
}

// ---- all of it at random

TEST_F(Membership, NothingThatWasAcknowledgedIsLostWhileMembersComeAndGo) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE(seed);
    written_ = 0;
    begin(5, 3, seed);
    Rng& rng = bed_->world.rng();
    for (uint64_t i = 4; i <= 5; ++i) bed_->join(bed_->member(i));
    std::deque<std::pair<std::string, TestBed::Outcome>> proposed;
    for (int round = 0; round < 10; ++round) {
      leader_ = &bed_->wait_leader(60s);
      for (int i = 0; i < 5; ++i) {
        auto& [value, outcome] = proposed.emplace_back(
            std::to_string(round) + "." + std::to_string(i), TestBed::Outcome());
        bed_->start_apply(*leader_, value, &outcome);
      }
      std::vector<NodeId> wanted = nodes({1, 2, 3, 4, 5});
      while (wanted.size() > 3) wanted.erase(wanted.begin() + rng.below(wanted.size()));
      std::optional<Status> changed;
      leader_->machine().spawn(TestBed::store(leader_->node()->set_members(wanted), &changed));
      bed_->world.run_for(Duration(rng.below(3'000'000'000)));
      Member& victim = bed_->member(1 + rng.below(5));
      victim.crash(rng.chance(0.5) ? sim::CrashKind::kPowerLoss : sim::CrashKind::kKill);
      bed_->world.run_for(Duration(rng.below(2'000'000'000)));
      victim.start();
      ASSERT_TRUE(bed_->world.run_until([&] { return bed_->all_open(); }, 20s));
    }
    leader_ = &bed_->wait_leader(60s);
    while (!bed_->apply(*leader_, "end").ok()) {
      bed_->world.run_for(100ms);
      leader_ = &bed_->wait_leader(60s);
    }
    const auto& values = leader_->ledger().values;
    for (auto& [value, outcome] : proposed) {
      const auto count = std::ranges::count(values, value);
      ASSERT_LE(count, 1) << value;
      if (outcome && outcome->ok()) {
        ASSERT_EQ(count, 1) << value << " was acknowledged";
      }
    }
    for (auto& m : bed_->members) {
      if (!std::ranges::count(leader_->node()->status().members, m->self())) continue;
      ASSERT_TRUE(same_on({m->self().value()})) << "member " << m->self().value();
    }
  }
}

}  // namespace
}  // namespace cairn::multiraft
