/// Sessions and fences of a metadata server, with chunkservers that only remember what they hear.
#include "mds/service_test.h"
#include "wire/session.pb.h"

namespace cairn::mds {
namespace {

using testing::FakeChunkserver;
using testing::MdsTest;

class SessionTest : public MdsTest {
 protected:
  void SetUp() override {
    start_cluster();
    volume_ = create_volume("v", 8 * kGiB).value().id();
  }
  static wire::OpenSessionRequest request(uint64_t session, wire::SessionMode mode) {
    wire::OpenSessionRequest open;
    open.set_name("v");
    open.set_session(session);
    open.set_mode(mode);
    open.set_client("client " + std::to_string(session));
    return open;
  }
  Result<wire::OpenSessionReply> open(uint64_t session,
                                      wire::SessionMode mode = wire::SESSION_EXCLUSIVE,
                                      bool force = false) {
    return open_having_seen(fence_now(), session, mode, force);
  }
  Result<wire::OpenSessionReply> open_having_seen(uint64_t fence, uint64_t session,
                                                  wire::SessionMode mode, bool force) {
    auto open = request(session, mode);
    open.set_force(force);
    open.set_fence_seen(fence);
    return call<wire::OpenSessionReply>(wire::Method::kOpenSession, open, 30s);
  }
  uint64_t fence_now() {
    wire::StatVolumeRequest stat;
    stat.set_name("v");
    const auto reply = call<wire::StatVolumeReply>(wire::Method::kStatVolume, stat);
    return reply.ok() ? reply->volume().fence() : 0;
  }
  Status renew(uint64_t session, uint64_t fence, wire::SessionMode mode = wire::SESSION_EXCLUSIVE) {
    wire::RenewSessionRequest renewal;
    renewal.set_volume(volume_);
    renewal.set_session(session);
    renewal.set_fence(fence);
    renewal.set_mode(mode);
    auto reply = call<wire::RenewSessionReply>(wire::Method::kRenewSession, renewal);
    if (!reply.ok()) return reply.error();
    return ok();
  }
  Status close(uint64_t session) {
    wire::CloseSessionRequest closing;
    closing.set_volume(volume_);
    closing.set_session(session);
    auto reply = call<wire::CloseSessionReply>(wire::Method::kCloseSession, closing);
    if (!reply.ok()) return reply.error();
    return ok();
  }
  Result<wire::GetSegmentReply> segment(uint64_t index, uint64_t fence, bool allocate = true) {
    auto asked = segment_request(volume_, index, allocate);
    asked.set_fence(fence);
    return call<wire::GetSegmentReply>(wire::Method::kGetSegment, asked);
  }
  /// Whether the leaders of all copysets of the segments have heard the fence.
  bool is_ordered(const std::vector<wire::GetSegmentReply>& segments, uint64_t fence) {
    std::set<uint64_t> told;
    for (const auto& chunkserver : chunkservers_) {
      for (const auto& [copyset, raised] : chunkserver->fences) {
        if (raised == fence) told.insert(copyset);
      }
    }
    for (const auto& one : segments) {
      for (const auto& chunk : one.chunks()) {
        if (!told.contains(chunk.copyset())) return false;
      }
    }
    return true;
  }
  size_t raises_count() const {
    size_t count = 0;
    for (const auto& chunkserver : chunkservers_) count += chunkserver->raises_count;
    return count;
  }

