// Stops, and disks that are full, slow, dead or silent: what clients and the MDS see of them.
#include "chunkserver/chunkserver_bench_test.h"

namespace cairn::chunkserver {
namespace {

class ChunkserverFaults : public ChunkserverTest {
 protected:
  bool mds_knows_dead(Server& server, Duration limit) {
    return world_.run_until([&] { return mds_.senders[server.id()].last.disk_failed(); }, limit);
  }
  Status remove_chunk(uint64_t chunk) {
    wire::DeleteChunkRequest request;
    request.mutable_target()->set_copyset(kCopyset);
    request.mutable_target()->set_chunk(chunk);
    auto answer = call<wire::DeleteChunkReply>(leader(), wire::Method::kDeleteChunk, request);
    if (!answer.ok()) return answer.error();
    return answer->message.has_redirect() ? Status(error(Errc::kNotLeader, "redirected")) : ok();
  }
  /// Writes for so long, a hundred a second; returns when `leads` no longer leads, if it does.
  std::optional<Duration> write_until_moved(Server& leads, Duration limit) {
    const Instant began = world_.now();
    for (uint64_t i = 0; world_.now() - began < limit; ++i) {
      if (leads.node() && !leads.node()->is_leader()) return world_.now() - began;
      (void)write(leads, kChunk, (i % 16) * kBlock, pattern(i, 1));
      world_.run_for(10ms);
    }
    return std::nullopt;
  }
};

// ---- stops

TEST_F(ChunkserverFaults, AStopHandsLeadershipsOverFirstAndIsSwift) {
  for (uint64_t copyset = kCopyset; copyset < kCopyset + 30; ++copyset) create(copyset);
  Server& leads = leader();
  ASSERT_TRUE(write(leads, kChunk, 0, pattern(1, 1)).ok());
  world_.run_for(3s);
  std::vector<GroupId> led;
  for (const auto& [group, node] : leads->raft()->nodes()) {
    if (node->is_leader()) led.push_back(group);
  }
  ASSERT_FALSE(led.empty());
  const Instant began = world_.now();
  world_.run(leads.host(), leads->stop(), 10s);
  EXPECT_LT(world_.now() - began, 3s);
  // Not after an election timeout: they lead when the stop has ended.
  for (GroupId group : led) {
    const auto leads_there = [&](auto& server) {
      return server.get() != &leads && (*server)->raft()->find(group)->is_ready_leader();
    };
    EXPECT_TRUE(std::ranges::any_of(servers_, leads_there)) << to_string(group);
  }
  leads.crash(sim::CrashKind::kKill);
  EXPECT_TRUE(write(leader(), kChunk, 0, pattern(2, 1)).ok());
  const Instant restarted = world_.now();
  leads.start();
  ASSERT_TRUE(world_.run_until([&] { return all_up(); }, 10s));
  EXPECT_LT(world_.now() - restarted, 5s);
  EXPECT_TRUE(replicas_agree());
}

TEST_F(ChunkserverFaults, AStopThatNobodyTakesOverFromEndsAsWell) {
  create();
  Server& leads = leader();
  for (auto& server : servers_) {
    if (server.get() != &leads) server->crash(sim::CrashKind::kKill);
  }
  const Instant began = world_.now();
  world_.run(leads.host(), leads->stop(), 10s);
  EXPECT_LT(world_.now() - began, 8s);
}

}  // namespace
}  // namespace cairn::chunkserver
