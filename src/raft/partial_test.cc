// Members whose state lacks parts: they take entries, vote, and count towards no commit.
#include <gtest/gtest.h>

#include "raft/test_group.h"

namespace cairn::raft {
namespace {

using Texts = std::vector<std::string>;

TEST(Partial, WhatItAcknowledgesIsCommittedOnlyOnceItIsWhole) {
  TestGroup group(3);
  group.elect(1);
  group[2].set_partial(true);
  group.isolate(3);
  group.propose(1, "a");
  EXPECT_TRUE(group[1].progress(NodeId(2))->is_partial());
  EXPECT_EQ(group[1].progress(NodeId(2))->match, group[1].last_index())
      << "it takes it all the same";
  group.tick(1, 5);
  EXPECT_EQ(group.node(1).applied, Texts{});
  group[2].set_partial(false);
  group.tick(1, 5);  // a heartbeat's answer has the leader ask
  EXPECT_EQ(group.node(1).applied, Texts{"a"});
  EXPECT_FALSE(group[1].progress(NodeId(2))->is_partial());
}

TEST(Partial, TheOthersCommitWithoutIt) {
  TestGroup group(3);
  group.elect(1);
  group[2].set_partial(true);
  group.propose(1, "a");
  for (uint64_t id : {1, 2, 3}) EXPECT_EQ(group.node(id).applied, Texts{"a"}) << id;
}

TEST(Partial, ItsVoteCountsAndKeepsALeader) {
  TestGroup group(3, careful());
  group[2].set_partial(true);
  group.isolate(3);
  group.elect(1);
  group.tick(1, 50);
  EXPECT_TRUE(group[1].is_leader());
  EXPECT_LT(group[1].committed(), group[1].last_index());
}

TEST(Partial, ALeaderThatIsPartialItselfDoesNotCountEither) {
  TestGroup group(3);
  group[1].set_partial(true);
  group.elect(1);
  group.propose(1, "a");
  EXPECT_EQ(group.node(1).applied, Texts{"a"}) << "the two others have it";
  group.isolate(3);
  group.propose(1, "b");
  EXPECT_EQ(group.node(1).applied, Texts{"a"});
  group[1].set_partial(false);
  group.settle();
  EXPECT_EQ(group.node(1).applied, (Texts{"a", "b"}));
}

TEST(Partial, ItGivesTheLeadAwayWithoutCommittingAnything) {
  TestGroup group(3);
  group[1].set_partial(true);
  group.isolate(3);
  group.elect(1);
  group[1].transfer_leader(NodeId(2));
  group.settle();
  EXPECT_TRUE(group[2].is_leader());
  EXPECT_LT(group[2].committed(), group[2].last_index());
  group[1].set_partial(false);
  group.tick(2, 5);
  EXPECT_EQ(group[2].committed(), group[2].last_index());
}

// The member may wait for the leader to apply what it has applied itself, before it counts; and the
// leader for the member to count, before it can commit.
TEST(Partial, TheLeaderLearnsFromItWhatIsCommitted) {
  TestGroup group(3);
  group.elect(1);
  group[2].set_partial(true);
  group.isolate(3);
  group.propose(1, "a");
  const LogIndex last = group[1].last_index();
  ASSERT_LT(group[1].committed(), last);
  Message answer = message_from(2, 1, MessageType::kAppendResponse, group[1].term().value());
  answer.is_partial = true;
  answer.commit = last;
  answer.index = last - 1;  // beyond it nothing is known to match
  ASSERT_TRUE(group[1].step(answer).ok());
  EXPECT_LT(group[1].committed(), last);
  answer.index = last;
  ASSERT_TRUE(group[1].step(answer).ok());
  EXPECT_EQ(group[1].committed(), last);
}

TEST(Partial, ALearnerThatIsPartialHasNotCaughtUp) {
  TestGroup group(4, 3, careful());
  group[4].set_partial(true);
  group.elect(1);
  group.propose(1, "a");
  EXPECT_FALSE(group[1].is_caught_up(NodeId(4), 100));
  group[4].set_partial(false);
  group.tick(1, 5);
  EXPECT_TRUE(group[1].is_caught_up(NodeId(4), 100));
}

}  // namespace
}  // namespace cairn::raft
