/// Small clusters for the tests of this folder.
#pragma once

#include <gtest/gtest.h>

#include "base/units.h"
#include "placement/planners.h"

namespace cairn::placement {

inline constexpr uint64_t kTiB = 1024 * kGiB;
inline constexpr uint64_t kNowMs = 1'000'000;

/// Chunkserver `id` with 1 TiB, a tenth of it used, in pool 1.
inline Chunkserver disk(uint64_t id, uint64_t zone, uint64_t server) {
  return {.id = ChunkserverId(id),
          .server = ServerId(server),
          .zone = ZoneId(zone),
          .physical_pool = PoolId(1),
          .capacity_bytes = kTiB,
          .used_bytes = kTiB / 10,
          .heartbeat_ms = kNowMs};
}

inline std::vector<ChunkserverId> ids_of(std::initializer_list<uint64_t> ids) {
  std::vector<ChunkserverId> list;
  for (uint64_t id : ids) list.push_back(ChunkserverId(id));
  return list;
}

/// `zones` zones with `servers` servers of `disks` disks each, ids from 1, and the logical pool 1.
inline Cluster make_cluster(uint64_t zones, uint64_t servers, uint64_t disks) {
  Cluster cluster;
  EXPECT_TRUE(cluster.put_pool({.id = PoolId(1), .physical_pool = PoolId(1)}).ok());
  uint64_t id = 0, server = 0;
  for (uint64_t z = 1; z <= zones; ++z) {
    for (uint64_t s = 0; s < servers; ++s) {
      ++server;
      for (uint64_t d = 0; d < disks; ++d) {
        EXPECT_TRUE(cluster.put_chunkserver(disk(++id, z, server)).ok());
      }
    }
  }
  return cluster;
}

struct Told {
  uint64_t copyset;
  uint64_t epoch;
  uint64_t leader;
  std::vector<ChunkserverId> voters;
  std::vector<ChunkserverId> learners = {};
  ChangeKind change = ChangeKind::kNone;
  uint64_t change_target = 0;
  uint64_t data_bytes = 0;
};

inline ReportOutcome tell(Cluster& cluster, const Told& told, uint64_t now_ms = kNowMs) {
  return cluster.apply_report({.copyset = CopysetId(told.copyset),
                               .epoch = Epoch(told.epoch),
                               .leader = ChunkserverId(told.leader),
                               .voters = told.voters,
                               .learners = told.learners,
                               .change = told.change,
                               .change_target = ChunkserverId(told.change_target),
                               .data_bytes = told.data_bytes},
                              now_ms);
}

/// Adds a copyset that its leader, the first voter, has reported in epoch 1.
inline void add(Cluster& cluster, uint64_t id, std::vector<ChunkserverId> voters) {
  ASSERT_TRUE(cluster.add_copyset(CopysetId(id), PoolId(1), Epoch(0), voters).ok());
  ASSERT_EQ(tell(cluster, {id, 1, voters.front().value(), voters}), ReportOutcome::kUpdated);
}

/// The leader of a copyset that was added so tells how much it holds.
inline void tell_size(Cluster& cluster, uint64_t id, std::vector<ChunkserverId> voters,
                      uint64_t data_bytes) {
  Told told{.copyset = id, .epoch = 1, .leader = voters.front().value(), .voters = voters};
  told.data_bytes = data_bytes;
  ASSERT_EQ(tell(cluster, told), ReportOutcome::kSame);
}

inline void set_liveness(Cluster& cluster, uint64_t id, Liveness liveness) {
  cluster.set_liveness(cluster.find_chunkserver(ChunkserverId(id)), liveness, kNowMs);
}
/// What a durable write takes on its disk.
inline void set_write_us(Cluster& cluster, uint64_t id, uint32_t write_us) {
  Chunkserver row = cluster.chunkserver(cluster.find_chunkserver(ChunkserverId(id)));
  row.write_us = write_us;
  ASSERT_TRUE(cluster.put_chunkserver(row).ok());
}
inline void set_service(Cluster& cluster, uint64_t id, Service service) {
  cluster.set_service(cluster.find_chunkserver(ChunkserverId(id)), service);
}

}  // namespace cairn::placement
