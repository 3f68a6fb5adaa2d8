/// RaftPlan: what one seed makes of a run of Raft groups: their shape, the load, and which faults
/// exist and how often they strike. Pure: drawn from a generator.
///
/// All times are multiples of the election timeout, so that a short run sees many elections.
/// Source: docs/simulation.md, "The raft profile".
#pragma once

#include <string>
#include <vector>

#include "base/ids.h"
#include "base/rng.h"
#include "base/units.h"
#include "multiraft/options.h"
#include "sim/io/disk.h"
#include "sim/io/fabric.h"
#include "store/wal/wal.h"

namespace cairn::sim {

inline constexpr uint32_t kRaftHostsMin = 5;
inline constexpr uint32_t kRaftHostsMax = 7;  ///< where members come and go
inline constexpr uint32_t kRegistersCount = 6;

struct RaftGroupShape {
  GroupId id;
  std::vector<NodeId> voters;  ///< three or five of the hosts, at first
};

/// Mean times between two strikes over all hosts; zero: never.
struct RaftFaultRates {
  Duration power_loss{};
  Duration kill{};
  Duration blackout{};
  Duration ambush{};
  Duration pause{};
  Duration estrange{};
  Duration bridge{};  ///< two members lose each other, and the third that hears both restarts
  Duration partition{};
  Duration one_way{};
  Duration slow_disk{};
  Duration slow_link{};
  Duration reset{};
  Duration disk_error{};
  Duration disk_hang{};
  Duration full_disk{};
  Duration corruption{};
  Duration snapshot{};  ///< a snapshot is asked for, besides those that the log's length causes
  Duration transfer{};  ///< of leadership
  Duration conf_change{};

  Duration down_min{};
  Duration down_max{};
  Duration pause_max{};
  Duration partition_max{};
  double slowness_max = 50;
  Duration slow_link_max{};
  FrameFaults frames;
  double spike_chance = 0;
  int64_t drift_ppm_max = 0;
  double leaders_share = 0;  ///< of the strikes at a host that look for one that leads
};

struct RaftLoad {
  Duration think_mean{};  ///< between two operations of all clients together
  double write_share = 0.5;
  double payload_share = 0;  ///< of the writes carry blocks besides their head
  double stale_share = 0.3;  ///< of the operations go to any member that believes to lead
  double lull_chance = 0;    ///< that nothing begins for a few timeouts: groups go quiet
  uint32_t burst_max = 1;    ///< operations that begin at once
  size_t pending_max = 64;
};

struct RaftPlan {
  uint32_t hosts_count = kRaftHostsMin;
  std::vector<RaftGroupShape> groups;
  multiraft::HostOptions raft;
  wal::WalOptions wal;
  RaftLoad load;
  RaftFaultRates faults;
  DiskModel disk;
  /// No order leaves a group with less. Where a log may rot each group keeps three, so that it has
  /// a sound majority.
  size_t voters_min = 3;
  size_t snapshot_filler_bytes = 0;
  double slow_apply_chance = 0;  ///< of a batch of commands
  double slow_save_chance = 0;   ///< of a snapshot saved or loaded
  double partial_chance = 0;     ///< of one that is loaded, whose state comes bit by bit afterwards
  Duration chaos{};

  Duration timeout() const { return raft.election_timeout(); }
};

RaftPlan draw_raft_plan(Rng& rng, bool quiet);
std::string describe(const RaftPlan& plan);

}  // namespace cairn::sim
