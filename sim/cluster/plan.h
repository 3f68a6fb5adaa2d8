/// Plan: what one seed makes of a run: the shape of the cluster, its load, and which faults exist
/// and how often they strike. Pure: drawn from a generator.
///
/// Swarm testing: each kind of fault is left out altogether in part of the seeds. A run in which
/// everything happens all the time never gets far enough to meet the rare states.
/// Source: A. Groce et al., "Swarm testing", ISSTA 2012; docs/simulation.md.
#pragma once

#include <string>

#include "base/rng.h"
#include "base/units.h"
#include "sim/io/fabric.h"

namespace cairn::sim {

/// The profile says which faults may exist at all.
enum class Profile : uint8_t {
  kCluster,  ///< everything
  kQuiet,    ///< no faults: the load alone, for measuring and for a first look at a failure
  kCrash,    ///< crashes and pauses
  kNetwork,  ///< what happens on the wires
  kRaft,     ///< Raft groups alone, without servers: sim/raft
  kCore,     ///< bare Raft cores
  kFence,    ///< two clients that take a volume away from each other, under everything
  kHeal,     ///< three MDS; chunkservers come, go, and are lost for good, under everything
};

struct ClusterShape {
  uint32_t mds_count = 1;  ///< more: each keeps a replica of the metadata
  uint32_t chunkservers_count = 5;
  uint32_t clients_count = 3;
  uint32_t workers_per_client = 2;  ///< one that waits leaves the others working
  uint32_t volumes_count = 2;       ///< the first is written in whole blocks, the others in cells
  uint64_t chunk_bytes = 256 * kKiB;
  uint64_t segment_bytes = 1 * kMiB;
  uint64_t volume_bytes = 2 * kMiB;
  uint32_t copysets_per_chunkserver = 3;
  uint32_t snapshot_log_entries = 200;
  uint32_t retained_log_entries = 100;
  uint64_t wal_segment_bytes = 1 * kMiB;
  Duration unstable_after = 30s;  ///< of silence
  Duration offline_after = 1800s;
  Duration schedule_interval = 5s;
};

struct LoadShape {
  Duration think_mean = 60ms;
  double write_share = 0.5;
  /// The last client only reads: writes that cannot be committed would hold back its reads of the
  /// same blocks, and it is the one that a deposed leader could still answer.
  bool has_reader = false;
  double zeroes_share = 0.05;      ///< of the writes
  double whole_chunk_share = 0.4;  ///< of the discards: they cover a chunk
  double many_blocks_share = 0.2;
  double hot_share = 0.7;  ///< of the operations go to a few blocks
  uint32_t hot_blocks_count = 12;
};

/// Mean times between two strikes over the whole cluster; zero: never.
struct FaultRates {
  Duration power_loss{};
  Duration kill{};
  Duration pause{};
  Duration partition{};  ///< a random part of the hosts against the rest
  Duration one_way{};    ///< a few directed links
  Duration slow_disk{};
  Duration slow_link{};
  Duration reset{};     ///< of the connections between two hosts
  Duration blackout{};  ///< all servers lose power at once
  Duration estrange{};  ///< a leader pauses and finds its peers, not its clients, out of reach
  Duration ambush{};    ///< power losses as soon as a group has a new leader

  Duration down_min = 50ms;  ///< until a crashed host is back
  Duration down_max = 5s;
  Duration pause_max = 4s;
  Duration partition_max = 6s;
  double slowness_max = 50;  ///< of a disk
  Duration slow_link_max = 200ms;
  FrameFaults frames;
  double spike_chance = 0;
  int64_t drift_ppm_max = 0;  ///< of each host's clock, either way
  bool disks_fill = false;    ///< writes to new chunks may be refused for want of room
  bool mds_too = false;       ///< whether the metadata server is struck as well
  double leaders_share = 0;   ///< of the strikes at a server that look for a leader
  double narrow_share = 0;    ///< of the partitions cut off one server, with one client
};

struct Plan {
  ClusterShape shape;
  LoadShape load;
  FaultRates faults;
  Duration chaos = 20s;
};

Plan draw_plan(Rng& rng, Profile profile);
std::string describe(const Plan& plan);

}  // namespace cairn::sim
