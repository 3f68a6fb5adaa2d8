// A group that lost its quorum goes on by a survivor's word, and those left out stay out.
#include <gtest/gtest.h>

#include "raft/test_group.h"

namespace cairn::raft {
namespace {

// Ticks `id`, cut off, until it knows of no leader.
void forget_leader(TestGroup& group, uint64_t id) {
  for (int i = 0; i < 50 && !group[id].leader().is_none(); ++i) group.tick(id);
  ASSERT_TRUE(group[id].leader().is_none());
}

TEST(Reset, ALoneSurvivorServesAndGrowsAgain) {
  TestGroup group(4, 3, careful());
  group.elect(1);
  group.propose(1, "kept");
  for (uint64_t id : {1, 2}) group.isolate(id);
  forget_leader(group, 3);
  EXPECT_FALSE(group.propose(3, "nobody takes it"));
  ASSERT_TRUE(group[3].reset_configuration({NodeId(3)}, {}).ok());
  group.settle();
  ASSERT_TRUE(group[3].is_leader());
  EXPECT_EQ(group.config_of(3), "voters=(3)");
  EXPECT_TRUE(group.propose(3, "goes on"));
  EXPECT_EQ(group.node(3).applied, (std::vector<std::string>{"kept", "goes on"}));
}

TEST(Reset, RefusesWhatWouldNotHelp) {
  TestGroup group(3, careful());
  group.elect(1);
  EXPECT_EQ(group[1].reset_configuration({NodeId(1)}, {}).code(), Errc::kPreconditionFailed);
  EXPECT_EQ(group[2].reset_configuration({NodeId(2)}, {}).code(), Errc::kPreconditionFailed);
  group.isolate(3);
  forget_leader(group, 3);
  const Term term = group[3].term();
  const auto refuses = [&](std::vector<NodeId> voters, std::vector<NodeId> learners) {
    return group[3].reset_configuration(voters, learners).code() == Errc::kInvalidArgument;
  };
  EXPECT_TRUE(refuses({}, {}));
  EXPECT_TRUE(refuses({NodeId(2)}, {NodeId(3)}));
  EXPECT_TRUE(refuses({NodeId(3), NodeId(3)}, {}));
  EXPECT_TRUE(refuses({NodeId(3)}, {NodeId(3)}));
  EXPECT_TRUE(refuses({NodeId(3), NodeId()}, {}));
  EXPECT_EQ(group[3].term(), term);
  EXPECT_EQ(group.config_of(3), "voters=(1 2 3)");
}

TEST(Reset, MembersThatAreLeftOutCannotComeBackAndLearnNothing) {
  for (const bool cautious : {true, false}) {
    TestGroup group(5, cautious ? careful() : Config());
    group.elect(1);
    for (uint64_t id : {4, 5}) group.isolate(id);
    group.propose(1, "unseen by 4 and 5");
    // 1, 2 and 3 run on behind the operator's back.
    for (uint64_t id : {4, 5}) group[id].forget_leader();
    ASSERT_TRUE(group[4].reset_configuration({NodeId(4), NodeId(5)}, {}).ok());
    while (group[4].has_ready()) group.handle_ready(group.node(4));
    group.in_flight().clear();
    group.heal();
    for (uint64_t id : {1, 2, 3}) group.isolate(id);
    group.tick(4, 100);
    group.tick(5, 5);
    ASSERT_TRUE(group[4].is_leader()) << cautious;
    ASSERT_TRUE(group.propose(4, "new"));
    ASSERT_EQ(group.node(5).applied, (std::vector<std::string>{"new"}));

    group.heal();
    for (int round = 0; round < 300; ++round) {
      for (uint64_t id : {1, 2, 3, 4, 5}) group[id].tick();
      if (round % 50 == 0) group[1 + static_cast<uint64_t>(round / 50) % 3].campaign();
      group.settle();
    }
    for (uint64_t id : {1, 2, 3}) EXPECT_LT(group[id].term(), Term(kTermsPerGeneration));
    for (uint64_t id : {4, 5}) {
      EXPECT_GE(group[id].term(), Term(kTermsPerGeneration));
      EXPECT_EQ(group.node(id).applied, (std::vector<std::string>{"new"}));
      EXPECT_EQ(group.config_of(id), "voters=(4 5)");
    }
    EXPECT_TRUE(group.propose(4, "newer"));
    EXPECT_EQ(group.node(5).applied.size(), 2U);
  }
}

TEST(Reset, OutlivesARestartFromTheMomentItIsWritten) {
  TestGroup group(5, careful());
  group.elect(1);
  group.propose(1, "a");
  for (uint64_t id : {1, 2, 3, 4, 5}) group.isolate(id);
  forget_leader(group, 4);
  ASSERT_TRUE(group[4].reset_configuration({NodeId(4), NodeId(5)}, {NodeId(6)}).ok());
  group.settle();  // written, and not committed: 5 does not hear
  ASSERT_FALSE(group[4].is_leader());
  group.start(NodeId(4));
  EXPECT_EQ(group.config_of(4), "voters=(4 5) learners=(6)");
  forget_leader(group, 5);
  group.heal();
  for (uint64_t id : {1, 2, 3}) group.isolate(id);
  group.tick(4, 60);
  ASSERT_TRUE(group[4].is_leader());
  EXPECT_EQ(group.config_of(5), "voters=(4 5) learners=(6)");
}

// The one mistake that the operator must not make: both survivors are told to go on.
TEST(Reset, OfTwoSurvivorsOneFindsItsOwnReplacedAndStops) {
  TestGroup group(5, careful());
  group.elect(1);
  for (uint64_t id : {1, 2, 3, 4, 5}) group.isolate(id);
  for (uint64_t id : {4, 5}) forget_leader(group, id);
  ASSERT_TRUE(group[4].reset_configuration({NodeId(4), NodeId(5)}, {}).ok());
  ASSERT_TRUE(group[5].reset_configuration({NodeId(5), NodeId(3)}, {}).ok());
  group.settle();
  const EntryId before{.term = Term(1), .index = LogIndex(1)};
  ASSERT_TRUE(group[4].log().matches(before));
  // Another leader of the same generation, whose log has no reset of 4's.
  Message append{.type = MessageType::kAppend,
                 .to = NodeId(4),
                 .from = NodeId(5),
                 .term = Term(kTermsPerGeneration + 9)};
  append.index = group[4].committed();
  append.log_term = *group[4].log().term(append.index);
  append.entries = Entries::of({.term = Term(kTermsPerGeneration + 9),
                                .index = append.index + 1,
                                .head = {},
                                .payload = {}});
  EXPECT_EQ(group[4].step(append).code(), Errc::kCorrupt);
}

TEST(Reset, IsAChangeLikeAnyOtherForAMemberThatOnlyReceivedIt) {
  TestGroup group(5, careful());
  group.elect(1);
  for (uint64_t id : {1, 2, 3, 4, 5}) group.isolate(id);
  forget_leader(group, 4);
  forget_leader(group, 5);
  ASSERT_TRUE(group[4].reset_configuration({NodeId(4), NodeId(5)}, {}).ok());
  group.heal();
  for (uint64_t id : {1, 2, 3}) group.isolate(id);
  bool has_it = false;
  for (int round = 0; round < 200 && !has_it; ++round) {
    for (uint64_t id : {4, 5}) {
      group[id].tick();
      while (group[id].has_ready()) group.handle_ready(group.node(id));
    }
    for (Message& message : std::exchange(group.in_flight(), {})) {
      const uint64_t to = message.to.value();
      if (to != 4 && to != 5) continue;
      (void)group[to].step(std::move(message));
      has_it = has_it || group[5].last_index() == group[4].last_index();
    }
  }
  ASSERT_TRUE(has_it);
  while (group[5].has_ready()) group.handle_ready(group.node(5));
  group.start(NodeId(5));
  EXPECT_EQ(group.config_of(5), "voters=(1 2 3 4 5)");
}

TEST(Reset, OverridesChangesThatItFoundInTheLog) {
  TestGroup group(5, careful());
  group.elect(1);
  // 4 has the change in its log, not committed.
  for (uint64_t id : {2, 3, 5}) group.isolate(id);
  ConfChangeV2 leave;
  leave.changes = parse_conf_changes("r4").value();
  ASSERT_TRUE(group[1].propose_conf_change(leave).ok());
  group.settle();
  const LogIndex changed_at = group[4].last_index();
  ASSERT_GT(changed_at, group[4].committed());
  group.isolate(1);
  group.isolate(4);
  forget_leader(group, 4);
  ASSERT_TRUE(group[4].reset_configuration({NodeId(4)}, {}).ok());
  group.settle();
  ASSERT_TRUE(group[4].is_leader());
  EXPECT_GT(group[4].applied(), changed_at);  // committed with the rest of the log
  EXPECT_EQ(group.config_of(4), "voters=(4)");
  for (const ConfState& state : group.node(4).configurations) {
    EXPECT_EQ(state.voters, std::vector<NodeId>{NodeId(4)});
  }
}

TEST(Reset, ThatCannotCommitIsDoneAgainDifferently) {
  TestGroup group(5, careful());
  group.elect(1);
  for (uint64_t id : {1, 2, 3, 4, 5}) group.isolate(id);
  forget_leader(group, 4);
  ASSERT_TRUE(group[4].reset_configuration({NodeId(4), NodeId(5)}, {}).ok());
  group.settle();
  ASSERT_FALSE(group[4].is_leader());  // 5 is gone too, it turns out
  ASSERT_TRUE(group[4].reset_configuration({NodeId(4)}, {}).ok());
  group.settle();
  ASSERT_TRUE(group[4].is_leader());
  EXPECT_EQ(group.config_of(4), "voters=(4)");
  EXPECT_GE(group[4].term(), Term(2 * kTermsPerGeneration));
  EXPECT_EQ(group[4].committed(), group[4].last_index());
}

// Whoever has committed what the survivor never had must stop, not answer as if it agreed.
TEST(Reset, AMemberThatCommittedMoreThanTheSurvivorIsToldSo) {
  TestGroup group(5, careful());
  group.elect(1);
  group.isolate(4);
  group.propose(1, "4 lacks it");
  ASSERT_EQ(group.node(5).applied.size(), 1U);
  for (uint64_t id : {1, 2, 3}) group.isolate(id);
  forget_leader(group, 4);
  group.isolate(5);
  forget_leader(group, 5);
  ASSERT_TRUE(group[4].reset_configuration({NodeId(4), NodeId(5)}, {}).ok());
  bool was_told = false;
  for (int round = 0; round < 20; ++round) {
    for (uint64_t id : {4, 5}) {
      while (group[id].has_ready()) group.handle_ready(group.node(id));
    }
    for (Message& message : std::exchange(group.in_flight(), {})) {
      const uint64_t to = message.to.value();
      if (to != 4 && to != 5) continue;
      was_told = group[to].step(std::move(message)).code() == Errc::kCorrupt || was_told;
    }
  }
  EXPECT_TRUE(was_told);
  EXPECT_EQ(group.node(5).applied, (std::vector<std::string>{"4 lacks it"}));
}

TEST(ConfChangeCodec, AResetSurvivesTheLog) {
  ConfChangeV2 reset;
  reset.transition = ConfChangeTransition::kReset;
  reset.changes = parse_conf_changes("v1 l2").value();
  const auto decoded = decode_conf_change(encode(reset).view());
  ASSERT_TRUE(decoded.ok());
  EXPECT_TRUE(decoded->equals(reset));
  EXPECT_FALSE(decoded->enters_joint());
  EXPECT_FALSE(decoded->leaves_joint());
}

}  // namespace
}  // namespace cairn::raft
