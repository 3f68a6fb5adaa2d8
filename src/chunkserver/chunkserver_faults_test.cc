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

// ---- copies of a data directory

TEST_F(ChunkserverFaults, AStartAtAnotherAddressWaitsUntilTheMdsLetsItIn) {
  Server& moved = *servers_[0];
  const auto refusal = error(Errc::kAlreadyExists, "the original serves elsewhere");
  mds_.senders[moved.id()].refusal = refusal;
  moved.crash(sim::CrashKind::kKill);
  moved.options().listen = moved.host().address(8300);
  moved.start();
  world_.run_for(5s);
  EXPECT_FALSE(moved.started.has_value());
  EXPECT_EQ(moved->raft(), nullptr) << "it takes part in its groups";

  mds_.senders[moved.id()].refusal.reset();
  ASSERT_TRUE(world_.run_until([&] { return moved.is_up(); }, 5s));
  EXPECT_EQ(mds_.senders[moved.id()].registered_at, moved.host().address(8300).text);
  // From now on that is its address, with or without the MDS.
  moved.crash(sim::CrashKind::kPowerLoss);
  mds_.senders[moved.id()].refusal = refusal;
  moved.start();
  EXPECT_TRUE(world_.run_until([&] { return moved.is_up(); }, 1s));
}

TEST_F(ChunkserverFaults, AChunkserverWhoseDiskServesElsewhereLeavesItsGroups) {
  create();
  Server& displaced = leader();
  mds_.senders[displaced.id()].refusal = error(Errc::kAlreadyExists, "the original is elsewhere");
  ASSERT_TRUE(world_.run_until([&] { return !displaced->health().ok(); }, 5s));
  EXPECT_FALSE(displaced.node()->is_leader());
  ASSERT_TRUE(world_.run_until(
      [&] {
        return std::ranges::any_of(servers_, [&](auto& server) {
          return server.get() != &displaced && server->node()->is_ready_leader();
        });
      },
      5s));
  // Nor does a restart bring it back.
  displaced.crash(sim::CrashKind::kKill);
  displaced.start();
  world_.run_for(5s);
  EXPECT_FALSE(displaced.started.has_value());
}

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

// ---- slow disks

TEST_F(ChunkserverFaults, ALeaderWithASlowDiskHandsOverWithinFiveSeconds) {
  create();
  Server& slow = leader();
  ASSERT_TRUE(write(slow, kChunk, 0, pattern(1, 1)).ok());
  EXPECT_FALSE(write_until_moved(slow, 6s)) << "it is as fast as the others";
  slow.host().disk().set_slowness(1500);  // a flush takes more than 100 ms
  const auto moved = write_until_moved(slow, 10s);
  ASSERT_TRUE(moved);
  EXPECT_LT(*moved, 5s);
  slow.host().disk().set_slowness(1);
  EXPECT_TRUE(replicas_agree());
}

TEST_F(ChunkserverFaults, WhereAllDisksAreSlowNobodyHandsOver) {
  create();
  Server& leads = leader();
  ASSERT_TRUE(write(leads, kChunk, 0, pattern(1, 1)).ok());
  for (auto& server : servers_) server->host().disk().set_slowness(1500);
  EXPECT_FALSE(write_until_moved(leads, 10s));
}

TEST_F(ChunkserverFaults, ASlowFollowerLeavesTheLeaderInPlace) {
  create();
  Server& leads = leader();
  follower().host().disk().set_slowness(1500);
  EXPECT_FALSE(write_until_moved(leads, 10s));
}

