/// What may happen to a volume as a whole: growth, other names, the recycle bin, folders.
#include "mds/keys.h"
#include "mds/service_test.h"
#include "wire/session.pb.h"

namespace cairn::mds {
namespace {

using testing::MdsTest;

class VolumeTest : public MdsTest {
 protected:
  Result<wire::VolumeInfo> extend(const std::string& name, uint64_t size_bytes) {
    wire::ExtendVolumeRequest request;
    request.set_name(name);
    request.set_size_bytes(size_bytes);
    return volume_of(call<wire::ExtendVolumeReply>(wire::Method::kExtendVolume, request));
  }
  Result<wire::VolumeInfo> rename(const std::string& name, const std::string& new_name) {
    wire::RenameVolumeRequest request;
    request.set_name(name);
    request.set_new_name(new_name);
    return volume_of(call<wire::RenameVolumeReply>(wire::Method::kRenameVolume, request));
  }
  Result<wire::VolumeInfo> restore(const std::string& name, const std::string& as = {},
                                   uint64_t id = 0) {
    wire::RestoreVolumeRequest request;
    request.set_name(name);
    request.set_new_name(as);
    request.set_id(id);
    return volume_of(call<wire::RestoreVolumeReply>(wire::Method::kRestoreVolume, request));
  }
  Result<wire::VolumeInfo> purge(const std::string& name, uint64_t id = 0) {
    wire::PurgeVolumeRequest request;
    request.set_name(name);
    request.set_id(id);
    return volume_of(call<wire::PurgeVolumeReply>(wire::Method::kPurgeVolume, request));
  }
  wire::ListVolumesReply list(const std::string& folder, bool is_direct, bool is_deleted = false) {
    wire::ListVolumesRequest request;
    request.set_folder(folder);
    request.set_is_direct(is_direct);
    request.set_is_deleted(is_deleted);
    return call<wire::ListVolumesReply>(wire::Method::kListVolumes, request).value();
  }
  /// "folder/ folder/ volume volume"
  std::string names(const std::string& folder, bool is_direct, bool is_deleted = false) {
    const auto reply = list(folder, is_direct, is_deleted);
    std::string all;
    for (const auto& one : reply.folders()) {
      all += one.name() + "/:" + std::to_string(one.volumes_count()) + " ";
    }
    for (const auto& one : reply.volumes()) all += one.name() + " ";
    return all;
  }
  Result<wire::OpenSessionReply> open(const std::string& name, uint64_t session,
                                      wire::SessionMode mode = wire::SESSION_EXCLUSIVE) {
    wire::OpenSessionRequest request;
    request.set_name(name);
    request.set_session(session);
    request.set_mode(mode);
    request.set_client("client " + std::to_string(session));
    return call<wire::OpenSessionReply>(wire::Method::kOpenSession, request, 30s);
  }
  Result<wire::RenewSessionReply> renew(uint64_t volume, uint64_t session, uint64_t fence,
                                        wire::SessionMode mode = wire::SESSION_EXCLUSIVE) {
    wire::RenewSessionRequest request;
    request.set_volume(volume);
    request.set_session(session);
    request.set_fence(fence);
    request.set_mode(mode);
    return call<wire::RenewSessionReply>(wire::Method::kRenewSession, request);
  }
  static void expect_refused(const Result<wire::VolumeInfo>& reply, Errc code,
                             std::string_view words) {
    ASSERT_EQ(reply.code(), code);
    EXPECT_NE(reply.error().message().find(words), std::string::npos) << reply.error().message();
  }
  size_t chunks_deleted_count() const {
    size_t count = 0;
    for (const auto& chunkserver : chunkservers_) count += chunkserver->deleted.size();
    return count;
  }

