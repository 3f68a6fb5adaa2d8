/// Judgements about a state: liveness, leaders, health.
#include "mds/cluster_state.h"

#include <gtest/gtest.h>

namespace cairn::mds {
namespace {

constexpr Instant kStart{1000s};

/// Three chunkservers that were just heard, and two copysets that all of them have and lead.
class HealthTest : public testing::Test {
 protected:
  HealthTest() {
    wire::PoolRecord pool;
    pool.set_id(1);
    pool.set_replicas_count(3);
    pool.set_copysets_planned(true);
    pool.set_chunkservers_min(3);
    state_.set_pool(std::move(pool));
    for (uint64_t id = 1; id <= 3; ++id) {
      Chunkserver& chunkserver = state_.chunkservers[ChunkserverId(id)];
      chunkserver.record.set_id(id);
      chunkserver.record.set_address("10.0.0." + std::to_string(id) + ":1");
      chunkserver.record.set_capacity_bytes(1000 * kGiB);
      chunkserver.heard_at = kStart;
      state_.place(chunkserver, Liveness::kOnline, kStart);
    }
    for (uint64_t id = 1; id <= 2; ++id) {
      wire::CopysetRecord record;
      record.set_id(id);
      record.set_pool(1);
      for (uint64_t member = 1; member <= 3; ++member) {
        record.add_members(member);
        record.add_created_by(member);
      }
      state_.set_copyset(record);
      lead(id, 1);
    }
    state_.check_invariants();
  }
  void lead(uint64_t copyset, uint64_t chunkserver, Instant at = kStart) {
    const ChunkserverId members[] = {ChunkserverId(1), ChunkserverId(2), ChunkserverId(3)};
    state_.placed.apply_report({.copyset = CopysetId(copyset),
                                .epoch = Epoch(++epoch_),
                                .leader = ChunkserverId(chunkserver),
                                .voters = members},
                               planners_ms(at));
  }
  void depose(uint64_t copyset) {
    state_.placed.step_down(CopysetId(copyset), state_.leader_of(CopysetId(copyset)), Epoch(epoch_),
                            planners_ms(kStart));
  }
  Chunkserver& chunkserver(uint64_t id) { return state_.chunkservers.at(ChunkserverId(id)); }
  HealthReport assess_at(Instant now) { return assess(state_, kStart, now, options_); }
  static bool mentions(const HealthReport& report, std::string_view words) {
    for (const auto& problem : report.problems) {
      if (problem.find(words) != std::string::npos) return true;
    }
    return false;
  }