TEST_F(ChunkserverFaults, TheMdsIsToldWhatAWriteTakes) {
  create();
  Server& slow = follower();
  const auto told = [&] { return mds_.senders[slow.id()].last.disk_write_us(); };
  ASSERT_TRUE(world_.run_until([&] { return told() > 0; }, 15s));
  const uint32_t before = told();
  EXPECT_LT(before, 10'000u);
  slow.host().disk().set_slowness(1500);
  EXPECT_TRUE(world_.run_until([&] { return told() > 40'000; }, 15s)) << told();
  slow.host().disk().set_slowness(1);
  EXPECT_TRUE(world_.run_until([&] { return told() <= 2 * before; }, 15s)) << told();
}

TEST(SlowDiskJudge, ASpellThatPassesIsNoVerdict) {
  SlowDiskJudge judge({});
  Instant now{};
  for (int i = 0; i < 200; ++i) {
    now += 50ms;
    judge.note(now, i % 100 < 15);  // three quarters of a second in five
    EXPECT_FALSE(judge.is_slow()) << i;
  }
  for (int i = 0; i < 60; ++i) judge.note(now += 50ms, true);
  EXPECT_TRUE(judge.is_slow());
  judge.reset();
  EXPECT_FALSE(judge.is_slow());
}

TEST(SlowDiskJudge, AFewSamplesProveNothing) {
  SlowDiskJudge judge({});
  Instant now{};
  for (int i = 0; i < 20; ++i) judge.note(now += 1s, true);
  EXPECT_FALSE(judge.is_slow()) << "five in the window";
}

// ---- dead disks

TEST_F(ChunkserverFaults, TheMdsIsToldOfAWriteErrorAtOnceAndTheGroupsStepDown) {
  create();
  Server& dead = leader();
  world_.run_for(3s);
  dead.host().disk().set_error_rate(sim::DiskOperation::kWrite, 1.0);
  dead.host().disk().set_error_rate(sim::DiskOperation::kSync, 1.0);
  EXPECT_FALSE(write(dead, kChunk, 0, pattern(1, 1)).ok());
  EXPECT_TRUE(mds_knows_dead(dead, 500ms)) << "the interval is a second";
  EXPECT_FALSE(mds_.report(dead.id(), kCopyset)->error().empty());
  EXPECT_FALSE(mds_.report(dead.id(), kCopyset)->is_leader());
  EXPECT_NE(&leader(), &dead);
}

TEST_F(ChunkserverFaults, ADiskThatHangsIsFoundThoughNobodyWrites) {
  create();
  Server& dead = leader();
  ASSERT_TRUE(write(dead, kChunk, 0, pattern(1, 1)).ok());
  world_.run_for(3s);
  dead.host().disk().set_hung(true);
  EXPECT_TRUE(mds_knows_dead(dead, 10s));
  Server& next = leader();
  ASSERT_NE(&next, &dead);
  EXPECT_TRUE(reads(next, kChunk, 0, pattern(1, 1)));
}

TEST_F(ChunkserverFaults, APausedProcessIsNotTakenForAHungDisk) {
  create();
  Server& paused = leader();
  world_.run_for(1s);
  paused.host().pause();
  world_.run_for(60s);
  paused.host().resume();
  world_.run_for(10s);
  EXPECT_FALSE(paused->raft()->disk_error());
}

// ---- full disks

TEST_F(ChunkserverFaults, AFullDiskRefusesNewChunksStillDeletesAndRecovers) {
  create();
  ASSERT_TRUE(write(leader(), kChunk, 0, pattern(1, 1)).ok());
  for (auto& server : servers_) server->host().disk().set_capacity(16 * kMiB);
  Status last = ok();
  uint64_t made = 1;
  for (; made < 100 && last.ok(); ++made) {
    world_.run_for(1100ms);
    last = write(leader(), kChunk + made, 0, pattern(made, 1));
  }
  ASSERT_EQ(last.code(), Errc::kNoSpace);
  EXPECT_NE(last.error().message().find("nothing was written"), std::string::npos);
  EXPECT_TRUE(remove_chunk(kChunk + 1).ok()) << "deletes are what makes room";
  EXPECT_TRUE(reads(leader(), kChunk, 0, pattern(1, 1)));
  for (auto& server : servers_) server->host().disk().set_capacity(kGiB);
  world_.run_for(3s);
  EXPECT_TRUE(write(leader(), kChunk + 1000, 0, pattern(1000, 1)).ok());
  EXPECT_TRUE(replicas_agree());
}

}  // namespace
}  // namespace cairn::chunkserver