 private:
  template <class Reply>
  static Result<wire::VolumeInfo> volume_of(Result<Reply> reply) {
    if (!reply.ok()) return reply.error();
    return reply->volume();
  }
};

TEST_F(VolumeTest, GrowsAndItsClientsHearOfIt) {
  start_cluster();
  const uint64_t volume = create_volume("v", 3 * kGiB / 2)->id();
  const uint64_t fence = open("v", 1)->fence();
  auto asked = segment_request(volume, 1, true);
  asked.set_fence(fence);
  ASSERT_TRUE(call<wire::GetSegmentReply>(wire::Method::kGetSegment, asked).ok());
  EXPECT_EQ(stat_volume("v")->allocated_bytes(), kGiB / 2) << "the end cuts the segment short";
  EXPECT_EQ(extend("v", 3 * kGiB / 2 + kMiB)->allocated_bytes(), kGiB / 2 + kMiB);
  EXPECT_EQ(extend("v", 4 * kGiB)->size_bytes(), 4 * kGiB);
  EXPECT_EQ(stat_volume("v")->allocated_bytes(), kGiB);
  EXPECT_EQ(extend("v", 4 * kGiB)->size_bytes(), 4 * kGiB) << "again is fine";
  EXPECT_EQ(renew(volume, 1, fence)->size_bytes(), 4 * kGiB);
  asked.set_segment_index(3);
  EXPECT_TRUE(call<wire::GetSegmentReply>(wire::Method::kGetSegment, asked).ok());
  expect_refused(extend("v", kGiB), Errc::kInvalidArgument, "cannot shrink");
  expect_refused(extend("v", 5 * kGiB + 1), Errc::kInvalidArgument, "multiple of 4096");
  expect_refused(extend("v", uint64_t{1} << 60), Errc::kInvalidArgument, "at most");
  expect_refused(extend("w", kGiB), Errc::kNotFound, "volume list");
  restart_mds();
  EXPECT_EQ(stat_volume("v")->size_bytes(), 4 * kGiB);
  EXPECT_EQ(stat_volume("v")->allocated_bytes(), 2 * kGiB);
}

TEST_F(VolumeTest, TakesAnotherNameWhileItIsOpen) {
  start_cluster();
  const uint64_t volume = create_volume("a", kGiB)->id();
  ASSERT_TRUE(create_volume("taken", kGiB).ok());
  const uint64_t fence = open("a", 1)->fence();
  expect_refused(rename("a", "taken"), Errc::kAlreadyExists, "choose another name");
  expect_refused(rename("none", "b"), Errc::kNotFound, "volume list");
  expect_refused(rename("a", "b c"), Errc::kInvalidArgument, "letters, digits");
  EXPECT_EQ(rename("a", "folder/b")->id(), volume);
  EXPECT_EQ(rename("folder/b", "folder/b")->id(), volume);
  EXPECT_EQ(stat_volume("a").code(), Errc::kNotFound);
  EXPECT_TRUE(renew(volume, 1, fence).ok()) << "who has it open goes on";
  EXPECT_EQ(open("folder/b", 2).code(), Errc::kAlreadyExists);
  EXPECT_TRUE(create_volume("a", kGiB).ok()) << "the old name is free";
  restart_mds();
  EXPECT_EQ(stat_volume("folder/b")->id(), volume);
  EXPECT_NE(stat_volume("a")->id(), volume);
}

TEST_F(VolumeTest, ComesBackFromTheRecycleBinAsItWas) {
  start_cluster();
  const uint64_t volume = create_volume("v", kGiB)->id();
  const std::string segment = get_segment(volume, 0, true)->SerializeAsString();
  const std::string before = stat_volume("v")->SerializeAsString();
  ASSERT_TRUE(delete_volume("v", false).ok());
  EXPECT_EQ(stat_volume("v").code(), Errc::kNotFound);
  EXPECT_EQ(get_segment(volume, 0, false).code(), Errc::kNotFound);
  EXPECT_EQ(names("", false), "");
  EXPECT_EQ(names("", false, true), "v ");
  const auto deleted = list("", false, true).volumes(0);
  EXPECT_EQ(Duration(deleted.expires_unix_ns() - deleted.deleted_unix_ns()),
            options_.deleted_volume_keep);
  restart_mds();
  world_.run_for(60s);
  EXPECT_EQ(restore("v")->id(), volume);
  EXPECT_EQ(stat_volume("v")->SerializeAsString(), before);
  EXPECT_EQ(get_segment(volume, 0, false)->SerializeAsString(), segment);
  EXPECT_EQ(chunks_deleted_count(), 0u);
  expect_refused(restore("v"), Errc::kNotFound, "recycle bin");
}

TEST_F(VolumeTest, NamesThatWereTakenMeanwhileAreNamedAndChosenAround) {
  start_mds();
  const uint64_t first = create_volume("v", kGiB)->id();
  ASSERT_TRUE(delete_volume("v", false).ok());
  const uint64_t second = create_volume("v", kGiB)->id();
  expect_refused(restore("v"), Errc::kAlreadyExists, "--as");
  EXPECT_EQ(restore("v", "old/v")->id(), first);
  ASSERT_TRUE(delete_volume("old/v", false).ok());
  ASSERT_TRUE(rename("v", "old/v").ok());
  ASSERT_TRUE(delete_volume("old/v", false).ok());
  EXPECT_EQ(names("old", false, true), "old/v old/v ");
  expect_refused(restore("old/v"), Errc::kPreconditionFailed, "--id");
  expect_refused(purge("old/v"), Errc::kPreconditionFailed, "--id");
  EXPECT_EQ(restore("", "", second)->name(), "old/v");
  EXPECT_EQ(purge("", first)->id(), first);
  expect_refused(purge("", second), Errc::kNotFound, "recycle bin");
  restart_mds();
  EXPECT_EQ(names("", false), "old/v ");
}

TEST_F(VolumeTest, WhoHadItOpenIsOutWhenItComesBack) {
  start_cluster();
  const uint64_t volume = create_volume("v", kGiB)->id();
  ASSERT_EQ(open("v", 1, wire::SESSION_SHARED)->fence(), 0u);
  const auto allocated = get_segment(volume, 0, true);
  expect_refused(delete_volume("v", false).error(), Errc::kPreconditionFailed, "'client 1'");
  ASSERT_TRUE(delete_volume("v", false, true).ok());
  EXPECT_EQ(count_keys(keys::kSessions), 0u);
  ASSERT_TRUE(restore("v").ok());
  EXPECT_EQ(renew(volume, 1, 0, wire::SESSION_SHARED).code(), Errc::kStaleFence);
  EXPECT_EQ(get_segment(volume, 0, false).code(), Errc::kStaleFence);
  EXPECT_EQ(open("v", 2, wire::SESSION_SHARED)->fence(), 1u);
  size_t raised = 0;
  for (const auto& chunkserver : chunkservers_) raised += chunkserver->raises_count;
  EXPECT_GT(raised, 0u) << "what the first has left in the network is refused";
}

TEST_F(VolumeTest, ASessionWhoseLeaseIsOverHoldsUpNoDeletion) {
  start_mds();
  ASSERT_TRUE(create_volume("v", kGiB).ok());
  ASSERT_TRUE(open("v", 1).ok());
  EXPECT_EQ(delete_volume("v", false).code(), Errc::kPreconditionFailed);
  world_.run_for(options_.session_lease);
  EXPECT_TRUE(delete_volume("v", false).ok());
}

TEST_F(VolumeTest, ExpiresAlsoWhenNoMdsRanAtThatTime) {
  options_.deleted_volume_keep = 600s;
  start_cluster();
  for (const char* name : {"a", "b"}) {
    ASSERT_TRUE(get_segment(create_volume(name, kGiB)->id(), 0, true).ok());
    ASSERT_TRUE(delete_volume(name, false).ok());
    world_.run_for(299s);
  }
  EXPECT_EQ(names("", false, true), "a b ");
  world_.run_for(5s);
  EXPECT_EQ(names("", false, true), "b ") << "one after the other";
  const auto gone = [&] { return count_keys(keys::kVolumes) == 1; };
  ASSERT_TRUE(world_.run_until(gone, 60s));
  EXPECT_EQ(chunks_deleted_count(), 64u);
  crash_mds();
  world_.run_for(600s);
  start_mds();
  ASSERT_TRUE(world_.run_until([&] { return count_keys(keys::kVolumes) == 0; }, 120s));
  EXPECT_EQ(chunks_deleted_count(), 128u);
  EXPECT_EQ(count_keys(keys::kSegments), 0u);
}

TEST_F(VolumeTest, IsGoneAtOnceWherePurgedOrWithoutABin) {
  start_cluster();
  ASSERT_TRUE(get_segment(create_volume("v", kGiB)->id(), 0, true).ok());
  ASSERT_TRUE(delete_volume("v", false).ok());
  ASSERT_TRUE(purge("v").ok());
  ASSERT_TRUE(world_.run_until([&] { return count_keys(keys::kVolumes) == 0; }, 60s));
  EXPECT_EQ(chunks_deleted_count(), 64u);
  crash_mds();
  options_.deleted_volume_keep = Duration::zero();
  start_mds();
  world_.run_for(10ms);
  ASSERT_TRUE(create_volume("w", kGiB).ok());
  ASSERT_TRUE(delete_volume("w", false).ok());
  expect_refused(restore("w"), Errc::kNotFound, "recycle bin");
}

TEST_F(VolumeTest, FoldersShowWhatLiesInThem) {
  start_mds();
  for (const char* name : {"b/y/2", "a", "b/x", "b-c", "b/y/1", "b", "d/e/f"}) {
    ASSERT_TRUE(create_volume(name, kGiB).ok()) << name;
  }
  EXPECT_EQ(names("", true), "b/:3 d/:1 a b b-c ");
  EXPECT_EQ(names("b", true), "b/y/:2 b/x ");
  EXPECT_EQ(names("b/y", true), "b/y/1 b/y/2 ");
  EXPECT_EQ(names("b", false), "b/x b/y/1 b/y/2 ");
  EXPECT_EQ(names("", false), "a b b-c b/x b/y/1 b/y/2 d/e/f ");
  wire::ListVolumesRequest request;
  request.set_folder("b-c");
  EXPECT_EQ(call<wire::ListVolumesReply>(wire::Method::kListVolumes, request).code(),
            Errc::kNotFound)
      << "a volume is no folder";
  request.set_folder("b//");
  EXPECT_EQ(call<wire::ListVolumesReply>(wire::Method::kListVolumes, request).code(),
            Errc::kInvalidArgument);
}

TEST_F(VolumeTest, KeepsItsStripesAndRefusesThoseThatDoNotFit) {
  start_mds();
  const auto create = [&](const std::string& name, uint32_t unit_bytes, uint32_t count) {
    wire::CreateVolumeRequest request;
    request.set_name(name);
    request.set_size_bytes(kGiB);
    request.set_stripe_unit_bytes(unit_bytes);
    request.set_stripe_count(count);
    return call<wire::CreateVolumeReply>(wire::Method::kCreateVolume, request);
  };
  ASSERT_TRUE(create("v", 64 * kKiB, 8).ok());
  restart_mds();
  EXPECT_EQ(stat_volume("v")->stripe_unit_bytes(), 64 * kKiB);
  EXPECT_EQ(stat_volume("v")->stripe_count(), 8u);
  for (const auto& [unit, count] : {std::pair(64 * kKiB, 0u),
                                    {0u, 8u},
                                    {64 * kKiB, 1u},
                                    {64 * kKiB, 5u},
                                    {48 * kKiB, 8u},
                                    {4 * kKiB, 8u},
                                    {100'000u, 8u},
                                    {64 * kKiB, 128u}}) {
    const auto refused = create("w", static_cast<uint32_t>(unit), count);
    ASSERT_EQ(refused.code(), Errc::kInvalidArgument) << unit << " " << count;
    EXPECT_NE(refused.error().message().find("divides a segment's 64 chunks"), std::string::npos);
  }
}

TEST_F(VolumeTest, ItsUsedBytesAreThoseOfChunksThatExist) {
  start_cluster();
  const uint64_t volume = create_volume("v", 200 * kGiB)->id();
  wire::StatVolumeRequest request;
  request.set_name("v");
  request.set_with_used(true);
  const auto measure = [&] {
    return call<wire::StatVolumeReply>(wire::Method::kStatVolume, request, 60s).value();
  };
  EXPECT_EQ(measure().volume().used_bytes(), 0u);
  std::vector<wire::GetSegmentReply> segments;
  for (uint64_t index = 0; index < 140; ++index) {
    segments.push_back(get_segment(volume, index, true).value());  // pages of them
  }
  EXPECT_EQ(measure().volume().used_bytes(), 140 * kGiB);
  for (auto& chunkserver : chunkservers_) {
    for (int i : {0, 1, 2}) chunkserver->discarded.insert(segments[100].chunks(i).chunk());
  }
  EXPECT_EQ(measure().volume().used_bytes(), 140 * kGiB - 3 * 16 * kMiB);
  EXPECT_EQ(stat_volume("v")->used_bytes(), 0u) << "it was not asked for";

  for (auto& chunkserver : chunkservers_) chunkserver->refuses_counts = true;
  const auto unknown = measure();
  EXPECT_EQ(unknown.volume().name(), "v") << "the rest is known all the same";
  EXPECT_NE(unknown.used_problem().find("copyset"), std::string::npos) << unknown.used_problem();
}

TEST_F(VolumeTest, HasAnOwnerAndSessionsThatAreListed) {
  start_mds();
  wire::CreateVolumeRequest request;
  request.set_name("v");
  request.set_size_bytes(kGiB);
  request.set_owner("Ada of the database team");
  ASSERT_TRUE(call<wire::CreateVolumeReply>(wire::Method::kCreateVolume, request).ok());
  EXPECT_EQ(stat_volume("v")->owner(), "Ada of the database team");
  request.set_name("w");
  request.set_owner("a\nb");
  EXPECT_EQ(call<wire::CreateVolumeReply>(wire::Method::kCreateVolume, request).code(),
            Errc::kInvalidArgument);
  ASSERT_TRUE(create_volume("w", kGiB).ok());
  ASSERT_TRUE(open("v", 1).ok());
  ASSERT_TRUE(open("w", 2, wire::SESSION_READ_ONLY).ok());
  ASSERT_TRUE(open("w", 3, wire::SESSION_READ_ONLY).ok());
  world_.run_for(options_.session_lease - 1s);
  const auto sessions = [&](const std::string& volume) {
    wire::ListSessionsRequest asked;
    asked.set_volume(volume);
    return call<wire::ListSessionsReply>(wire::Method::kListSessions, asked);
  };
  EXPECT_EQ(sessions("")->sessions_count(), 3u);
  ASSERT_EQ(sessions("v")->sessions_size(), 1);
  const auto one = sessions("v")->sessions(0);
  EXPECT_EQ(one.volume(), "v");
  EXPECT_EQ(one.client(), "client 1");
  EXPECT_EQ(one.mode(), wire::SESSION_EXCLUSIVE);
  EXPECT_EQ(one.fence(), 1u);
  EXPECT_TRUE(one.is_live());
  EXPECT_GE(one.silent_ms(), 9000);
  world_.run_for(2s);
  EXPECT_FALSE(sessions("v")->sessions(0).is_live());
  EXPECT_EQ(sessions("none").code(), Errc::kNotFound);
}

}  // namespace
}  // namespace cairn::mds
