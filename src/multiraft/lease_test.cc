#include "multiraft/lease.h"

#include <gtest/gtest.h>

namespace cairn::multiraft {
namespace {

const NodeId kSelf{1}, kB{2}, kC{3};
const std::vector<NodeId> kVoters{kSelf, kB, kC};
Instant at(Duration d) {
  return Instant() + 100s + d;
}

TEST(LeaderLease, LastsFromTheSendingTimeOfTheHeartbeatThatAQuorumAnswered) {
  LeaderLease lease(kSelf, {.election_timeout = 1s, .usable_fraction = 0.75});
  EXPECT_FALSE(lease.valid_at(at(0s), kVoters, {})) << "nobody has answered yet";
  lease.on_answer(kB, at(0s));
  EXPECT_TRUE(lease.valid_at(at(749ms), kVoters, {}));
  EXPECT_FALSE(lease.valid_at(at(750ms), kVoters, {}));
  lease.on_answer(kC, at(300ms));
  EXPECT_TRUE(lease.valid_at(at(1049ms), kVoters, {}));
}

TEST(LeaderLease, AnOldAnswerDoesNotShortenIt) {
  LeaderLease lease(kSelf, {.election_timeout = 1s, .usable_fraction = 0.75});
  lease.on_answer(kB, at(500ms));
  lease.on_answer(kB, at(100ms));
  EXPECT_TRUE(lease.valid_at(at(1200ms), kVoters, {}));
}

TEST(LeaderLease, NeedsBothHalvesOfAJointConfiguration) {
  LeaderLease lease(kSelf, {.election_timeout = 1s, .usable_fraction = 0.75});
  const std::vector<NodeId> outgoing{NodeId(7), NodeId(8), kSelf};
  lease.on_answer(kB, at(0s));
  EXPECT_FALSE(lease.valid_at(at(1ms), kVoters, outgoing));
  lease.on_answer(NodeId(8), at(0s));
  EXPECT_TRUE(lease.valid_at(at(1ms), kVoters, outgoing));
}

TEST(LeaderLease, IsGoneForTheTermOnceATransferBegan) {
  LeaderLease lease(kSelf, {.election_timeout = 1s, .usable_fraction = 0.75});
  lease.on_answer(kB, at(0s));
  lease.revoke();
  EXPECT_FALSE(lease.valid_at(at(1ms), kVoters, {}));
  lease.reset();
  EXPECT_FALSE(lease.valid_at(at(2ms), kVoters, {}));
  lease.on_answer(kC, at(2ms));
  EXPECT_TRUE(lease.valid_at(at(3ms), kVoters, {}));
}

TEST(LeaderLease, OfASingleVoterIsAlwaysValid) {
  LeaderLease lease(kSelf, {});
  EXPECT_TRUE(lease.valid_at(at(0s), {kSelf}, {}));
}

TEST(VoteGuard, RefusesVotesAfterAStartAndAfterEachWordOfALeader) {
  VoteGuard guard(1s, at(0s));
  EXPECT_FALSE(guard.may_vote(at(999ms)));
  EXPECT_TRUE(guard.may_vote(at(1s)));
  guard.on_leader_contact(at(5s));
  EXPECT_FALSE(guard.may_vote(at(5999ms)));
  EXPECT_TRUE(guard.may_vote(at(6s)));
}

TEST(LeaderLease, EndsBeforeAnyFollowerMayVoteAgain) {
  // The property that reads rest on: whenever the lease is valid, a majority still refuses to vote.
  const LeaseOptions options{.election_timeout = 1s, .usable_fraction = 0.75};
  for (int delay_ms = 0; delay_ms < 2000; delay_ms += 10) {
    LeaderLease lease(kSelf, options);
    const Instant sent = at(0s);
    const Instant received = sent + std::chrono::milliseconds(delay_ms);
    VoteGuard guard(options.election_timeout, at(-10s));
    guard.on_leader_contact(received);
    lease.on_answer(kB, sent);
    for (int t = 0; t < 3000; t += 50) {
      const Instant now = received + std::chrono::milliseconds(t);
      if (lease.valid_at(now, kVoters, {})) {
        EXPECT_FALSE(guard.may_vote(now));
      }
    }
  }
}

}  // namespace
}  // namespace cairn::multiraft