  Options options_;
  ClusterState state_;
  uint64_t epoch_ = 0;
};

TEST_F(HealthTest, IsOkWhenAllIsHeardAndLed) {
  const auto report = assess_at(kStart + 2s);
  EXPECT_EQ(report.health, Health::kOk);
  EXPECT_TRUE(report.problems.empty());
}

TEST_F(HealthTest, ASilentChunkserverDegradesLongBeforeItCountsAsUnstable) {
  const Instant now = kStart + 8s;
  chunkserver(1).heard_at = chunkserver(2).heard_at = now;
  const auto report = assess_at(now);
  EXPECT_EQ(report.health, Health::kDegraded);
  EXPECT_TRUE(mentions(report, "chunkserver 3 (10.0.0.3:1) is online and has sent no heartbeat"));
}

TEST_F(HealthTest, OneReplicaAwayIsDegradedAndTwoAreUnavailable) {
  const Instant now = kStart + 100s;
  chunkserver(1).heard_at = chunkserver(2).heard_at = now;
  lead(1, 1, now);
  lead(2, 2, now);
  auto report = assess_at(now);
  EXPECT_EQ(report.health, Health::kDegraded);
  EXPECT_TRUE(mentions(report, "2 of 2 copysets have a replica that is not online"));

  chunkserver(2).heard_at = kStart;
  report = assess_at(now);
  EXPECT_EQ(report.health, Health::kUnavailable);
  EXPECT_NE(report.problems.front().find("no majority"), std::string::npos) << "the worst first";
}

TEST_F(HealthTest, AFailedDiskCountsAsAMissingReplica) {
  chunkserver(2).is_disk_failed = true;
  chunkserver(2).disk_error = "read of block 7: input/output error";
  const auto report = assess_at(kStart);
  EXPECT_EQ(report.health, Health::kDegraded);
  EXPECT_TRUE(mentions(report, "input/output error"));
}

TEST_F(HealthTest, ACopysetWithoutALeaderIsUnavailable) {
  depose(2);
  auto report = assess_at(kStart);
  EXPECT_EQ(report.health, Health::kUnavailable);
  EXPECT_EQ(report.copysets_without_leader_count, 1u);
  // A leader that stopped saying so is none.
  lead(2, 1, kStart);
  const Instant later = kStart + 12s;
  for (uint64_t id = 1; id <= 3; ++id) chunkserver(id).heard_at = later;
  EXPECT_EQ(assess_at(later).copysets_without_leader_count, 2u);
}

TEST_F(HealthTest, AFullDiskAndAMissingReplicaAreNamed) {
  chunkserver(3).used_bytes = 990 * kGiB;
  chunkserver(2).copysets_missing = {{CopysetId(1), kStart}, {CopysetId(2), kStart}};
  const auto report = assess_at(kStart);
  EXPECT_EQ(report.health, Health::kDegraded);
  EXPECT_TRUE(mentions(report, "chunkserver 3 (10.0.0.3:1) is full (10240 MiB free)"));
  EXPECT_TRUE(mentions(report, "no longer has 2 of its copysets"));
  EXPECT_FALSE(mentions(report, "recycle bin"));
  state_.volumes[VolumeId(5)].mutable_info()->set_deleted_unix_ns(1);
  state_.volumes[VolumeId(6)].set_deleted(true);  // its chunks are going
  EXPECT_TRUE(mentions(assess_at(kStart), "in the recycle bin (1) keep their space"));
}

TEST_F(HealthTest, ASlowDiskIsNamed) {
  chunkserver(1).disk_write_us = chunkserver(2).disk_write_us = 2000;
  chunkserver(3).disk_write_us = 120'000;
  for (uint64_t id = 1; id <= 3; ++id) state_.place(chunkserver(id), Liveness::kOnline, kStart);
  const auto report = assess_at(kStart);
  EXPECT_EQ(report.health, Health::kDegraded);
  EXPECT_TRUE(mentions(report, "chunkserver 3 is slow: a durable write takes 120 ms"));
}

TEST_F(HealthTest, ChunkFilesThatWaitInThePoolAreFreeSpace) {
  state_.pools.at(PoolId(1)).set_chunk_bytes(16 * kMiB);
  chunkserver(3).used_bytes = 990 * kGiB;
  chunkserver(3).pool_chunks_ready_count = 640;
  EXPECT_EQ(free_bytes(chunkserver(3), 16 * kMiB), 20 * kGiB);
  EXPECT_EQ(assess_at(kStart).health, Health::kOk);
  chunkserver(3).used_bytes = 0;
  EXPECT_EQ(free_bytes(chunkserver(3), 16 * kMiB), 1000 * kGiB) << "never above the capacity";
}

TEST_F(HealthTest, TheListOfProblemsIsBounded) {
  for (uint64_t id = 10; id < 100; ++id) {
    Chunkserver& added = state_.chunkservers[ChunkserverId(id)];
    added.record.set_id(id);
    added.is_disk_failed = true;
  }
  const auto report = assess_at(kStart);
  ASSERT_EQ(report.problems.size(), kProblemsMax);
  EXPECT_NE(report.problems.back().find("more problems"), std::string::npos);
}

TEST_F(HealthTest, BeforeThePlanItWaitsForChunkservers) {
  ClusterState empty;
  wire::PoolRecord pool;
  pool.set_id(1);
  pool.set_replicas_count(3);
  pool.set_chunkservers_min(3);
  empty.set_pool(std::move(pool));
  const auto report = assess(empty, kStart, kStart, options_);
  EXPECT_EQ(report.health, Health::kUnavailable);
  EXPECT_TRUE(mentions(report, "0 of 3 have registered"));
}

TEST(LivenessOf, FollowsTheTimeSinceTheLastHeartbeat) {
  const Options options;
  Chunkserver chunkserver;
  EXPECT_EQ(liveness_of(chunkserver, kStart, kStart, options), Liveness::kUnstable) << "not heard";
  EXPECT_EQ(liveness_of(chunkserver, kStart, kStart + 1800s, options), Liveness::kOffline);
  chunkserver.heard_at = kStart + 100s;
  const auto after = [&](Duration silence) {
    return liveness_of(chunkserver, kStart, *chunkserver.heard_at + silence, options);
  };
  EXPECT_EQ(after(0s), Liveness::kOnline);
  EXPECT_EQ(after(29s), Liveness::kOnline);
  EXPECT_EQ(after(30s), Liveness::kUnstable);
  EXPECT_EQ(after(1799s), Liveness::kUnstable);
  EXPECT_EQ(after(1800s), Liveness::kOffline);
}

}  // namespace
}  // namespace cairn::mds
