#include "mds/session_plan.h"

#include <gtest/gtest.h>

namespace cairn::mds {
namespace {

const Instant kStart{1000s};

class SessionPlanTest : public ::testing::Test {
 protected:
  void hold(uint64_t id, wire::SessionMode mode, Instant renewed_at,
            const std::string& client = "other") {
    Session session;
    session.record.set_id(id);
    session.record.set_mode(mode);
    session.record.set_client(client);
    session.renewed_at = renewed_at;
    sessions_[SessionId(id)] = session;
  }
  OpenPlan open(wire::SessionMode mode, bool force = false, bool replaces_own = false) {
    wire::OpenSessionRequest request;
    request.set_mode(mode);
    request.set_force(force);
    request.set_replaces_own(replaces_own);
    request.set_client("me");
    return plan_open(sessions_, request, kStart, now_, options_);
  }

  Options options_;
  Instant now_ = kStart + 100s;
  Sessions sessions_;
};

TEST_F(SessionPlanTest, AnExclusiveOpenAlwaysRaisesTheFenceAndOthersNeedNot) {
  EXPECT_TRUE(open(wire::SESSION_EXCLUSIVE).raises_fence);
  EXPECT_FALSE(open(wire::SESSION_READ_ONLY).raises_fence);
  EXPECT_FALSE(open(wire::SESSION_SHARED).raises_fence);
}

TEST_F(SessionPlanTest, WhoHasTheVolumeAloneExcludesEveryModeWhileItsLeaseRuns) {
  hold(1, wire::SESSION_EXCLUSIVE, now_ - options_.session_lease + 1ms);
  for (auto mode : {wire::SESSION_EXCLUSIVE, wire::SESSION_READ_ONLY, wire::SESSION_SHARED}) {
    const OpenPlan refused = open(mode);
    ASSERT_NE(refused.refused_by, nullptr);
    EXPECT_EQ(refused.refused_by->id(), SessionId(1));
    const OpenPlan forced = open(mode, true);
    EXPECT_EQ(forced.refused_by, nullptr);
    EXPECT_EQ(forced.displaced, std::vector{SessionId(1)});
    EXPECT_TRUE(forced.raises_fence) << "a writer that is displaced is fenced";
  }
  now_ += 1ms;
  EXPECT_EQ(open(wire::SESSION_READ_ONLY).displaced, std::vector{SessionId(1)});
}

TEST_F(SessionPlanTest, SharedAndReadingSessionsGoTogetherAndExcludeOneThatWantsToBeAlone) {
  hold(1, wire::SESSION_SHARED, now_);
  hold(2, wire::SESSION_READ_ONLY, now_);
  for (auto mode : {wire::SESSION_READ_ONLY, wire::SESSION_SHARED}) {
    EXPECT_EQ(open(mode).refused_by, nullptr);
    EXPECT_TRUE(open(mode).displaced.empty());
    EXPECT_FALSE(open(mode).raises_fence);
  }
  EXPECT_NE(open(wire::SESSION_EXCLUSIVE).refused_by, nullptr);
  EXPECT_EQ(open(wire::SESSION_EXCLUSIVE, true).displaced.size(), 2u);
}

TEST_F(SessionPlanTest, AProcessThatIsStartedAnewReplacesItselfAndNobodyElse) {
  hold(1, wire::SESSION_EXCLUSIVE, now_, "me");
  EXPECT_NE(open(wire::SESSION_EXCLUSIVE).refused_by, nullptr) << "only where it asks for that";
  EXPECT_EQ(open(wire::SESSION_EXCLUSIVE, false, true).displaced, std::vector{SessionId(1)});
  hold(2, wire::SESSION_SHARED, now_);
  EXPECT_NE(open(wire::SESSION_EXCLUSIVE, false, true).refused_by, nullptr);
}

TEST_F(SessionPlanTest, AfterAStartOfTheMdsEverySessionHasAWholeLease) {
  hold(1, wire::SESSION_EXCLUSIVE, now_);
  sessions_.at(SessionId(1)).renewed_at.reset();
  now_ = kStart + options_.session_lease - 1ms;
  EXPECT_NE(open(wire::SESSION_EXCLUSIVE).refused_by, nullptr);
  now_ += 1ms;
  EXPECT_EQ(open(wire::SESSION_EXCLUSIVE).refused_by, nullptr);
}

}  // namespace
}  // namespace cairn::mds
