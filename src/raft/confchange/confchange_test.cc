#include <gtest/gtest.h>

#include "base/rng.h"
#include "raft/confchange/changer.h"

namespace cairn::raft {
namespace {

std::vector<ConfChangeSingle> changes(std::string_view text) {
  auto parsed = parse_conf_changes(text);
  EXPECT_TRUE(parsed.ok()) << text;
  return parsed ? *parsed : std::vector<ConfChangeSingle>();
}

ProgressTracker tracker_with(std::string_view members) {
  ProgressTracker tracker(10, 0);
  for (const ConfChangeSingle& single : changes(members)) {
    auto outcome = Changer(tracker, LogIndex(10)).simple({&single, 1});
    EXPECT_TRUE(outcome.ok());
    tracker.config = outcome->config;
    tracker.progress = outcome->progress;
  }
  return tracker;
}

std::vector<ConfChangeSingle> random_changes(Rng& rng, size_t count_max) {
  constexpr ConfChangeType kTypes[] = {ConfChangeType::kAddVoter, ConfChangeType::kRemove,
                                       ConfChangeType::kUpdate, ConfChangeType::kAddLearner};
  std::vector<ConfChangeSingle> result(rng.between(1, count_max));
  for (ConfChangeSingle& single : result) {
    single = {.type = kTypes[rng.below(4)], .node = NodeId(rng.between(1, 8))};
  }
  return result;
}

TEST(ConfChangeCodec, ChangesSurviveTheLog) {
  Rng rng(3);
  for (int round = 0; round < 500; ++round) {
    ConfChangeV2 change(static_cast<ConfChangeTransition>(rng.below(3)), random_changes(rng, 9));
    if (rng.chance(0.5)) change.context = Buffer::copy_of("context");
    const Buffer bytes = encode(change);
    const auto back = decode_conf_change(bytes.view());
    ASSERT_TRUE(back.ok());
    EXPECT_EQ(back->transition, change.transition);
    EXPECT_EQ(back->changes, change.changes);
    EXPECT_EQ(as_text(back->context.view()), as_text(change.context.view()));
  }
}

TEST(ConfChangeCodec, LeavingWeighsNothing) {
  EXPECT_TRUE(encode(ConfChangeV2()).empty());
  const auto back = decode_conf_change({});
  ASSERT_TRUE(back.ok());
  EXPECT_TRUE(back->leaves_joint());
}

TEST(ConfChangeCodec, DamagedBytesAreRefused) {
  const Buffer whole = encode(ConfChangeV2(ConfChangeTransition::kAuto, changes("v1 v2")));
  for (size_t size = 1; size < whole.size_bytes(); ++size) {
    EXPECT_EQ(decode_conf_change(whole.view().first(size)).code(), Errc::kCorrupt) << size;
  }
  for (size_t position : {0, 1, 4}) {  // version, transition, type
    Buffer bad = Buffer::copy_of(whole.view());
    bad.mutable_view()[position] = std::byte{0x7f};
    EXPECT_EQ(decode_conf_change(bad.view()).code(), Errc::kCorrupt) << position;
  }
}

TEST(ConfChangeText, UnknownTokensAreRefused) {
  for (const char* text : {"v", "x1", "v1 l", "vx", "v1x", "v-1"}) {
    EXPECT_EQ(parse_conf_changes(text).code(), Errc::kInvalidArgument) << text;
  }
  EXPECT_EQ(to_string(changes("  v1  l2\nr3 u4 ")), "v1 l2 r3 u4");
}

TEST(Changer, ADemotedVoterKeepsItsProgressAndVotesUntilTheJointConfigIsLeft) {
  ProgressTracker tracker = tracker_with("v1 v2 v3");
  tracker.progress.find(NodeId(3))->match = LogIndex(7);
  tracker.progress.find(NodeId(3))->next = LogIndex(8);
  auto joint = Changer(tracker, LogIndex(20)).enter_joint(false, changes("l3 v4"));
  ASSERT_TRUE(joint.ok());
  EXPECT_EQ(to_string(joint->config), "voters=(1 2 4)&&(1 2 3) learners_next=(3)");
  EXPECT_FALSE(joint->progress.find(NodeId(3))->is_learner);
  tracker.config = joint->config;
  tracker.progress = joint->progress;
  auto final = Changer(tracker, LogIndex(21)).leave_joint();
  ASSERT_TRUE(final.ok());
  EXPECT_EQ(to_string(final->config), "voters=(1 2 4) learners=(3)");
  EXPECT_TRUE(final->progress.find(NodeId(3))->is_learner);
  EXPECT_EQ(final->progress.find(NodeId(3))->match, LogIndex(7));
}

TEST(Changer, ARefusedChangeLeavesTheTrackerAlone) {
  const ProgressTracker tracker = tracker_with("v1 v2 v3");
  const TrackerConfig before = tracker.config;
  const Changer changer(tracker, LogIndex(20));
  EXPECT_FALSE(changer.simple(changes("v4 v5")).ok());
  EXPECT_FALSE(changer.simple(changes("r1 r2 r3")).ok());
  EXPECT_FALSE(changer.leave_joint().ok());
  EXPECT_FALSE(changer.enter_joint(true, changes("r1 r2 r3")).ok());
  EXPECT_EQ(tracker.config, before);
  EXPECT_EQ(tracker.progress.count(), 3U);
}

// However a change is made, the result is the same; and every configuration can be stored.
TEST(Changer, RandomChangesKeepTheInvariantsAndSurviveTheSnapshot) {
  Rng rng(11);
  size_t joint_count = 0;
  for (int round = 0; round < 3'000; ++round) {
    ProgressTracker tracker = tracker_with("v1");
    for (int step = 0; step < 12; ++step) {
      const Changer changer(tracker, LogIndex(step + 2));
      const auto wanted = random_changes(rng, 4);
      const bool joint = tracker.config.voters.is_joint();
      auto outcome = joint             ? changer.leave_joint()
                     : rng.chance(0.5) ? changer.enter_joint(rng.chance(0.5), wanted)
                                       : changer.simple(wanted);
      if (!outcome) {
        ASSERT_EQ(outcome.code(), Errc::kPreconditionFailed) << outcome.error().message();
        continue;
      }
      ASSERT_TRUE(check_configuration(outcome->config, outcome->progress).ok());
      const ConfState stored = conf_state_of(outcome->config);
      auto restored = restore_configuration(ProgressTracker(10, 0), LogIndex(99), stored);
      ASSERT_TRUE(restored.ok()) << to_string(outcome->config);
      ASSERT_EQ(restored->config, outcome->config);
      ASSERT_TRUE(equivalent(conf_state_of(restored->config), stored));
      joint_count += outcome->config.voters.is_joint() ? 1 : 0;
      tracker.config = outcome->config;
      tracker.progress = outcome->progress;
    }
  }
  EXPECT_GT(joint_count, 1'000U);  // else the test is not about what it says
}

// A joint change that is left at once ends where the same changes end one by one.
TEST(Changer, JointChangesAmountToTheSimpleOnes) {
  Rng rng(12);
  size_t compared_count = 0;
  for (int round = 0; round < 5'000; ++round) {
    ProgressTracker by_joint = tracker_with("v1 v2 v3 l4");
    ProgressTracker by_simple = by_joint;
    const auto wanted = random_changes(rng, 5);
    bool possible = true;
    for (const ConfChangeSingle& single : wanted) {
      auto outcome = Changer(by_simple, LogIndex(10)).simple({&single, 1});
      possible = possible && outcome.ok();
      if (!possible) break;
      by_simple.config = outcome->config;
      by_simple.progress = outcome->progress;
    }
    if (!possible) continue;  // one by one the last voter may go that a later change would replace
    auto joint = Changer(by_joint, LogIndex(10)).enter_joint(false, wanted);
    ASSERT_TRUE(joint.ok());
    by_joint.config = joint->config;
    by_joint.progress = joint->progress;
    auto left = Changer(by_joint, LogIndex(10)).leave_joint();
    ASSERT_TRUE(left.ok());
    ASSERT_EQ(left->config, by_simple.config) << to_string(wanted);
    ASSERT_EQ(left->progress.count(), by_simple.progress.count());
    ++compared_count;
  }
  EXPECT_GT(compared_count, 3'000U);
}

TEST(RestoreConfiguration, IllegalStatesAreRefused) {
  const std::vector<NodeId> one{NodeId(1)};
  EXPECT_FALSE(restore_configuration(ProgressTracker(1, 0), LogIndex(1), {.learners = one}).ok());
  EXPECT_TRUE(restore_configuration(ProgressTracker(1, 0), LogIndex(1), {}).ok());
}

}  // namespace
}  // namespace cairn::raft