  uint64_t volume_ = 0;
};

TEST_F(SessionTest, ALateCopyOfAForcedOpenTakesNothingFromThePresentOwner) {
  ASSERT_EQ(open(1).value().fence(), 1u);
  ASSERT_EQ(open(2, wire::SESSION_EXCLUSIVE, true).value().fence(), 2u);
  ASSERT_TRUE(close(2).ok());
  ASSERT_EQ(open(3).code(), Errc::kOk);
  const uint64_t fence = fence_now();
  EXPECT_EQ(open_having_seen(1, 2, wire::SESSION_EXCLUSIVE, true).code(), Errc::kStaleFence);
  EXPECT_EQ(fence_now(), fence);
  EXPECT_TRUE(renew(3, fence).ok());
}

TEST_F(SessionTest, ARepeatedOpenThatHasSeenTheFormerFenceFindsItsSession) {
  ASSERT_EQ(open_having_seen(0, 1, wire::SESSION_EXCLUSIVE, false).value().fence(), 1u);
  EXPECT_EQ(open_having_seen(0, 1, wire::SESSION_EXCLUSIVE, false).value().fence(), 1u);
}

TEST_F(SessionTest, AnExclusiveOpenReturnsWhenEveryCopysetOfTheVolumeHasOrderedItsFence) {
  EXPECT_EQ(open(1).value().fence(), 1u);
  std::vector<wire::GetSegmentReply> segments;
  for (uint64_t i = 0; i < 3; ++i) segments.push_back(segment(i, 1).value());
  ASSERT_TRUE(close(1).ok());
  const auto second = open(2);
  ASSERT_TRUE(second.ok()) << second.error().describe();
  EXPECT_EQ(second->fence(), 3u) << "one for the end of the first, one for the second";
  EXPECT_TRUE(is_ordered(segments, 3));
  const size_t raised = raises_count();
  ASSERT_TRUE(close(2).ok());
  EXPECT_EQ(raises_count(), raised) << "the end of a session waits for nobody";
}

TEST_F(SessionTest, SharedOpensCostNoCallToAnyCopyset) {
  ASSERT_TRUE(segment(0, 0).ok());
  EXPECT_EQ(open(1, wire::SESSION_SHARED).value().fence(), 0u);
  EXPECT_EQ(open(2, wire::SESSION_READ_ONLY).value().fence(), 0u);
  EXPECT_EQ(raises_count(), 0u);
}

TEST_F(SessionTest, ASharedOpenAfterAnExclusiveOneIsAsFencedAsIt) {
  open(1).value();
  const auto allocated = segment(0, 1).value();
  ASSERT_TRUE(close(1).ok());
  const auto second = open(2, wire::SESSION_SHARED).value();
  EXPECT_EQ(second.fence(), 2u);
  EXPECT_TRUE(is_ordered({allocated}, 2)) << "writes of the first may still be in the network";
  EXPECT_EQ(open(3, wire::SESSION_SHARED).value().fence(), 2u);
}

TEST_F(SessionTest, TheHolderIsNamedAndKeepsTheVolumeUntilItsLeaseEndsOrByForce) {
  open(1).value();
  const auto refused = open(2);
  EXPECT_EQ(refused.code(), Errc::kAlreadyExists);
  EXPECT_NE(refused.error().message().find("client 1"), std::string::npos);
  EXPECT_EQ(stat_volume("v").value().fence(), 1u) << "nothing was changed";
  world_.run_for(options_.session_lease - 1s);
  ASSERT_TRUE(renew(1, 1).ok());
  world_.run_for(2s);
  EXPECT_EQ(open(2).code(), Errc::kAlreadyExists);
  EXPECT_EQ(open(2, wire::SESSION_EXCLUSIVE, true).value().fence(), 2u);
  EXPECT_EQ(renew(1, 1).code(), Errc::kStaleFence) << "the first learns of it";
  EXPECT_TRUE(renew(2, 2).ok());
  world_.run_for(options_.session_lease);
  EXPECT_EQ(open(3).value().fence(), 3u) << "nobody has renewed it";
}

TEST_F(SessionTest, AFencedClientLearnsOfNoChunks) {
  open(1).value();
  ASSERT_TRUE(segment(0, 1).ok());
  open(2, wire::SESSION_EXCLUSIVE, true).value();
  EXPECT_EQ(segment(0, 1).code(), Errc::kStaleFence);
  EXPECT_EQ(segment(1, 1).code(), Errc::kStaleFence);
  EXPECT_EQ(segment(0, 1, false).code(), Errc::kStaleFence);
  EXPECT_TRUE(segment(1, 2).ok());
}

TEST_F(SessionTest, ARetryIsTheSameActAlsoWithAnotherMds) {
  EXPECT_EQ(open(1).value().fence(), 1u);
  EXPECT_EQ(open(1).value().fence(), 1u);
  const auto allocated = segment(0, 1).value();
  restart_mds();
  ASSERT_TRUE(wait_for_health("ok"));
  EXPECT_EQ(open(1).value().fence(), 1u);
  EXPECT_TRUE(is_ordered({allocated}, 1)) << "what the MDS before had ordered is not known to it";
  EXPECT_EQ(open(2).code(), Errc::kAlreadyExists) << "sessions are stored";
  EXPECT_TRUE(renew(1, 1).ok());
}

TEST_F(SessionTest, WithoutTheLeaderOfACopysetAnOpenWaitsAndIsNeverHalfDone) {
  open(1).value();
  const auto allocated = segment(0, 1).value();
  for (auto& chunkserver : chunkservers_) chunkserver->refuses_fences = true;
  const auto stuck = open(2, wire::SESSION_EXCLUSIVE, true);
  EXPECT_EQ(stuck.code(), Errc::kUnavailable) << "no reply may say that the volume is open";
  EXPECT_EQ(renew(1, 1).code(), Errc::kStaleFence) << "the first is out all the same";
  for (auto& chunkserver : chunkservers_) chunkserver->refuses_fences = false;
  EXPECT_EQ(open(2).value().fence(), 2u) << "the retry goes on where it stopped";
  EXPECT_TRUE(is_ordered({allocated}, 2));
}

TEST_F(SessionTest, AnOpenThatIsOvertakenByAnotherFails) {
  open(1).value();
  segment(0, 1).value();
  for (auto& chunkserver : chunkservers_) chunkserver->refuses_fences = true;
  EXPECT_EQ(open(2, wire::SESSION_EXCLUSIVE, true).code(), Errc::kUnavailable);
  EXPECT_EQ(open(3, wire::SESSION_EXCLUSIVE, true).code(), Errc::kUnavailable);
  for (auto& chunkserver : chunkservers_) chunkserver->refuses_fences = false;
  EXPECT_EQ(open(3).value().fence(), 3u);
  EXPECT_EQ(open(2).code(), Errc::kAlreadyExists);
}

TEST_F(SessionTest, ASessionThatIsForgottenComesBackOnlyIfNobodyWasPromisedToBeAlone) {
  open(1, wire::SESSION_SHARED).value();
  world_.run_for(options_.session_forget_after + 2 * options_.session_lease);
  EXPECT_EQ(count_keys("session/"), 0u);
  EXPECT_TRUE(renew(1, 0, wire::SESSION_SHARED).ok());
  EXPECT_EQ(count_keys("session/"), 1u);
  EXPECT_EQ(open(2).code(), Errc::kAlreadyExists);
  ASSERT_TRUE(close(1).ok());
  EXPECT_EQ(open(2).value().fence(), 1u);
  EXPECT_EQ(renew(1, 0, wire::SESSION_SHARED).code(), Errc::kStaleFence);
  world_.run_for(options_.session_forget_after + 2 * options_.session_lease);
  EXPECT_EQ(count_keys("session/"), 0u);
  EXPECT_EQ(renew(2, 1).code(), Errc::kStaleFence) << "its fence ended with it";
  EXPECT_EQ(stat_volume("v").value().fence(), 2u);
}

TEST_F(SessionTest, ADeletedVolumeHasNoSessions) {
  open(1).value();
  const Status refused = delete_volume("v");
  EXPECT_EQ(refused.code(), Errc::kPreconditionFailed);
  EXPECT_NE(refused.error().message().find("exclusively by 'client 1'"), std::string::npos);
  ASSERT_TRUE(delete_volume("v", true, true).ok());
  EXPECT_EQ(count_keys("session/"), 0u);
  EXPECT_EQ(renew(1, 1).code(), Errc::kStaleFence);
  EXPECT_TRUE(close(1).ok()) << "closing what is not open is fine";
  restart_mds();
}

TEST_F(SessionTest, BadRequestsAreRefusedAndTheNumberOfSessionsIsBounded) {
  EXPECT_EQ(open(0).code(), Errc::kInvalidArgument);
  EXPECT_EQ(open(1, static_cast<wire::SessionMode>(9)).code(), Errc::kInvalidArgument);
  auto odd = request(1, wire::SESSION_SHARED);
  odd.set_client("a\nb");
  EXPECT_EQ(call<wire::OpenSessionReply>(wire::Method::kOpenSession, odd).code(),
            Errc::kInvalidArgument);
  odd.set_client("c");
  odd.set_name("nosuch");
  EXPECT_EQ(call<wire::OpenSessionReply>(wire::Method::kOpenSession, odd).code(), Errc::kNotFound);
  for (uint64_t i = 1; i <= options_.limits.sessions_per_volume_max; ++i) {
    ASSERT_TRUE(open(i, wire::SESSION_READ_ONLY).ok());
  }
  EXPECT_EQ(open(9999, wire::SESSION_READ_ONLY).code(), Errc::kNoSpace);
}

}  // namespace
}  // namespace cairn::mds
