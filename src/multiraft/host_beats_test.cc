#include "multiraft/host_beats.h"

#include <gtest/gtest.h>

namespace cairn::multiraft {
namespace {

constexpr Duration kElection = 800ms;
constexpr Duration kMargin = 100ms;
const NodeId kLeader{1};
const NodeId kFollower{2};
const Instant kStart{100s};

HostBeats beats(uint64_t life = 7) {
  return HostBeats(kElection, kMargin, life);
}
using News = HostBeats::News;

TEST(HostBeats, ABondNeedsARecentBeatUnderTheSameVouch) {
  HostBeats leader = beats(1), follower = beats(2);
  EXPECT_FALSE(follower.may_bind(kLeader, leader.vouch(), kStart)) << "no beat was heard";
  EXPECT_EQ(follower.on_beat(kLeader, leader.vouch(), kStart), News::kNone);
  EXPECT_TRUE(follower.may_bind(kLeader, leader.vouch(), kStart + kElection - 1ns));
  EXPECT_FALSE(follower.may_bind(kLeader, leader.vouch(), kStart + kElection)) << "too long ago";
  const uint64_t old_vouch = leader.vouch();
  leader.disown();
  EXPECT_FALSE(follower.may_bind(kLeader, leader.vouch(), kStart))
      << "a heartbeat that overtook its beat";
  EXPECT_EQ(follower.on_beat(kLeader, leader.vouch(), kStart), News::kDisowned);
  EXPECT_FALSE(follower.may_bind(kLeader, old_vouch, kStart))
      << "a heartbeat from before the leader gave a group up";
  EXPECT_TRUE(follower.may_bind(kLeader, leader.vouch(), kStart));
}

TEST(HostBeats, ALeaderThatLeadsLessOrStartedAnewEndsTheEpoch) {
  HostBeats first_life = beats(1), second_life = beats(3), follower = beats(2);
  follower.on_beat(kLeader, first_life.vouch(), kStart);
  const uint64_t epoch = follower.epoch_for(kLeader);
  EXPECT_EQ(follower.on_beat(kLeader, first_life.vouch(), kStart + 1s), News::kNone);
  EXPECT_EQ(follower.epoch_for(kLeader), epoch) << "beats alone change nothing";
  first_life.disown();
  EXPECT_EQ(follower.on_beat(kLeader, first_life.vouch(), kStart + 2s), News::kDisowned);
  const uint64_t second = follower.epoch_for(kLeader);
  EXPECT_NE(second, epoch);
  EXPECT_EQ(follower.on_beat(kLeader, second_life.vouch(), kStart + 3s), News::kRestarted);
  EXPECT_NE(follower.epoch_for(kLeader), second);
  EXPECT_EQ(follower.heard_at(kLeader), kStart + 2s)
      << "the dead leader was last heard in its own life";
}

TEST(HostBeats, SilenceIsToldOnceAndEndsTheEpoch) {
  HostBeats leader = beats(1), follower = beats(2);
  follower.on_beat(kLeader, leader.vouch(), kStart);
  const uint64_t epoch = follower.epoch_for(kLeader);
  EXPECT_TRUE(follower.take_silent_leaders(kStart + kElection).empty()) << "the margin is not over";
  EXPECT_EQ(follower.take_silent_leaders(kStart + kElection + kMargin), std::vector{kLeader});
  EXPECT_NE(follower.epoch_for(kLeader), epoch);
  EXPECT_TRUE(follower.take_silent_leaders(kStart + 10s).empty());
  EXPECT_FALSE(follower.may_bind(kLeader, leader.vouch(), kStart));
  EXPECT_EQ(follower.on_beat(kLeader, leader.vouch(), kStart + 11s), News::kNone);
  EXPECT_TRUE(follower.may_bind(kLeader, leader.vouch(), kStart + 11s));
}

TEST(HostBeats, WhatAnEarlierEpochProvedDoesNotCountInTheNext) {
  HostBeats leader = beats(1), follower = beats(2);
  follower.on_beat(kLeader, leader.vouch(), kStart);
  leader.add_follower(kFollower);
  EXPECT_EQ(leader.epoch_of(kFollower), 0u);
  EXPECT_TRUE(leader.on_answer(kFollower, follower.epoch_for(kLeader), kStart, kStart));
  EXPECT_FALSE(leader.on_answer(kFollower, follower.epoch_for(kLeader), kStart + 5s, kStart + 5s));
  EXPECT_FALSE(leader.on_answer(kFollower, follower.epoch_for(kLeader), kStart + 1s, kStart + 5s));
  EXPECT_EQ(leader.answered_stamp(kFollower), kStart + 5s) << "an answer that came late";
  follower.withdraw(kLeader);
  EXPECT_TRUE(leader.on_answer(kFollower, follower.epoch_for(kLeader), kStart + 4s, kStart + 6s))
      << "a new epoch is news";
  EXPECT_EQ(leader.answered_stamp(kFollower), kStart + 4s);
  EXPECT_EQ(leader.epoch_of(kFollower), follower.epoch_for(kLeader));
}

TEST(HostBeats, AFollowerIsNoLongerCountedOnWhenItStopsAnswering) {
  HostBeats leader = beats(1);
  leader.add_follower(kFollower);
  EXPECT_FALSE(leader.answers(kFollower));
  leader.on_answer(kFollower, 9, kStart, kStart);
  EXPECT_TRUE(leader.take_silent_followers(kStart + kElection - 1ns).empty());
  EXPECT_TRUE(leader.answers(kFollower));
  EXPECT_EQ(leader.take_silent_followers(kStart + kElection), std::vector{kFollower});
  EXPECT_FALSE(leader.answers(kFollower));
  EXPECT_TRUE(leader.take_silent_followers(kStart + 9s).empty()) << "told once";
  EXPECT_TRUE(leader.on_answer(kFollower, 9, kStart + 9s, kStart + 9s)) << "it is back";
}

TEST(HostBeats, AnswersOfWhomNobodyAskedAreNotTaken) {
  HostBeats leader = beats(1);
  EXPECT_FALSE(leader.on_answer(kFollower, 9, kStart, kStart));
  leader.add_follower(kFollower);
  EXPECT_FALSE(leader.on_answer(kFollower, 0, kStart, kStart));
  EXPECT_FALSE(leader.answers(kFollower));
}

}  // namespace
}  // namespace cairn::multiraft
