// Configuration changes, their validation, priorities, and what keeps a transfer from them.
#include <gtest/gtest.h>

#include "raft/test_group.h"

namespace cairn::raft {
namespace {

TEST(Membership, AChangeThatCannotBeMadeIsRefusedWhenItIsProposedToo) {
  TestGroup group(3);
  group.elect(1);
  EXPECT_EQ(group[1].check_conf_change(change("r1 r2 r3")).code(), Errc::kPreconditionFailed);
  EXPECT_EQ(group[1].check_conf_change(change("")).code(), Errc::kPreconditionFailed);
  EXPECT_TRUE(group[1].check_conf_change(change("r1 l2 v4")).ok());
  const LogIndex before = group[1].last_index();
  ASSERT_TRUE(group[1].propose_conf_change(change("r1 r2 r3")).ok());
  // An empty entry stands in its place, and the next change does not wait for it.
  ASSERT_TRUE(group[1].propose_conf_change(change("v4")).ok());
  group.settle();
  EXPECT_EQ(group[1].last_index(), before + 2);
  EXPECT_EQ(group.config_of(2), "voters=(1 2 3 4)");
}

TEST(Membership, AResetIsNeverProposed) {
  Config config;
  config.disable_conf_change_validation = true;
  TestGroup group(3, config);
  group.elect(1);
  ConfChangeV2 reset = change("v1");
  reset.transition = ConfChangeTransition::kReset;
  ASSERT_TRUE(group[1].propose_conf_change(reset).ok());
  group.settle();
  EXPECT_EQ(group.config_of(1), "voters=(1 2 3)");
  EXPECT_TRUE(group.node(1).configurations.empty());
}

TEST(Membership, ALearnerIsPromotedOnceItHasCaughtUp) {
  TestGroup group(4, 3, careful());
  group.elect(1);
  ASSERT_TRUE(group[1].propose_conf_change(change("l4")).ok());
  group.isolate(4);
  group.settle();
  for (int i = 0; i < 10; ++i) group.propose(1, "x");
  EXPECT_FALSE(group[1].is_caught_up(NodeId(4), 5));
  EXPECT_EQ(group[1].promote(NodeId(4), 5).code(), Errc::kPreconditionFailed);
  EXPECT_EQ(group[1].promote(NodeId(2), 5).code(), Errc::kNotFound);   // votes already
  EXPECT_EQ(group[2].promote(NodeId(4), 5).code(), Errc::kNotLeader);  // cannot know
  group.heal();
  group.tick(1, 3);
  EXPECT_TRUE(group[1].is_caught_up(NodeId(4), 0));
  ASSERT_TRUE(group[1].promote(NodeId(4), 0).ok());
  EXPECT_EQ(group[1].promote(NodeId(4), 0).code(), Errc::kPreconditionFailed);  // on its way
  group.settle();
  EXPECT_EQ(group.config_of(4), "voters=(1 2 3 4)");
}

TEST(Membership, AMemberThatFellSilentHasNotCaughtUp) {
  TestGroup group(4, 3, careful());
  group.elect(1);
  ASSERT_TRUE(group[1].propose_conf_change(change("l4")).ok());
  group.settle();
  group.tick(1, 2);
  EXPECT_TRUE(group[1].is_caught_up(NodeId(4), 0));
  group.isolate(4);
  group.tick(1, 25);  // it has every entry, but two checks of the quorum did not hear it
  EXPECT_FALSE(group[1].is_caught_up(NodeId(4), 0));
}

// Pitfall 9: a voter is demoted before it is removed, so that it is no candidate when it goes.
TEST(Membership, AVoterThatIsDemotedBeforeItsRemovalDisturbsNobody) {
  TestGroup group(3);  // without pre-vote and check-quorum, which would hide a disturbance
  group.elect(1);
  EXPECT_EQ(group[1].demote(NodeId(7)).code(), Errc::kNotFound);
  ASSERT_TRUE(group[1].demote(NodeId(3)).ok());
  group.settle();
  EXPECT_EQ(group.config_of(3), "voters=(1 2) learners=(3)");
  const Term term = group[1].term();
  group.isolate(3);  // and is removed without hearing of it
  ASSERT_TRUE(group[1].propose_conf_change(change("r3")).ok());
  group.settle();
  EXPECT_EQ(group.config_of(1), "voters=(1 2)");
  group.heal();
  group.tick(3, 100);
  EXPECT_EQ(group[3].term(), term);
  EXPECT_TRUE(group[1].is_leader());
}

TEST(Membership, TheLastVoterIsNotDemoted) {
  TestGroup group(1);
  group.elect(1);
  EXPECT_EQ(group[1].demote(NodeId(1)).code(), Errc::kPreconditionFailed);
}

TEST(Membership, ALeaderThatRemovesItselfLeadsUntilThatIsAppliedAndStepsDown) {
  Config config = careful();
  config.step_down_on_removal = true;
  TestGroup group(3, config);
  group.elect(1);
  ASSERT_TRUE(group[1].propose_conf_change(change("r1")).ok());
  EXPECT_TRUE(group[1].is_leader());
  group.settle();
  EXPECT_EQ(group.config_of(1), "voters=(2 3)");
  EXPECT_EQ(group[1].role(), Role::kFollower);
  group.tick(1, 50);
  EXPECT_EQ(group[1].role(), Role::kFollower);  // it is no voter and does not ask
  group.tick(2, 40);
  group.tick(3, 40);
  EXPECT_TRUE(group[2].is_leader() || group[3].is_leader());
}

// Pitfall 7: a joint configuration is left only by an entry, which a restart does not write.
TEST(Membership, AJointConfigurationFoundAtAStartIsLeftByALeaderOnceItIsApplied) {
  TestGroup group(3);
  group.elect(1);
  ConfChangeV2 joint = change("v4 r3");
  joint.transition = ConfChangeTransition::kJointImplicit;
  ASSERT_TRUE(group[1].propose_conf_change(joint).ok());
  while (!group[1].config().voters.is_joint()) {
    for (uint64_t id : {1, 2, 3}) group.work_off(id);
    for (Message& m : std::exchange(group.in_flight(), {})) {
      if (m.to.value() <= 3) (void)group[m.to.value()].step(std::move(m));
    }
  }
  const LogIndex entered = group[1].applied();
  group.in_flight().clear();
  // It stops with the configuration as its snapshot has it, before it could propose to leave.
  ASSERT_TRUE(group.node(1)
                  .storage->create_snapshot(entered, group.node(1).configurations.back(), Buffer())
                  .ok());
  group.start(NodeId(1));
  EXPECT_TRUE(group[1].config().voters.is_joint());
  EXPECT_TRUE(group[1].config().auto_leave);
  group.tick(1, 9);  // no leader, so nobody leaves it
  EXPECT_TRUE(group[1].config().voters.is_joint());
  group[1].campaign();
  group.settle();
  ASSERT_TRUE(group[1].is_leader());
  group.settle();
  EXPECT_EQ(group.config_of(1), "voters=(1 2 4)");
  EXPECT_EQ(group.config_of(2), "voters=(1 2 4)");
}

// Pitfall 8: a voter of the old half alone counts there, and its own vote does not count as one of
// the new half.
TEST(Membership, ACandidateThatLeavesCountsItselfInTheOldHalfOnly) {
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->metadata = {.conf_state = {.voters = {NodeId(2), NodeId(3)},
                                       .learners = {},
                                       .voters_outgoing = {NodeId(1), NodeId(2), NodeId(3)},
                                       .learners_next = {}},
                        .index = LogIndex(1),
                        .term = Term(1)};
  MemoryStorage storage;
  ASSERT_TRUE(storage.apply_snapshot(snapshot).ok());
  Rng rng(1);
  Config config;
  config.id = NodeId(1);
  config.storage = &storage;
  config.rng = &rng;
  const auto node = std::move(RawNode::create(config)).value();
  node->campaign();
  (void)node->ready();
  node->advance();
  ASSERT_EQ(node->role(), Role::kCandidate);
  const auto vote = [&](uint64_t from) {
    return node->step({.type = MessageType::kVoteResponse,
                       .to = NodeId(1),
                       .from = NodeId(from),
                       .term = node->term()});
  };
  ASSERT_TRUE(vote(2).ok());
  // Two of three in the old half; one of two in the new one, were it not for its own vote.
  EXPECT_EQ(node->role(), Role::kCandidate);
  ASSERT_TRUE(vote(3).ok());
  EXPECT_EQ(node->role(), Role::kLeader);
}

TEST(Transfer, IsRefusedWhileAConfigurationChangeIsNotApplied) {
  TestGroup group(3);
  group.elect(1);
  ASSERT_TRUE(group[1].propose_conf_change(change("l4")).ok());
  group[1].transfer_leader(NodeId(2));
  EXPECT_TRUE(group[1].transferee().is_none());
  group.settle();
  group[1].transfer_leader(NodeId(2));
  group.settle();
  EXPECT_TRUE(group[2].is_leader());
}

TEST(Transfer, OfANewLeaderDoesNotWaitForWhatIsNoConfigurationChange) {
  TestGroup group(3);
  group.elect(1);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(group[1].propose(Buffer::copy_of("x")).ok());
  ASSERT_LT(group[1].applied(), group[1].last_index());
  group[1].transfer_leader(NodeId(2));
  EXPECT_EQ(group[1].transferee(), NodeId(2));
  group.settle();
  EXPECT_TRUE(group[2].is_leader());
}

TEST(Priority, BelowTheBestNeedsPreVote) {
  MemoryStorage storage;
  Rng rng(1);
  Config config;
  config.id = NodeId(1);
  config.storage = &storage;
  config.rng = &rng;
  config.priority = kPriorityMax - 1;
  EXPECT_EQ(RawNode::create(config).code(), Errc::kInvalidArgument);
  config.pre_vote = true;
  EXPECT_TRUE(RawNode::create(config).ok());
  config.priority = kPriorityMax + 1;
  EXPECT_EQ(RawNode::create(config).code(), Errc::kInvalidArgument);
}

// Ticks all members alike until one leads; none after `ticks_max`.
NodeId leader_after(TestGroup& group, std::initializer_list<uint64_t> alive, int ticks_max) {
  for (int i = 0; i < ticks_max; ++i) {
    for (uint64_t id : alive) group[id].tick();
    group.settle();
    for (uint64_t id : alive) {
      if (group[id].is_leader()) return NodeId(id);
    }
  }
  return NodeId();
}

TEST(Priority, TheBestThatIsThereLeadsWhateverTimeoutsAreDrawn) {
  for (int round = 0; round < 20; ++round) {
    TestGroup group(3, careful());
    for (int i = 0; i < round; ++i) group.start(NodeId(1 + i % 3));  // other random numbers
    group[1].set_priority(0);
    group[2].set_priority(1);
    EXPECT_EQ(leader_after(group, {1, 2, 3}, 25), NodeId(3));
    group.isolate(3);
    EXPECT_EQ(leader_after(group, {1, 2}, 60), NodeId(2));
  }
}

TEST(Priority, ABestMemberWithAnOldLogKeepsNobodyFromLeading) {
  TestGroup group(3, careful());
  group[1].set_priority(0);
  group[2].set_priority(0);
  group.elect(1);
  group.isolate(3);
  group.propose(1, "3 does not have this");
  group.isolate(1);  // as good as dead; 2 is the only one that may be elected
  group.heal();
  group.isolate(1);
  const NodeId leader = leader_after(group, {2, 3}, 100);
  EXPECT_EQ(leader, NodeId(2));
}

}  // namespace
}  // namespace cairn::raft
