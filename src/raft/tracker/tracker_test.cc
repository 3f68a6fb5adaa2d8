#include "raft/tracker/tracker.h"

#include <gtest/gtest.h>

#include <deque>

#include "base/rng.h"

namespace cairn::raft {
namespace {

TEST(Inflights, BehavesLikeAQueueUnderRandomUse) {
  Rng rng(7);
  for (int round = 0; round < 200; ++round) {
    const size_t messages_max = rng.between(1, 40);
    const uint64_t bytes_max = rng.chance(0.5) ? 0 : rng.between(1, 500);
    Inflights inflights(messages_max, bytes_max);
    std::deque<std::pair<LogIndex, uint64_t>> model;
    uint64_t model_bytes = 0;
    LogIndex last(rng.below(100));
    for (int step = 0; step < 300; ++step) {
      const bool full =
          model.size() == messages_max || (bytes_max != 0 && model_bytes >= bytes_max);
      ASSERT_EQ(inflights.full(), full);
      if (!full && rng.chance(0.6)) {
        last += rng.between(1, 5);
        const uint64_t bytes = rng.below(100);
        inflights.add(last, bytes);
        model.emplace_back(last, bytes);
        model_bytes += bytes;
      } else if (rng.chance(0.05)) {
        inflights.reset();
        model.clear();
        model_bytes = 0;
      } else {
        const LogIndex to = last - rng.below(std::min<uint64_t>(last.value() + 1, 12));
        inflights.free_up_to(to);
        while (!model.empty() && model.front().first <= to) {
          model_bytes -= model.front().second;
          model.pop_front();
        }
      }
      ASSERT_EQ(inflights.count(), model.size());
      ASSERT_EQ(inflights.bytes(), model_bytes);
    }
  }
}

TEST(Inflights, OneMessageBeyondTheByteLimitIsLetIn) {
  Inflights inflights(10, 100);
  inflights.add(LogIndex(1), 99);
  EXPECT_FALSE(inflights.full());
  inflights.add(LogIndex(2), 1000);
  EXPECT_TRUE(inflights.full());
  inflights.free_up_to(LogIndex(1));
  EXPECT_TRUE(inflights.full());
  inflights.free_up_to(LogIndex(2));
  EXPECT_FALSE(inflights.full());
}

Progress progress_at(uint64_t match, uint64_t next) {
  Progress progress;
  progress.match = progress.counted = LogIndex(match);
  progress.next = LogIndex(next);
  progress.inflights = Inflights(3, 0);
  return progress;
}

TEST(Progress, AProbePausesAfterOneAppendAndGoesOnWhenAnswered) {
  Progress progress = progress_at(5, 9);
  progress.sent_entries(0, 0);
  EXPECT_FALSE(progress.is_paused());
  progress.sent_entries(2, 20);
  EXPECT_TRUE(progress.is_paused());
  EXPECT_EQ(progress.next, LogIndex(9));  // a probe does not run ahead
  EXPECT_TRUE(progress.maybe_update(LogIndex(8)));
  EXPECT_FALSE(progress.is_paused());
  EXPECT_FALSE(progress.maybe_update(LogIndex(8)));
}

TEST(Progress, APipelineRunsAheadUntilItsWindowIsFull) {
  Progress progress = progress_at(5, 9);
  progress.become_replicate();
  EXPECT_EQ(progress.next, LogIndex(6));
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(progress.is_paused());
    progress.sent_entries(1, 10);
  }
  EXPECT_TRUE(progress.is_paused());
  EXPECT_EQ(progress.next, LogIndex(9));
  EXPECT_EQ(to_string(progress), "StateReplicate match=5 next=9 paused inactive inflight=3[full]");
}

TEST(Progress, StaleRefusalsDoNotMoveItBack) {
  Progress replicating = progress_at(5, 6);
  replicating.become_replicate();
  replicating.sent_entries(3, 0);
  EXPECT_FALSE(replicating.maybe_decrease_to(LogIndex(5), LogIndex(2)));
  EXPECT_EQ(replicating.next, LogIndex(9));
  EXPECT_TRUE(replicating.maybe_decrease_to(LogIndex(7), LogIndex(2)));
  EXPECT_EQ(replicating.next, LogIndex(6));

  Progress probing = progress_at(0, 9);
  EXPECT_FALSE(probing.maybe_decrease_to(LogIndex(7), LogIndex(2)));
  EXPECT_TRUE(probing.maybe_decrease_to(LogIndex(8), LogIndex(2)));
  EXPECT_EQ(probing.next, LogIndex(3));
  // Never below what was acknowledged, whatever the hint says.
  probing.match = LogIndex(2);
  EXPECT_FALSE(probing.maybe_decrease_to(LogIndex(2), LogIndex(0)));
  EXPECT_EQ(probing.next, LogIndex(3));
}

// (Raft profile of the simulator, seed 460: a leader and a replica that began anew under its old
// name wrote to each other as fast as the wires let them.)
TEST(Progress, ARefusalOfWhatWasAcknowledgedIsNotAnsweredAtOnce) {
  Progress probing;
  probing.match = LogIndex(5);
  probing.next = LogIndex(6);
  probing.paused = true;
  EXPECT_FALSE(probing.maybe_decrease_to(LogIndex(5), LogIndex(0)));
  EXPECT_EQ(probing.next, LogIndex(6));
  EXPECT_TRUE(probing.is_paused()) << "a heartbeat's answer lets the next probe pass";
}

TEST(Progress, AfterASnapshotProbingStartsBehindIt) {
  Progress progress = progress_at(3, 4);
  progress.become_snapshot(LogIndex(20));
  EXPECT_TRUE(progress.is_paused());
  EXPECT_EQ(progress.next, LogIndex(21));
  progress.become_probe();
  EXPECT_EQ(progress.next, LogIndex(21));

  progress.become_snapshot(LogIndex(20));
  progress.pending_snapshot = LogIndex(0);  // it failed
  progress.become_probe();
  EXPECT_EQ(progress.next, LogIndex(4));
}

TEST(Progress, TheCommitIndexIsSentOnceForWhatTheFollowerHas) {
  Progress progress = progress_at(5, 6);
  progress.become_replicate();
  progress.sent_entries(4, 0);
  progress.sent_commit = LogIndex(7);
  EXPECT_TRUE(progress.can_bump_commit(LogIndex(8)));
  progress.sent_commit = LogIndex(9);  // all that was sent
  EXPECT_FALSE(progress.can_bump_commit(LogIndex(12)));
}

ProgressTracker tracker_of(std::initializer_list<uint64_t> voters, uint64_t learner) {
  ProgressTracker tracker(10, 0);
  for (uint64_t id : voters) {
    tracker.config.voters.incoming.insert(NodeId(id));
    tracker.progress.insert_or_assign(NodeId(id), progress_at(0, 1));
  }
  Progress progress = progress_at(0, 1);
  progress.is_learner = true;
  tracker.config.learners.insert(NodeId(learner));
  tracker.progress.insert_or_assign(NodeId(learner), progress);
  return tracker;
}

TEST(Tracker, LearnersNeitherVoteNorCommitNorKeepALeader) {
  ProgressTracker tracker = tracker_of({1, 2, 3}, 4);
  for (uint64_t id : {1, 4}) {
    tracker.progress.find(NodeId(id))->recent_active = true;
    tracker.progress.find(NodeId(id))->match = LogIndex(9);
    tracker.progress.find(NodeId(id))->counted = LogIndex(9);
    tracker.record_vote(NodeId(id), true);
  }
  EXPECT_FALSE(tracker.quorum_active());
  EXPECT_EQ(tracker.committed(), LogIndex(0));
  EXPECT_EQ(tracker.tally_votes().result, VoteResult::kPending);
  EXPECT_EQ(tracker.tally_votes().granted_count, 1U);

  tracker.progress.find(NodeId(2))->recent_active = true;
  tracker.progress.find(NodeId(2))->match = LogIndex(8);
  tracker.progress.find(NodeId(2))->counted = LogIndex(7);  // partial beyond
  tracker.record_vote(NodeId(2), true);
  EXPECT_TRUE(tracker.quorum_active());
  EXPECT_EQ(tracker.committed(), LogIndex(7));
  EXPECT_EQ(tracker.tally_votes().result, VoteResult::kWon);
}

TEST(Tracker, TheFirstAnswerOfAVoterCounts) {
  ProgressTracker tracker = tracker_of({1, 2, 3}, 4);
  tracker.record_vote(NodeId(2), false);
  tracker.record_vote(NodeId(2), true);
  EXPECT_EQ(tracker.tally_votes().rejected_count, 1U);
  EXPECT_EQ(tracker.tally_votes().granted_count, 0U);
  tracker.reset_votes();
  EXPECT_EQ(tracker.tally_votes().rejected_count, 0U);
}

}  // namespace
}  // namespace cairn::raft
