// Scans by the leader: replicas compared at one place of the log, and mended.
#include "chunkserver/chunkserver_bench_test.h"
#include "wire/scan.pb.h"

namespace cairn::chunkserver {
namespace {

class ScanTest : public ChunkserverTest {
 protected:
  Result<wire::ScanStatus> scan() {
    wire::StartScanRequest request;
    request.set_copyset(kCopyset);
    auto started = call<wire::StartScanReply>(leader(), wire::Method::kStartScan, request);
    if (!started) return started.error();
    for (int i = 0; i < 300; ++i) {
      world_.run_for(100ms);
      auto answer = call<wire::ScanStatusReply>(leader(), wire::Method::kScanStatus,
                                                wire::ScanStatusRequest());
      if (!answer) return answer.error();
      for (const auto& status : answer->message.scans()) {
        if (status.finished_at_ns() != 0 && !status.is_waiting()) return status;
      }
    }
    return error(Errc::kTimeout, "the scan did not end");
  }
  /// Behind the log's back.
  void change(Server& server, uint64_t chunk, uint32_t block, uint64_t stamp) {
    ASSERT_TRUE(world_
                    .run(server.host(), server->store().write(CopysetId(kCopyset), ChunkId(chunk),
                                                              block * kBlock, pattern(stamp, 1)))
                    .ok());
  }
};

TEST_F(ScanTest, SoundReplicasAreFoundSound) {
  create();
  for (uint64_t i = 0; i < 4; ++i) ASSERT_TRUE(write(leader(), kChunk + i, 0, pattern(i, 9)).ok());
  const auto found = scan();
  ASSERT_TRUE(found.ok()) << found.error().describe();
  EXPECT_EQ(found->chunks_done_count(), 4u);
  EXPECT_EQ(found->rotten_blocks_count() + found->differing_blocks_count(), 0u);
  EXPECT_EQ(found->absent_replicas_count(), 0u);
}

TEST_F(ScanTest, RottenBlocksOfAnyReplicaAreMended) {
  create();
  ASSERT_TRUE(write(leader(), kChunk, 0, pattern(1, 16)).ok());
  EXPECT_TRUE(replicas_agree());
  for (size_t i = 0; i < 3; ++i) rot(*servers_[i], kChunk, 2 * i);
  const auto found = scan();
  ASSERT_TRUE(found.ok()) << found.error().describe();
  EXPECT_EQ(found->rotten_blocks_count(), 3u);
  EXPECT_EQ(found->undecided_blocks_count(), 0u);
  EXPECT_TRUE(replicas_agree());
  EXPECT_EQ(scan()->rotten_blocks_count(), 0u);
  EXPECT_TRUE(reads(leader(), kChunk, 0, pattern(1, 16)));
}

TEST_F(ScanTest, AReplicaThatDiffersIsMendedFromTheMajorityTheLeaderToo) {
  create();
  ASSERT_TRUE(write(leader(), kChunk, 0, pattern(1, 16)).ok());
  EXPECT_TRUE(replicas_agree());
  change(follower(), kChunk, 3, 99);
  change(leader(), kChunk, 7, 98);
  const auto found = scan();
  ASSERT_TRUE(found.ok()) << found.error().describe();
  EXPECT_EQ(found->differing_blocks_count(), 2u);
  EXPECT_TRUE(replicas_agree());
  EXPECT_TRUE(reads(leader(), kChunk, 0, pattern(1, 16)));
}

TEST_F(ScanTest, WritesDuringAScanAreNoDifferences) {
  create();
  for (uint64_t i = 0; i < 4; ++i) ASSERT_TRUE(write(leader(), kChunk + i, 0, pattern(i, 9)).ok());
  change(follower(), kChunk + 2, 8, 99);
  wire::StartScanRequest request;
  ASSERT_TRUE(call<wire::StartScanReply>(leader(), wire::Method::kStartScan, request).ok());
  for (uint64_t i = 0; i < 300; ++i) {
    const auto block = static_cast<uint32_t>(i % 8);
    ASSERT_TRUE(write(leader(), kChunk + i % 4, block * kBlock, pattern(i, 1)).ok());
  }
  const auto found = scan();
  ASSERT_TRUE(found.ok()) << found.error().describe();
  auto& metrics = leader().host().env().metrics;
  EXPECT_EQ(metrics.counter("cairn_chunkserver_scan_differing_blocks_total", "").value(), 1u);
  EXPECT_TRUE(replicas_agree());
}

TEST_F(ScanTest, AReplicaThatIsAwayIsLeftOutAndOthersAreNotBlamed) {
  create();
  ASSERT_TRUE(write(leader(), kChunk, 0, pattern(1, 16)).ok());
  Server& away = follower();
  away.crash(sim::CrashKind::kKill);
  ASSERT_TRUE(write(leader(), kChunk, 0, pattern(2, 16)).ok());
  const auto found = scan();
  ASSERT_TRUE(found.ok()) << found.error().describe();
  EXPECT_EQ(found->absent_replicas_count(), 1u);
  EXPECT_EQ(found->differing_blocks_count() + found->undecided_blocks_count(), 0u);
}

TEST_F(ScanTest, CopysetsAreScannedByThemselvesWhenTheyAreDue) {
  for (auto& server : servers_) {
    server->options().scan_interval = 64s;
    server->crash(sim::CrashKind::kKill);
    server->start();
  }
  ASSERT_TRUE(world_.run_until([&] { return all_up(); }, 60s));
  create();
  ASSERT_TRUE(write(leader(), kChunk, 0, pattern(1, 16)).ok());
  EXPECT_TRUE(replicas_agree());
  rot(follower(), kChunk, 1);
  world_.run_for(100s);
  EXPECT_TRUE(replicas_agree());
}

}  // namespace
}  // namespace cairn::chunkserver
