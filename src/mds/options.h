/// Options of a metadata server; every value has a default that suits a cluster of one machine.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "base/units.h"
#include "io/network.h"
#include "placement/planners.h"
#include "rpc/cluster_key.h"

namespace cairn::mds {

/// Of the pool that a new cluster begins with. Once the pool exists, its own values hold.
struct PoolOptions {
  std::string name = "default";
  uint64_t chunk_bytes = 16 * kMiB;
  uint64_t segment_bytes = kGiB;  ///< a multiple of chunk_bytes
  uint32_t replicas_count = 3;
  uint32_t copysets_per_chunkserver = 100;
  /// The copysets are planned, once, when so many chunkservers have registered.
  uint32_t chunkservers_min = 3;
  /// Others that a chunkserver shares copysets with; lowered to what the topology can give.
  uint32_t scatter_width_min = 2;
};

struct Limits {
  uint32_t chunkservers_max = 4096;
  uint32_t volumes_max = 16'384;  ///< deleted ones count until their chunks are gone
  uint32_t sessions_per_volume_max = 256;
  uint64_t volume_bytes_max = 64 * 1024 * kGiB;
};

/// Of the schedulers that heal and balance.
struct ScheduleOptions {
  Duration interval = 5s;  ///< between two rounds
  placement::LedgerLimits ledger;
  /// The high-water mark is Options::fill.
  placement::PlannerLimits planner;
  /// Of each copy, told to the leader; 0: the chunkserver's own limit.
  uint64_t copy_bytes_per_second_max = 0;
  /// An operator that fails so often is given up; the next round may plan another.
  uint32_t failures_max = 5;
};

struct Options {
  std::string cluster_name = "cairn";
  io::Address listen{"127.0.0.1:6700"};
  rpc::ClusterKey cluster_key;
  PoolOptions pool;
  Limits limits;

  /// How often chunkservers report; silence is measured against it.
  Duration heartbeat_interval = 1s;
  Duration unstable_after = 30s;
  Duration offline_after = 1800s;
  /// A leader that has not said so for this long no longer counts as one in the cluster's health.
  Duration leader_silent_max = 10s;
  /// A copyset with a disk that is fuller takes no new chunks.
  placement::FillLimits fill;
  ScheduleOptions schedule;

  Duration leader_call_timeout = 2s;  ///< of one call to a copyset's member

  /// A session that was not renewed for this long may be taken over by whoever opens the volume.
  Duration session_lease = 10s;
  /// One that was not renewed for this long is forgotten.
  Duration session_forget_after = 60s;
  /// A deleted volume stays in the recycle bin for so long; 0: its chunks go at once.
  Duration deleted_volume_keep = 86'400s;
  Duration retry_delay_min = 500ms;  ///< of background jobs, doubling
  Duration retry_delay_max = 30s;
};

/// kInvalidArgument names the option, its value and what it may be.
Status check(const Options& options);

}  // namespace cairn::mds
