/// The metadata server as its callers see it: registration, heartbeats, volumes, segments.
#include "mds/service_test.h"

#include "mds/keys.h"

namespace cairn::mds {
namespace {

using testing::FakeChunkserver;
using testing::MdsTest;

// --- Registration and placement ---

TEST_F(MdsTest, CopysetsArePlannedOnceEnoughHaveRegisteredAndThenCreated) {
  start_mds();
  auto& first = add_chunkserver();
  auto& second = add_chunkserver();
  first.start();
  second.start();
  world_.run_for(5s);
  const auto waiting = status();
  EXPECT_EQ(waiting.health(), "unavailable");
  ASSERT_GT(waiting.problems_size(), 0);
  EXPECT_NE(waiting.problems(0).find("2 of 3 have registered"), std::string::npos);
  EXPECT_EQ(waiting.copysets_count(), 0u);

  auto& third = add_chunkserver();
  third.start();
  ASSERT_TRUE(wait_for_health("ok")) << status().DebugString();
  EXPECT_EQ(status().copysets_count(), 12u);
  for (FakeChunkserver* chunkserver : {&first, &second, &third}) {
    EXPECT_EQ(chunkserver->copysets.size(), 12u);
    EXPECT_EQ(chunkserver->peers.size(), 2u);
    EXPECT_FALSE(chunkserver->peers.contains(chunkserver->id));
  }
  // A fourth gets no copysets until the pool grows, and disturbs nothing.
  add_chunkserver().start();
  world_.run_for(5s);
  EXPECT_EQ(status().copysets_count(), 12u);
  EXPECT_EQ(status().chunkservers_size(), 4);
}

TEST_F(MdsTest, RegisteringAgainIsOneActWhateverCrashesBetween) {
  start_mds();
  auto& chunkserver = add_chunkserver();
  const auto do_register = [&](const wire::RegisterChunkserverRequest& request) {
    return call<wire::RegisterChunkserverReply>(wire::Method::kRegisterChunkserver, request);
  };
  const auto request = chunkserver.registration();
  const auto first = do_register(request);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(first->cluster_name(), "cairn");
  EXPECT_EQ(do_register(request)->chunkserver(), first->chunkserver());
  restart_mds();
  EXPECT_EQ(do_register(request)->chunkserver(), first->chunkserver());
  EXPECT_EQ(status().chunkservers_size(), 1);

  auto moved = request;
  moved.set_address("10.9.9.9:1");
  EXPECT_EQ(do_register(moved).code(), Errc::kUnavailable) << "the MDS has only begun to listen";
  world_.run_for(3 * options_.heartbeat_interval);
  EXPECT_EQ(do_register(moved)->chunkserver(), first->chunkserver());
  restart_mds();
  EXPECT_EQ(status().chunkservers(0).address(), "10.9.9.9:1");
}

TEST_F(MdsTest, ACopyOfADataDirectoryIsNotLetInBesideItsOriginal) {
  start_cluster();
  FakeChunkserver& original = *chunkservers_[0];
  auto copy = original.registration();
  copy.set_address("10.9.9.9:1");
  auto beat_of_copy = original.heartbeat();
  beat_of_copy.set_address(copy.address());
  const auto register_copy = [&] {
    return call<wire::RegisterChunkserverReply>(wire::Method::kRegisterChunkserver, copy);
  };
  const auto refusal = register_copy();
  ASSERT_EQ(refusal.code(), Errc::kUnavailable);
  EXPECT_NE(refusal.error().message().find("has the same data directory"), std::string::npos);
  beat_of_copy.set_disk_failed(true);  // says nothing of the original's
  EXPECT_EQ(call<wire::HeartbeatReply>(wire::Method::kHeartbeat, beat_of_copy).code(),
            Errc::kAlreadyExists);
  EXPECT_EQ(status().chunkservers(0).address(), original.address().text);
  EXPECT_EQ(status().chunkservers(0).state(), "online");

  original.crash();
  world_.run_for(4 * options_.heartbeat_interval);
  ASSERT_TRUE(register_copy().ok()) << "it has moved";
  beat_of_copy.set_disk_failed(false);
  EXPECT_TRUE(call<wire::HeartbeatReply>(wire::Method::kHeartbeat, beat_of_copy).ok());
  EXPECT_EQ(call<wire::HeartbeatReply>(wire::Method::kHeartbeat, original.heartbeat()).code(),
            Errc::kAlreadyExists)
      << "now the former place is the copy";
}

TEST_F(MdsTest, ARegistrationThatCannotBeRightIsRefusedInWords) {
  start_mds();
  auto& chunkserver = add_chunkserver();
  const auto do_register = [&](const wire::RegisterChunkserverRequest& request) {
    return call<wire::RegisterChunkserverReply>(wire::Method::kRegisterChunkserver, request);
  };
  const auto good = chunkserver.registration();
  ASSERT_TRUE(do_register(good).ok());
  const auto refused = [&](auto change, Errc code, std::string_view words) {
    auto request = good;
    change(request);
    const auto reply = do_register(request);
    ASSERT_EQ(reply.code(), code);
    EXPECT_NE(reply.error().message().find(words), std::string::npos) << reply.error().message();
  };
  refused([](auto& r) { r.set_token(std::string(16, 'x')); }, Errc::kAlreadyExists,
          "belongs to chunkserver 1, which has another disk");
  refused([](auto& r) { r.set_zone("elsewhere"); }, Errc::kInvalidArgument,
          "was registered in zone 'z0'");
  refused([](auto& r) { r.set_token("short"); }, Errc::kInvalidArgument, "16 bytes");
  refused([](auto& r) { r.set_address(""); }, Errc::kInvalidArgument, "address");
  refused([](auto& r) { r.set_zone("a zone"); }, Errc::kInvalidArgument, "zone");
  refused([](auto& r) { r.set_capacity_bytes(0); }, Errc::kInvalidArgument, "capacity");
  EXPECT_EQ(status().chunkservers_size(), 1);
}

TEST_F(MdsTest, TheNumberOfChunkserversIsBounded) {
  options_.limits.chunkservers_max = 1;
  start_mds();
  add_chunkserver().start();
  world_.run_for(1s);
  const auto reply = call<wire::RegisterChunkserverReply>(wire::Method::kRegisterChunkserver,
                                                          add_chunkserver().registration());
  EXPECT_EQ(reply.code(), Errc::kNoSpace);
}

// --- Heartbeats ---

TEST_F(MdsTest, AHeartbeatOfAStrangerIsRefused) {
  start_cluster();
  auto request = chunkservers_[0]->heartbeat();
  request.set_chunkserver(77);
  EXPECT_EQ(call<wire::HeartbeatReply>(wire::Method::kHeartbeat, request).code(), Errc::kNotFound);
  request = chunkservers_[0]->heartbeat();
  request.set_token(std::string(16, 'x'));
  EXPECT_EQ(call<wire::HeartbeatReply>(wire::Method::kHeartbeat, request).code(),
            Errc::kInvalidArgument);
  request = chunkservers_[0]->heartbeat();
  request.set_address(chunkservers_[1]->address().text);
  EXPECT_EQ(call<wire::HeartbeatReply>(wire::Method::kHeartbeat, request).code(),
            Errc::kAlreadyExists);
}

TEST_F(MdsTest, TheLeaderIsTheOneOfTheLatestEpochWhoeverSpeaksLast) {
  start_cluster();
  for (auto& chunkserver : chunkservers_) chunkserver->crash();
  const uint64_t copyset = get_copysets()->copysets(0).copyset();
  const auto say = [&](size_t who, uint64_t epoch, bool leads) {
    auto request = chunkservers_[who]->heartbeat();
    for (auto& report : *request.mutable_copysets()) {
      report.set_is_leader(leads);
      report.set_epoch(epoch);
    }
    ASSERT_TRUE(call<wire::HeartbeatReply>(wire::Method::kHeartbeat, request).ok());
  };
  const auto leader = [&] { return get_copysets({copyset})->copysets(0).leader_node(); };
  say(1, 5, true);
  EXPECT_EQ(leader(), chunkservers_[1]->id);
  say(0, 4, true);  // deposed and does not know it
  EXPECT_EQ(leader(), chunkservers_[1]->id);
  say(2, 5, true);  // every leader begins with an epoch of its own
  EXPECT_EQ(leader(), chunkservers_[1]->id) << "no epoch has two leaders";
  say(2, 6, true);
  EXPECT_EQ(leader(), chunkservers_[2]->id);
  EXPECT_EQ(get_copysets({copyset})->copysets(0).epoch(), 6u);
  say(1, 6, false);
  EXPECT_EQ(leader(), chunkservers_[2]->id);
  say(2, 5, false);  // said before it was elected, heard late
  EXPECT_EQ(leader(), chunkservers_[2]->id);
  say(2, 6, false);
  EXPECT_EQ(leader(), 0u) << "it stepped down";
}

TEST_F(MdsTest, MembersFollowACommittedConfigurationOfANewerEpochOnly) {
  start_cluster();
  auto& fourth = add_chunkserver();
  fourth.start();
  world_.run_for(3s);
  for (auto& chunkserver : chunkservers_) chunkserver->crash();
  const uint64_t copyset = get_copysets()->copysets(0).copyset();
  const auto report = [&](uint64_t epoch, std::vector<uint64_t> members) {
    auto request = chunkservers_[0]->heartbeat();
    for (auto& one : *request.mutable_copysets()) {
      if (one.copyset() != copyset) continue;
      one.set_is_leader(true);
      one.set_term(9);
      one.set_epoch(epoch);
      one.clear_members();
      for (uint64_t member : members) one.add_members(member);
    }
    ASSERT_TRUE(call<wire::HeartbeatReply>(wire::Method::kHeartbeat, request).ok());
  };
  const auto members = [&] {
    std::set<uint64_t> ids;
    const auto reply = get_copysets({copyset});
    for (const auto& member : reply->copysets(0).members()) ids.insert(member.node());
    return ids;
  };
  const std::set<uint64_t> before{1, 2, 3}, after{1, 2, 4};
  ASSERT_EQ(members(), before);
  report(1, {1, 2, 4});
  EXPECT_EQ(members(), before) << "the same epoch says nothing new";
  report(5, {1, 2, 99});
  EXPECT_EQ(members(), before) << "nobody knows 99";
  report(6, {1, 2, 4});
  EXPECT_EQ(members(), after);
  report(4, {1, 2, 3});
  EXPECT_EQ(members(), after) << "an older configuration, late";
  restart_mds();
  EXPECT_EQ(members(), after);
  // The leader has had the newcomer make its replica, and counts on it: it is not begun anew.
  const auto reply = call<wire::HeartbeatReply>(wire::Method::kHeartbeat, fourth.heartbeat());
  EXPECT_EQ(reply->create_size(), 0);
}

TEST_F(MdsTest, AReplicaThatWasLostIsReportedAndNeverBegunAnew) {
  start_cluster();
  auto& careless = *chunkservers_[1];
  careless.creates_told = 0;
  const auto lost = *careless.copysets.begin();
  careless.copysets.erase(lost.first);
  world_.run_for(3s);
  restart_mds();
  world_.run_for(5s);
  EXPECT_EQ(careless.creates_told, 0u) << "it would have forgotten its votes";
  const auto now = status();
  EXPECT_NE(now.health(), "ok");
  EXPECT_NE(now.DebugString().find("no longer has 1 of its copysets"), std::string::npos)
      << now.DebugString();
}

TEST_F(MdsTest, SilenceTurnsIntoUnstableAndOffline) {
  start_cluster();
  chunkservers_[2]->crash();
  const auto state = [&] { return status().chunkservers(2).state(); };
  EXPECT_EQ(state(), "online");
  world_.run_for(7s);
  EXPECT_EQ(status().health(), "degraded");
  world_.run_for(5s);
  EXPECT_EQ(status().health(), "unavailable") << "nobody took over what it led";
  world_.run_for(25s);
  EXPECT_EQ(state(), "unstable");
  world_.run_for(1800s);
  EXPECT_EQ(state(), "offline");
  chunkservers_[2]->boot();
  chunkservers_[2]->start();
  EXPECT_TRUE(wait_for_health("ok"));
  EXPECT_EQ(state(), "online");
}

// --- Volumes ---

TEST_F(MdsTest, AVolumeIsMadeListedAndFoundAgainAfterARestart) {
  start_mds();
  const auto made = create_volume("db", 10 * kGiB);
  ASSERT_TRUE(made.ok());
  EXPECT_EQ(made->size_bytes(), 10 * kGiB);
  EXPECT_EQ(made->chunk_bytes(), 16 * kMiB);
  EXPECT_EQ(made->segment_bytes(), kGiB);
  EXPECT_EQ(made->allocated_bytes(), 0u);
  EXPECT_EQ(made->pool(), "default");
  ASSERT_TRUE(create_volume("another", 4096).ok());
  restart_mds();
  EXPECT_EQ(stat_volume("db")->SerializeAsString(), made->SerializeAsString());
  const auto list =
      call<wire::ListVolumesReply>(wire::Method::kListVolumes, wire::ListVolumesRequest());
  ASSERT_EQ(list->volumes_size(), 2);
  EXPECT_EQ(list->volumes(0).name(), "another");
  EXPECT_EQ(list->volumes(1).name(), "db");
}

TEST_F(MdsTest, BadVolumeRequestsAreRefusedInWords) {
  options_.limits.volumes_max = 2;
  start_mds();
  ASSERT_TRUE(create_volume("taken", kGiB).ok());
  const auto refused = [&](const Result<wire::VolumeInfo>& reply, Errc code,
                           std::string_view words) {
    ASSERT_EQ(reply.code(), code);
    EXPECT_NE(reply.error().message().find(words), std::string::npos) << reply.error().message();
  };
  refused(create_volume("taken", kGiB), Errc::kAlreadyExists, "choose another name");
  refused(create_volume("a b", kGiB), Errc::kInvalidArgument, "letters, digits");
  refused(create_volume("/a", kGiB), Errc::kInvalidArgument, "a folder in the volume's name");
  refused(create_volume("a//b", kGiB), Errc::kInvalidArgument, "a folder in the volume's name");
  refused(create_volume("a/", kGiB), Errc::kInvalidArgument, "name is empty");
  refused(create_volume("a/.b", kGiB), Errc::kInvalidArgument, "begin with a letter");
  refused(create_volume(std::string(70, 'a') + "/" + std::string(70, 'b'), kGiB),
          Errc::kInvalidArgument, "at most 128");
  refused(create_volume("odd", 1000), Errc::kInvalidArgument, "multiple of 4096");
  refused(create_volume("huge", uint64_t{1} << 60), Errc::kInvalidArgument, "at most");
  wire::CreateVolumeRequest request;
  request.set_name("x");
  request.set_size_bytes(kGiB);
  request.set_pool("ssd");
  EXPECT_NE(call<wire::CreateVolumeReply>(wire::Method::kCreateVolume, request)
                .error()
                .message()
                .find("no pool 'ssd'"),
            std::string::npos);
  refused(stat_volume("missing"), Errc::kNotFound, "volume list");
  EXPECT_EQ(delete_volume("missing").code(), Errc::kNotFound);
  ASSERT_TRUE(create_volume("second", kGiB).ok());
  refused(create_volume("third", kGiB), Errc::kNoSpace, "volumes_max");
}

// --- Segments ---

TEST_F(MdsTest, ASegmentIsAllocatedOnceAndSpreadOverTheCopysets) {
  start_cluster();
  const uint64_t volume = create_volume("v", 5 * kGiB / 2)->id();
  EXPECT_EQ(get_segment(volume, 0, false).code(), Errc::kNotFound);
  const auto first = get_segment(volume, 0, true);
  ASSERT_TRUE(first.ok());
  ASSERT_EQ(first->chunks_size(), 64);
  std::map<uint64_t, int> chunks_of;
  for (const auto& chunk : first->chunks()) ++chunks_of[chunk.copyset()];
  ASSERT_EQ(chunks_of.size(), 12u);
  for (const auto& [copyset, chunks] : chunks_of) {
    EXPECT_GE(chunks, 5) << copyset;
    EXPECT_LE(chunks, 6) << copyset;
  }
  const std::string bytes = first->SerializeAsString();
  EXPECT_EQ(get_segment(volume, 0, true)->SerializeAsString(), bytes);
  EXPECT_EQ(get_segment(volume, 0, false)->SerializeAsString(), bytes);
  EXPECT_EQ(stat_volume("v")->allocated_bytes(), kGiB);
  ASSERT_TRUE(get_segment(volume, 2, true).ok());
  EXPECT_EQ(stat_volume("v")->allocated_bytes(), 3 * kGiB / 2) << "the last is half a segment";
  EXPECT_EQ(get_segment(volume, 3, true).code(), Errc::kInvalidArgument);
  EXPECT_EQ(get_segment(99, 0, true).code(), Errc::kNotFound);
  restart_mds();
  EXPECT_EQ(get_segment(volume, 0, false)->SerializeAsString(), bytes);
}

io::Task<void> ask(rpc::Client* client, io::Address mds, wire::GetSegmentRequest request,
                   std::vector<std::string>* answers) {
  auto answer = co_await client->call<wire::GetSegmentReply>(
      std::move(mds), wire::Method::kGetSegment, request, {}, 10s);
  answers->push_back(answer.ok() ? answer->message.SerializeAsString() : answer.error().describe());
}

TEST_F(MdsTest, WhoeverAsksForASegmentAtOnceGetsTheSameChunks) {
  store_.set_latency(mds_host_.env().clock, Rng(3), 5ms);
  start_cluster();
  const uint64_t volume = create_volume("v", 4 * kGiB)->id();
  std::vector<std::string> answers[2];
  for (int i = 0; i < 20; ++i) {
    for (uint64_t segment = 0; segment < 2; ++segment) {
      client_host_.spawn(ask(client_.get(), options_.listen, segment_request(volume, segment, true),
                             &answers[segment]));
    }
  }
  ASSERT_TRUE(
      world_.run_until([&] { return answers[0].size() == 20 && answers[1].size() == 20; }, 60s));
  EXPECT_EQ(std::set<std::string>(answers[0].begin(), answers[0].end()).size(), 1u);
  EXPECT_EQ(std::set<std::string>(answers[1].begin(), answers[1].end()).size(), 1u);
  EXPECT_NE(answers[0].front(), answers[1].front());
  EXPECT_EQ(stat_volume("v")->allocated_bytes(), 2 * kGiB);
}

TEST_F(MdsTest, WithoutAMajorityOrSpaceNothingIsAllocated) {
  start_mds();
  const uint64_t volume = create_volume("v", 4 * kGiB)->id();
  const auto early = get_segment(volume, 0, true);
  EXPECT_EQ(early.code(), Errc::kUnavailable);
  EXPECT_NE(early.error().message().find("no copysets yet"), std::string::npos);
  for (int i = 0; i < 3; ++i) add_chunkserver().start();
  ASSERT_TRUE(wait_for_health("ok"));

  for (auto& chunkserver : chunkservers_) chunkserver->used_bytes = 990 * kGiB;
  world_.run_for(3s);
  const auto full = get_segment(volume, 0, true);
  EXPECT_EQ(full.code(), Errc::kNoSpace);
  EXPECT_EQ(status().health(), "degraded");
  for (auto& chunkserver : chunkservers_) chunkserver->used_bytes = 0;
  world_.run_for(2s);
  chunkservers_[0]->crash();
  world_.run_for(40s);
  EXPECT_TRUE(get_segment(volume, 0, true).ok()) << "two of three are a majority";
  chunkservers_[1]->crash();
  world_.run_for(40s);
  EXPECT_EQ(get_segment(volume, 1, true).code(), Errc::kUnavailable);
  EXPECT_TRUE(get_segment(volume, 0, true).ok()) << "what is allocated is still told";
  EXPECT_EQ(count_keys(keys::kSegments), 1u);
}

TEST_F(MdsTest, CopysetsAreDescribedWithAddressesAndLeaders) {
  start_cluster();
  const auto all = get_copysets();
  ASSERT_EQ(all->copysets_size(), 12);
  for (const auto& copyset : all->copysets()) {
    ASSERT_EQ(copyset.members_size(), 3);
    EXPECT_EQ(copyset.leader_node(), copyset.members(0).node());
    for (const auto& member : copyset.members()) {
      EXPECT_EQ(member.address(), chunkservers_[member.node() - 1]->address().text);
    }
  }
  const auto two = get_copysets({all->copysets(5).copyset(), all->copysets(2).copyset()});
  ASSERT_EQ(two->copysets_size(), 2);
  EXPECT_EQ(two->copysets(0).copyset(), all->copysets(5).copyset());
  EXPECT_EQ(get_copysets({4711}).code(), Errc::kNotFound);
}

// --- Ends ---

TEST_F(MdsTest, StopEndsWhatIsUnderWay) {
  start_cluster();
  const uint64_t volume = create_volume("v", kGiB)->id();
  ASSERT_TRUE(get_segment(volume, 0, true).ok());
  for (auto& chunkserver : chunkservers_) chunkserver->crash();
  ASSERT_TRUE(delete_volume("v").ok());
  world_.run_for(500ms);  // the deletion calls servers that are gone
  world_.run(mds_host_, mds_->stop(), 10s);
  mds_.reset();
  EXPECT_EQ(mds_host_.process().executor().spawned_count(), 0u);
}

TEST_F(MdsTest, TheStoreOfAnotherClusterIsRefused) {
  start_mds();
  crash_mds();
  options_.cluster_name = "another";
  mds_host_.boot();
  mds_ = std::make_unique<Mds>(mds_host_.env(), store_, options_);
  const Status refused = world_.run(mds_host_, mds_->start());
  EXPECT_EQ(refused.code(), Errc::kInvalidArgument);
  EXPECT_NE(refused.error().message().find("belongs to cluster 'cairn'"), std::string::npos);
}

}  // namespace
}  // namespace cairn::mds
