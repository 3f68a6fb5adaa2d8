#include "sim/raft/raft_plan.h"

#include "sim/io/strikes.h"

namespace cairn::sim {

namespace {

Duration times(double factor, Duration unit) {
  return Duration(static_cast<int64_t>(factor * static_cast<double>(unit.count())));
}

/// Draws one rate after the other, in multiples of the election timeout.
class Dice {
 public:
  Dice(Rng& rng, Duration timeout) : rng_(rng), timeout_(timeout) {}
  double between(double low, double high) { return low + rng_.unit() * (high - low); }
  Duration span(double low, double high) { return times(between(low, high), timeout_); }
  /// Swarm testing: each kind of fault is left out of part of the runs.
  Duration sometimes(double chance, double low, double high) {
    const Duration drawn = span(low, high);
    return rng_.chance(chance) ? drawn : Duration::zero();
  }

 private:
  Rng& rng_;
  const Duration timeout_;
};

void draw_groups(Rng& rng, RaftPlan& plan) {
  plan.hosts_count = static_cast<uint32_t>(rng.between(kRaftHostsMin, kRaftHostsMax));
  const uint64_t groups_count = rng.between(1, 3);
  for (uint64_t id = 1; id <= groups_count; ++id) {
    RaftGroupShape group{.id = GroupId(id), .voters = {}};
    std::vector<NodeId> hosts;
    for (uint64_t node = 1; node <= plan.hosts_count; ++node) hosts.emplace_back(node);
    const size_t members_count = rng.chance(0.6) ? 3 : 5;
    while (group.voters.size() < members_count) {
      const size_t at = rng.below(hosts.size());
      group.voters.push_back(hosts[at]);
      hosts.erase(hosts.begin() + static_cast<ptrdiff_t>(at));
    }
    std::ranges::sort(group.voters);
    plan.groups.push_back(std::move(group));
  }
}

void draw_options(Rng& rng, Dice& dice, RaftPlan& plan) {
  multiraft::HostOptions& raft = plan.raft;
  raft.message_bytes_max = rng.chance(0.3) ? 200 : size_t{64} * kKiB;
  raft.inflight_messages_max = rng.chance(0.3) ? rng.between(1, 4) : 64;
  raft.apply_bytes_max = rng.chance(0.3) ? 200 : kMiB;
  raft.cached_payload_bytes_max = rng.chance(0.5) ? 8 * kKiB : kMiB;
  raft.snapshot_log_entries = rng.chance(0.5) ? rng.between(5, 40) : rng.between(40, 400);
  raft.retained_log_entries = rng.between(1, raft.snapshot_log_entries);
  raft.snapshot_check_interval = dice.span(0.3, 2);
  raft.snapshot_retry_delay = dice.span(0.2, 1);
  raft.caught_up_lag_entries = rng.chance(0.5) ? 0 : rng.between(1, 50);
  raft.catch_up_stall_max = dice.span(4, 12);
  raft.removed_data_kept = dice.span(1, 20);
  // A snapshot is inline, a file of one piece, or of many.
  raft.snapshot_inline_bytes_max = 256;
  plan.snapshot_filler_bytes = rng.chance(0.5) ? rng.between(500, 3'000) : 0;
  raft.snapshot_piece_bytes = static_cast<uint32_t>(rng.chance(0.5) ? rng.between(100, 500) : 4096);
  raft.snapshot_piece_timeout = dice.span(0.3, 1);
  raft.snapshot_sends_max = rng.between(1, 3);
  raft.snapshot_receives_max = rng.between(1, 2);
  wal::WalOptions& wal = plan.wal;
  wal.segment_bytes = 256 * kKiB;
  wal.wal_bytes_max = rng.between(3, 8) * wal.segment_bytes;
  wal.writes_inflight_max = rng.chance(0.3) ? 1 : 4;
  wal.write_hang_max = times(6, plan.timeout());
  wal.idle_mark_after = dice.span(0.2, 1);
  plan.slow_apply_chance = rng.chance(0.4) ? 0.2 * rng.unit() : 0.0;
  plan.slow_save_chance = rng.chance(0.5) ? 0.5 : 0.0;
}

void draw_host_faults(Rng& rng, Dice& dice, RaftFaultRates& faults) {
  faults.power_loss = dice.sometimes(0.6, 2, 20);
  faults.kill = dice.sometimes(0.4, 2, 20);
  faults.blackout = dice.sometimes(0.4, 6, 30);
  faults.ambush = dice.sometimes(0.4, 5, 20);
  faults.pause = dice.sometimes(0.5, 2, 15);
  faults.slow_disk = dice.sometimes(0.5, 3, 15);
  faults.disk_error = dice.sometimes(0.2, 8, 30);
  faults.disk_hang = dice.sometimes(0.1, 10, 40);
  faults.full_disk = dice.sometimes(0.2, 8, 30);
  faults.corruption = dice.sometimes(0.3, 5, 15);
  faults.down_min = dice.span(0, 0.3);
  faults.down_max = rng.chance(0.4) ? dice.span(0.3, 0.8) : dice.span(1, 12);
  faults.pause_max = dice.span(1, 8);
  faults.drift_ppm_max = rng.chance(0.5) ? 50'000 : 0;
}

void draw_network_faults(Rng& rng, Dice& dice, RaftFaultRates& faults) {
  faults.partition = dice.sometimes(0.6, 2, 12);
  faults.one_way = dice.sometimes(0.4, 2, 12);
  faults.estrange = dice.sometimes(0.4, 3, 15);
  faults.bridge = dice.sometimes(0.3, 4, 12);
  faults.slow_link = dice.sometimes(0.4, 2, 10);
  faults.reset = dice.sometimes(0.3, 1, 10);
  faults.partition_max = dice.span(1, 12);
  faults.slow_link_max = dice.span(0.1, 1);
  if (rng.chance(0.4)) faults.frames.drop = 0.05 * rng.unit();
  if (rng.chance(0.5)) faults.frames.duplicate = 0.2 * rng.unit();
  if (rng.chance(0.5)) faults.frames.delay = 0.1 * rng.unit();
  faults.frames.delay_max = rng.chance(0.4) ? dice.span(1, 6) : dice.span(0.01, 0.5);
  if (rng.chance(0.3)) faults.spike_chance = 0.01;
}

}  // namespace

RaftPlan draw_raft_plan(Rng& rng, bool quiet) {
  RaftPlan plan;
  constexpr Duration kTicks[] = {10ms, 20ms, 50ms};
  plan.raft.tick = kTicks[rng.below(std::size(kTicks))];
  Dice dice(rng, plan.timeout());
  draw_groups(rng, plan);
  draw_options(rng, dice, plan);
  plan.chaos = dice.span(20, 80);
  plan.load.think_mean = dice.span(0.05, 0.3);
  plan.load.burst_max = static_cast<uint32_t>(rng.chance(0.5) ? rng.between(2, 16) : 1);
  plan.load.write_share = 0.3 + 0.5 * rng.unit();
  plan.load.payload_share = rng.chance(0.5) ? 0.3 * rng.unit() : 0.0;
  plan.load.lull_chance = rng.chance(0.5) ? 0.05 : 0.0;
  plan.load.stale_share = 0.1 + 0.5 * rng.unit();
  plan.faults.leaders_share = rng.chance(0.5) ? 0.8 : 0.2;
  plan.faults.snapshot = dice.sometimes(0.4, 1, 8);
  plan.faults.transfer = dice.sometimes(0.5, 1, 8);
  plan.faults.conf_change = dice.sometimes(0.5, 1, 8);
  plan.voters_min = rng.between(1, 3);
  if (!quiet) {
    draw_host_faults(rng, dice, plan.faults);
    // Writes that overtake each other, or disks that hardly move.
    if (rng.chance(0.4)) {
      plan.disk.tail_mean = Duration(static_cast<int64_t>(rng.between(50'000, 400'000)));
    } else {
      plan.faults.slowness_max = 500;
    }
    draw_network_faults(rng, dice, plan.faults);
  }
  if (plan.faults.corruption > Duration::zero()) plan.voters_min = 3;
  plan.partial_chance = rng.chance(0.5) ? rng.unit() : 0.0;
  return plan;
}

std::string describe(const RaftPlan& plan) {
  const RaftFaultRates& f = plan.faults;
  std::string text = std::to_string(plan.groups.size()) + " groups of";
  for (const RaftGroupShape& group : plan.groups) {
    text += " " + std::to_string(group.voters.size());
  }
  text += " on " + std::to_string(plan.hosts_count) + " hosts";
  text += ", election timeout " + std::to_string(to_ms(plan.timeout())) + "ms, " +
          std::to_string(to_ms(plan.chaos)) + "ms of chaos:";
  text += describe_rate("power loss", f.power_loss) + describe_rate("kill", f.kill) +
          describe_rate("blackout", f.blackout) + describe_rate("ambush", f.ambush) +
          describe_rate("pause", f.pause) + describe_rate("estranged leader", f.estrange) +
          describe_rate("bridge", f.bridge) + describe_rate("partition", f.partition) +
          describe_rate("one-way cut", f.one_way) + describe_rate("slow disk", f.slow_disk) +
          describe_rate("slow link", f.slow_link) + describe_rate("reset", f.reset) +
          describe_rate("disk error", f.disk_error) + describe_rate("disk hang", f.disk_hang) +
          describe_rate("full disk", f.full_disk) + describe_rate("corruption", f.corruption) +
          describe_rate("snapshot", f.snapshot) + describe_rate("transfer", f.transfer) +
          describe_rate("configuration change", f.conf_change);
  return text + describe_noise(f.frames, f.drift_ppm_max);
}

}  // namespace cairn::sim
