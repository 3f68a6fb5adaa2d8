// Replicas that join a copyset later, are repaired, and leave, by RPCs and as the MDS asks for it.
#include "chunkserver/chunkserver_bench_test.h"

namespace cairn::chunkserver {
namespace {

class CopysetSetTest : public ChunkserverTest {
 protected:
  CopysetSetTest() {
    add_server(4);
    CHECK(world_.run_until([&] { return all_up(); }, 60s));
  }
  Server& fourth() { return *servers_[3]; }
  Status join(Server& server) {
    auto request = founding(kCopyset);
    request.set_joins(true);
    auto made = call<wire::CreateCopysetReply>(server, wire::Method::kCreateCopyset, request);
    return made.ok() ? Status(ok()) : Status(made.error());
  }
  Status remove(Server& server, uint64_t epoch) {
    wire::DeleteCopysetRequest request;
    request.set_copyset(kCopyset);
    request.set_epoch(epoch);
    auto gone = call<wire::DeleteCopysetReply>(server, wire::Method::kDeleteCopyset, request);
    return gone.ok() ? Status(ok()) : Status(gone.error());
  }
  Status add_member(uint64_t id) {
    Server& leads = leader();
    wire::HeartbeatReply reply;
    auto* peer = reply.add_peers();
    peer->set_node(id);
    peer->set_address(servers_[id - 1]->host().address(8200).text);
    mds_.senders[leads.id()].next = reply;
    world_.run_for(2s);
    return world_.run(leads.host(), leads.node()->add_member(NodeId(id)));
  }
  Status remove_member(uint64_t id) {
    Server& leads = leader();
    return world_.run(leads.host(), leads.node()->remove_member(NodeId(id)));
  }
  void fill() {
    for (uint64_t i = 0; i < 100; ++i) {
      ASSERT_TRUE(write(leader(), kChunk + i % 5, (i % 16) * kBlock, pattern(i, 1)).ok());
    }
  }
  uint64_t free_bytes(Server& server) {
    return world_.run(server.host(), server.host().disk().space()).value().free_bytes;
  }
  size_t copyset_files(Server& server) {
    return server.host().disk().names("copysets/" + std::to_string(kCopyset)).size();
  }
  std::vector<Server*> all() {
    std::vector<Server*> servers;
    for (auto& server : servers_) servers.push_back(server.get());
    return servers;
  }
};

TEST_F(CopysetSetTest, AReplicaThatJoinsIsBlankUntilTheLeaderAddsItAndThenHoldsTheSame) {
  create();
  fill();
  EXPECT_EQ(
      call<wire::CreateCopysetReply>(fourth(), wire::Method::kCreateCopyset, founding(kCopyset))
          .code(),
      Errc::kInvalidArgument)
      << "it is none of the founding members";
  ASSERT_TRUE(join(fourth()).ok());
  ASSERT_TRUE(join(fourth()).ok()) << "asked twice, it is done once";
  world_.run_for(5s);
  EXPECT_TRUE(fourth().node()->status().members.empty());
  ASSERT_TRUE(add_member(4).ok());
  EXPECT_TRUE(replicas_agree(all()));
}

TEST_F(CopysetSetTest, ARemovedReplicaWaitsThenItsFilesGoBackToThePool) {
  for (auto& server : servers_) {
    server->crash(sim::CrashKind::kKill);
    server->options().raft.removed_data_kept = 60s;
    server->start();
  }
  ASSERT_TRUE(world_.run_until([&] { return all_up(); }, 60s));
  create();
  fill();
  Server& gone = follower();
  ASSERT_TRUE(remove_member(gone.id()).ok());
  const uint64_t epoch = leader().node()->status().epoch.value();
  ASSERT_TRUE(remove(gone, epoch).ok());
  EXPECT_EQ(remove(gone, epoch).code(), Errc::kNotFound);
  EXPECT_EQ(read(gone, kChunk, 0, kBlock).code(), Errc::kNotFound);
  world_.run_for(30s);
  EXPECT_EQ(copyset_files(gone), 5u) << "somebody may want it back";
  // A restart neither brings it back nor forgets that it is to go.
  gone.crash(sim::CrashKind::kPowerLoss);
  gone.start();
  ASSERT_TRUE(world_.run_until([&] { return all_up(); }, 60s));
  EXPECT_EQ(gone.node(), nullptr);
  world_.run_for(30s);
  EXPECT_EQ(copyset_files(gone), 5u);
  const uint64_t free_before = free_bytes(gone);
  world_.run_for(40s);
  EXPECT_EQ(copyset_files(gone), 0u);
  EXPECT_GE(free_bytes(gone), free_before + 5 * kChunkBytes) << "the pool has enough files ready";
}

TEST_F(CopysetSetTest, AFullDiskDoesNotWaitForTheRecyclersTime) {
  for (auto& server : servers_) {
    server->crash(sim::CrashKind::kKill);
    server->options().pool.headroom_files = 8;  // more than are ready
    server->start();
  }
  ASSERT_TRUE(world_.run_until([&] { return all_up(); }, 60s));
  create();
  fill();
  Server& gone = follower();
  ASSERT_TRUE(remove_member(gone.id()).ok());
  ASSERT_TRUE(remove(gone, leader().node()->status().epoch.value()).ok());
  world_.run_for(10s);
  ASSERT_EQ(copyset_files(gone), 5u);
  gone.host().disk().set_capacity(16 * kMiB);
  world_.run_for(10s);
  EXPECT_EQ(copyset_files(gone), 0u);
}

TEST_F(CopysetSetTest, AReplicaWithANewerConfigurationIsNotTakenForAStray) {
  create();
  Server& leads = leader();
  const uint64_t epoch = leads.node()->status().epoch.value();
  EXPECT_EQ(remove(leads, epoch - 1).code(), Errc::kStaleEpoch);
  EXPECT_TRUE(write(leads, kChunk, 0, pattern(1, 1)).ok());
}

TEST_F(CopysetSetTest, TheMdsHasAStrayRemoved) {
  create();
  fill();
  Server& gone = follower();
  ASSERT_TRUE(remove_member(gone.id()).ok());
  wire::HeartbeatReply reply;
  auto* stray = reply.add_remove();
  stray->set_copyset(kCopyset);
  stray->set_epoch(leader().node()->status().epoch.value());
  mds_.senders[gone.id()].next = reply;
  EXPECT_TRUE(world_.run_until([&] { return !gone.node(); }, 5s));
  EXPECT_TRUE(write(leader(), kChunk, 0, pattern(1, 1)).ok());
}

TEST_F(CopysetSetTest, AReplicaThatHasJoinedLatelyIsNoStrayYet) {
  create();
  ASSERT_TRUE(join(fourth()).ok());
  wire::HeartbeatReply reply;
  auto* stray = reply.add_remove();
  stray->set_copyset(kCopyset);
  stray->set_epoch(100);
  mds_.senders[4].next = reply;
  world_.run_for(10s);
  EXPECT_NE(fourth().node(), nullptr) << "its leader may add it any moment";
  world_.run_for(60s);
  mds_.senders[4].next = reply;
  EXPECT_TRUE(world_.run_until([&] { return !fourth().node(); }, 5s));
}

TEST_F(CopysetSetTest, ARemovedReplicaThatJoinsAgainBeginsBlankInPlaceOfItsRemains) {
  create();
  fill();
  Server& gone = follower();
  ASSERT_TRUE(remove_member(gone.id()).ok());
  ASSERT_TRUE(remove(gone, leader().node()->status().epoch.value()).ok());
  ASSERT_TRUE(write(leader(), kChunk, 0, pattern(1000, 1)).ok());
  ASSERT_TRUE(join(gone).ok());
  EXPECT_TRUE(gone.node()->status().members.empty());
  ASSERT_TRUE(add_member(gone.id()).ok());
  servers_.pop_back();
  EXPECT_TRUE(replicas_agree());
}

TEST_F(CopysetSetTest, AReplicaThatIsOutOfServiceIsRepairedByRemovingAndJoining) {
  create();
  fill();
  Server& broken = follower();
  broken.crash(sim::CrashKind::kKill);
  for (const std::string& name : broken.host().disk().names("wal")) {
    for (uint64_t at = 64 * kKiB; at < 128 * kKiB; at += kBlockBytes) {
      (void)broken.host().disk().corrupt("wal/" + name, at + 100);
    }
  }
  broken.start();
  ASSERT_TRUE(world_.run_until([&] { return all_up(); }, 60s));
  ASSERT_EQ(broken->raft()->out_of_service().count(GroupId(kCopyset)), 1u);
  ASSERT_TRUE(remove_member(broken.id()).ok());
  ASSERT_TRUE(join(broken).ok());
  ASSERT_TRUE(add_member(broken.id()).ok());
  servers_.pop_back();
  EXPECT_TRUE(replicas_agree());
}

TEST_F(CopysetSetTest, RemovalWaitsForCallsThatAreUnderWay) {
  create();
  Server& leads = leader();
  cut_off(leads);
  struct Job {
    static io::Task<void> run(io::Task<Result<rpc::Answer<wire::WriteChunkReply>>> task,
                              Errc* code) {
      auto answer = co_await std::move(task);
      *code = answer.code();
    }
  };
  // A part of a block: it waits for a quorum, and would touch the node again afterwards.
  Errc codes[2] = {Errc::kOk, Errc::kOk};
  for (int i = 0; i < 2; ++i) {
    const uint32_t size = i == 0 ? kBlock : 100;
    client_host_.spawn(Job::run(
        client_->call<wire::WriteChunkReply>(leads.host().address(8200), wire::Method::kWriteChunk,
                                             write_request(kChunk, 0, size),
                                             {pattern(1, 1).slice(0, size)}, 5s),
        &codes[i]));
  }
  world_.run_for(10ms);
  ASSERT_TRUE(remove(leads, UINT64_MAX).ok());
  world_.run_for(1s);
  EXPECT_EQ(codes[0], Errc::kClosed);
  EXPECT_EQ(codes[1], Errc::kClosed);
}

}  // namespace
}  // namespace cairn::chunkserver
