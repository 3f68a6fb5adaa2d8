/// Pools, zones, servers and chunkservers as people set them, and what follows from it.
#include "mds/keys.h"
#include "mds/record.h"
#include "mds/schedule_test.h"

namespace cairn::mds {
namespace {

using testing::GroupedChunkserver;
using testing::ScheduleTest;
using wire::Method;

class TopologyTest : public ScheduleTest {
 protected:
  wire::ShowTopologyReply topology() {
    for (int attempt = 0; attempt < 3; ++attempt) {
      auto reply =
          call<wire::ShowTopologyReply>(Method::kShowTopology, wire::ShowTopologyRequest());
      if (reply.ok()) return *reply;
    }
    CHECK(false, "the MDS does not answer");
  }
  Status put_zone(const std::string& name, bool is_new, const std::string& physical_pool = {}) {
    wire::PutZoneRequest request;
    request.set_name(name);
    request.set_is_new(is_new);
    request.set_physical_pool(physical_pool);
    return status_of(call<wire::PutZoneReply>(Method::kPutZone, request));
  }
  Status put_server(const std::string& zone, const std::string& name) {
    wire::PutServerRequest request;
    request.set_zone(zone);
    request.set_name(name);
    return status_of(call<wire::PutServerReply>(Method::kPutServer, request));
  }
  static wire::PutPoolRequest pool_request(const std::string& name, bool is_new) {
    wire::PutPoolRequest request;
    request.set_name(name);
    request.set_is_new(is_new);
    return request;
  }
  Status put_pool(const wire::PutPoolRequest& request) {
    return status_of(call<wire::PutPoolReply>(Method::kPutPool, request));
  }
  static wire::SetChunkserversRequest service_request(wire::ServiceState service) {
    wire::SetChunkserversRequest request;
    request.set_sets_service(true);
    request.set_service(service);
    return request;
  }
  Status set(const wire::SetChunkserversRequest& request) {
    return status_of(call<wire::SetChunkserversReply>(Method::kSetChunkservers, request));
  }
  Status drain(uint64_t id) {
    auto request = service_request(wire::SERVICE_DRAINING);
    request.add_chunkservers(id);
    return set(request);
  }
  Status set_tags(uint64_t id, std::vector<std::string> tags) {
    wire::SetChunkserversRequest request;
    request.add_chunkservers(id);
    request.set_sets_tags(true);
    for (auto& tag : tags) request.add_tags(std::move(tag));
    return set(request);
  }
  Status remove_chunkserver(uint64_t id) {
    wire::RemoveChunkserverRequest request;
    request.set_id(id);
    return status_of(call<wire::RemoveChunkserverReply>(Method::kRemoveChunkserver, request));
  }
  template <class Reply>
  static Status status_of(const Result<Reply>& reply) {
    if (!reply.ok()) return reply.error();
    return ok();
  }
};

TEST_F(TopologyTest, ADrainedChunkserverIsEmptiedAndCanThenBeRemoved) {
  start_grouped(4);
  world_.run_for(20s);
  auto& leaving = grouped(1);
  const uint64_t id = leaving.id;
  EXPECT_EQ(remove_chunkserver(id).code(), Errc::kPreconditionFailed);
  ASSERT_TRUE(drain(id).ok());
  EXPECT_EQ(topology().chunkservers(1).service(), "draining");
  restart_mds();
  EXPECT_EQ(topology().chunkservers(1).service(), "draining") << "it is remembered";
  ASSERT_TRUE(wait_for([&] { return replicas()[id] == 0; }, 300s)) << describe_unfinished();
  ASSERT_TRUE(wait_until_whole());
  for (const auto& [copyset, group] : shared_.groups) {
    EXPECT_EQ(std::ranges::count(group.voters, id), 0);
  }
  world_.run_for(3s);  // a round
  bool is_told = false;
  const auto schedule = status().schedule();
  for (const auto& note : schedule.notes()) {
    is_told |= note.find("holds no replica and may be removed") != std::string::npos;
  }
  EXPECT_TRUE(is_told) << schedule.DebugString();
  restart_mds();
  EXPECT_EQ(remove_chunkserver(id).code(), Errc::kUnavailable) << "no leader was heard yet";
  world_.run_for(3s);
  ASSERT_TRUE(remove_chunkserver(id).ok());
  EXPECT_EQ(remove_chunkserver(id).code(), Errc::kNotFound);
  EXPECT_EQ(topology().chunkservers_size(), 3);
  const auto refused = call<wire::HeartbeatReply>(Method::kHeartbeat, leaving.heartbeat());
  EXPECT_EQ(refused.code(), Errc::kNotFound);
  restart_mds();
  EXPECT_EQ(topology().chunkservers_size(), 3);
}

// (Profile heal of the simulator, seed 627: its learner was left in a copyset that nobody could
// report any more.)
TEST_F(TopologyTest, AChunkserverThatIsBeingFilledIsNotRemoved) {
  start_grouped(4);
  world_.run_for(20s);
  shared_.beats_per_copy = 1000;
  auto& filled = add_grouped();
  filled.start();
  ASSERT_TRUE(world_.run_until([&] { return count_keys(keys::kOperators) > 0; }, 60s));
  world_.run_for(3s);  // the copy begins
  restart_mds();
  ASSERT_TRUE(drain(filled.id).ok());
  EXPECT_EQ(remove_chunkserver(filled.id).code(), Errc::kPreconditionFailed) << "nothing was heard";
  world_.run_for(5s);
  EXPECT_EQ(remove_chunkserver(filled.id).code(), Errc::kPreconditionFailed);
}

TEST_F(TopologyTest, DrainingIsTakenBack) {
  start_grouped(4);
  world_.run_for(20s);
  shared_.obeys = false;
  ASSERT_TRUE(drain(grouped(0).id).ok());
  ASSERT_TRUE(world_.run_until([&] { return count_keys(keys::kOperators) > 0; }, 60s));
  auto request = service_request(wire::SERVICE_READ_WRITE);
  request.add_chunkservers(grouped(0).id);
  ASSERT_TRUE(set(request).ok());
  ASSERT_TRUE(set(request).ok()) << "asking twice does no harm";
  shared_.obeys = true;
  ASSERT_TRUE(wait_until_whole()) << describe_unfinished();
  EXPECT_EQ(shared_.copies_done, 0u);
}

TEST_F(TopologyTest, AZoneIsDrainedAsAWhole) {
  options_.pool.chunkservers_min = 6;
  start_mds();
  for (int i = 0; i < 8; ++i) add_grouped("z" + std::to_string(i % 4)).start();
  ASSERT_TRUE(wait_for_health("ok")) << status().DebugString();
  auto request = service_request(wire::SERVICE_DRAINING);
  request.set_zone("z2");
  const auto reply = call<wire::SetChunkserversReply>(Method::kSetChunkservers, request);
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(reply->changed_count(), 2u);
  ASSERT_TRUE(wait_for(
      [&] { return replicas()[grouped(2).id] == 0 && replicas()[grouped(6).id] == 0; }, 600s))
      << describe_unfinished();
  request.set_zone("nowhere");
  EXPECT_EQ(set(request).code(), Errc::kNotFound);
}

TEST_F(TopologyTest, ZonesAndServersAreDeclaredShownAndRemoved) {
  start_grouped(3);
  ASSERT_TRUE(put_zone("attic", true).ok());
  EXPECT_EQ(put_zone("attic", true).code(), Errc::kAlreadyExists);
  EXPECT_EQ(put_zone("cellar", false).code(), Errc::kNotFound);
  EXPECT_EQ(put_zone("a zone", true).code(), Errc::kInvalidArgument);
  EXPECT_EQ(put_server("cellar", "s1").code(), Errc::kNotFound);
  ASSERT_TRUE(put_server("attic", "s1").ok());
  EXPECT_EQ(put_server("attic", "s1").code(), Errc::kAlreadyExists);
  EXPECT_TRUE(put_zone("z0", false).ok()) << "a zone that a chunkserver named can be declared";
  restart_mds();
  const auto shown = topology();
  ASSERT_EQ(shown.zones_size(), 4);
  EXPECT_EQ(shown.zones(0).name(), "attic");
  EXPECT_EQ(shown.zones(0).physical_pool(), "default");
  EXPECT_EQ(shown.zones(0).servers_count(), 1u);
  EXPECT_EQ(shown.zones(0).chunkservers_count(), 0u);
  EXPECT_EQ(shown.zones(1).chunkservers_count(), 1u);
  EXPECT_EQ(shown.zones(1).capacity_bytes(), 1000 * kGiB);
  EXPECT_EQ(shown.servers_size(), 4);

  wire::RemoveZoneRequest zone;
  zone.set_name("attic");
  EXPECT_EQ(call<wire::RemoveZoneReply>(Method::kRemoveZone, zone).code(),
            Errc::kPreconditionFailed);
  wire::RemoveServerRequest server;
  server.set_zone("attic");
  server.set_name("s1");
  EXPECT_TRUE(call<wire::RemoveServerReply>(Method::kRemoveServer, server).ok());
  EXPECT_EQ(call<wire::RemoveServerReply>(Method::kRemoveServer, server).code(), Errc::kNotFound);
  EXPECT_TRUE(call<wire::RemoveZoneReply>(Method::kRemoveZone, zone).ok());
  EXPECT_EQ(call<wire::RemoveZoneReply>(Method::kRemoveZone, zone).code(), Errc::kNotFound);
  zone.set_name("z1");
  EXPECT_EQ(call<wire::RemoveZoneReply>(Method::kRemoveZone, zone).code(),
            Errc::kPreconditionFailed);
}

TEST_F(TopologyTest, AnotherPoolTakesTheChunkserversThatBearItsTags) {
  start_grouped(3);
  auto request = pool_request("fast", true);
  request.set_sets_tags(true);
  request.add_tags("ssd");
  request.set_copysets_per_chunkserver(6);
  ASSERT_TRUE(put_pool(request).ok());
  EXPECT_EQ(put_pool(request).code(), Errc::kAlreadyExists);
  EXPECT_EQ(put_pool(pool_request("slow", false)).code(), Errc::kNotFound);
  request = pool_request("bad", true);
  request.set_replicas_count(9);
  EXPECT_EQ(put_pool(request).code(), Errc::kInvalidArgument);

  EXPECT_EQ(status().health(), "degraded") << "the pool waits for its chunkservers";
  for (int i = 0; i < 3; ++i) {
    add_grouped("s" + std::to_string(i)).start();
  }
  const auto is_registered = [&] {
    return grouped(3).id != 0 && grouped(4).id != 0 && grouped(5).id != 0;
  };
  ASSERT_TRUE(world_.run_until(is_registered, 10s));
  for (size_t i = 3; i < 6; ++i) ASSERT_TRUE(set_tags(grouped(i).id, {"ssd", "new"}).ok());
  ASSERT_TRUE(wait_for_health("ok", 60s)) << status().DebugString();
  const auto shown = topology();
  ASSERT_EQ(shown.pools_size(), 2);
  EXPECT_EQ(shown.pools(1).name(), "fast");
  EXPECT_EQ(shown.pools(1).chunkservers_count(), 3u);
  EXPECT_EQ(shown.pools(1).copysets_count(), 6u);

  // Its volumes lie there and nowhere else.
  wire::CreateVolumeRequest volume;
  volume.set_name("v");
  volume.set_size_bytes(kGiB);
  volume.set_pool("fast");
  const auto made = call<wire::CreateVolumeReply>(Method::kCreateVolume, volume);
  ASSERT_TRUE(made.ok());
  EXPECT_EQ(made->volume().pool(), "fast");
  const auto segment = get_segment(made->volume().id(), 0, true);
  ASSERT_TRUE(segment.ok());
  std::vector<uint64_t> used;
  for (const auto& chunk : segment->chunks()) used.push_back(chunk.copyset());
  const auto copysets = get_copysets(used);
  ASSERT_TRUE(copysets.ok());
  for (const auto& copyset : copysets->copysets()) {
    for (const auto& member : copyset.members()) EXPECT_GT(member.node(), 3u);
  }

  EXPECT_EQ(set_tags(grouped(4).id, {"new"}).code(), Errc::kPreconditionFailed);
  request = pool_request("fast", false);
  request.set_copysets_per_chunkserver(7);
  EXPECT_EQ(put_pool(request).code(), Errc::kPreconditionFailed);
  wire::RemovePoolRequest remove;
  remove.set_name("fast");
  EXPECT_EQ(call<wire::RemovePoolReply>(Method::kRemovePool, remove).code(),
            Errc::kPreconditionFailed);
  remove.set_name("default");
  EXPECT_EQ(call<wire::RemovePoolReply>(Method::kRemovePool, remove).code(),
            Errc::kPreconditionFailed);
  restart_mds();
  ASSERT_TRUE(wait_for_health("ok", 60s)) << status().DebugString();
  EXPECT_EQ(topology().pools(1).copysets_count(), 6u);
}

TEST_F(TopologyTest, APoolWithoutCopysetsIsRemoved) {
  start_grouped(3);
  auto request = pool_request("later", true);
  request.set_physical_pool("elsewhere");
  ASSERT_TRUE(put_pool(request).ok());
  wire::RemovePoolRequest remove;
  remove.set_name("later");
  ASSERT_TRUE(call<wire::RemovePoolReply>(Method::kRemovePool, remove).ok());
  EXPECT_EQ(call<wire::RemovePoolReply>(Method::kRemovePool, remove).code(), Errc::kNotFound);
  EXPECT_EQ(topology().pools_size(), 1);
  ASSERT_TRUE(wait_for_health("ok"));
  ASSERT_TRUE(put_pool(request).ok()) << "the name is free";
}

TEST_F(TopologyTest, ReplicasStayInThePhysicalPoolOfTheirZone) {
  start_grouped(3);
  EXPECT_EQ(put_zone("z0", false, "other").code(), Errc::kPreconditionFailed);
  ASSERT_TRUE(put_zone("far", true, "other").ok());
  add_grouped("far").start();
  world_.run_for(30s);
  EXPECT_EQ(replicas()[grouped(3).id], 0u) << "it is in no pool";
  EXPECT_EQ(topology().pools(0).chunkservers_count(), 3u);
  ASSERT_TRUE(put_zone("far", false, "default").ok());
  ASSERT_TRUE(wait_for([&] { return replicas()[grouped(3).id] > 0; }, 300s));
}

TEST_F(TopologyTest, RecordsOfAnEarlierVersionHaveDefaults) {
  start_grouped(3);
  crash_mds();
  // As they were before there were zones, tags and services: none of the new fields is there.
  for (const auto& [key, value] : store_.content()) {
    if (!key.starts_with(keys::kChunkservers)) continue;
    const auto record = decode_record<wire::ChunkserverRecord>(key, value);
    ASSERT_TRUE(record.ok());
    EXPECT_EQ(record->service(), wire::SERVICE_READ_WRITE);
    EXPECT_EQ(record->tags_size(), 0);
  }
  EXPECT_EQ(count_keys(keys::kZones), 0u);
  start_mds();
  const auto shown = topology();
  EXPECT_EQ(shown.zones_size(), 3);
  EXPECT_EQ(shown.pools(0).physical_pool(), "default");
  EXPECT_EQ(shown.chunkservers(0).service(), "read-write");
}

TEST_F(TopologyTest, NoSegmentGoesToAFullOrADrainingDisk) {
  options_.pool.copysets_per_chunkserver = 30;
  start_grouped(6);
  world_.run_for(20s);
  shared_.obeys = false;  // what drains keeps its replicas for a while
  grouped(0).used_bytes = 990 * kGiB;
  ASSERT_TRUE(drain(grouped(1).id).ok());
  world_.run_for(3s);
  const uint64_t volume = create_volume("v", 8 * kGiB)->id();
  std::set<uint64_t> used;
  for (uint64_t index = 0; index < 8; ++index) {
    const auto segment = get_segment(volume, index, true);
    ASSERT_TRUE(segment.ok()) << segment.error().describe();
    for (const auto& chunk : segment->chunks()) used.insert(chunk.copyset());
  }
  const auto copysets = get_copysets(std::vector<uint64_t>(used.begin(), used.end()));
  ASSERT_TRUE(copysets.ok());
  for (const auto& copyset : copysets->copysets()) {
    for (const auto& member : copyset.members()) {
      EXPECT_NE(member.node(), grouped(0).id) << "it is full";
      EXPECT_NE(member.node(), grouped(1).id) << "it is drained";
    }
  }
}

}  // namespace
}  // namespace cairn::mds
