#include "sim/cluster/plan.h"

#include "sim/io/strikes.h"

namespace cairn::sim {

namespace {

Duration draw(Rng& rng, Duration low, Duration high) {
  return Duration(
      rng.between(static_cast<uint64_t>(low.count()), static_cast<uint64_t>(high.count())));
}

/// A mean between the two, or never, in half of the seeds.
Duration sometimes(Rng& rng, double chance, Duration low, Duration high) {
  const Duration drawn = draw(rng, low, high);
  return rng.chance(chance) ? drawn : Duration::zero();
}

void draw_host_faults(Rng& rng, FaultRates& faults) {
  faults.power_loss = sometimes(rng, 0.6, 800ms, 8s);
  faults.kill = sometimes(rng, 0.4, 1s, 8s);
  faults.pause = sometimes(rng, 0.5, 800ms, 6s);
  faults.slow_disk = sometimes(rng, 0.4, 1s, 6s);
  faults.blackout = sometimes(rng, 0.4, 3s, 12s);
  // What is acknowledged before it is durable shows when the disks are slow and the power goes.
  faults.slowness_max = rng.chance(0.5) ? 50 : 1000;
  faults.ambush = sometimes(rng, 0.3, 2s, 8s);
  // A short absence meets what the peers still believe; a long one, what they have moved on to.
  faults.down_min = rng.chance(0.4) ? 2ms : 50ms;
  faults.down_max = rng.chance(0.4) ? 100ms : draw(rng, 500ms, 8s);
  faults.drift_ppm_max = rng.chance(0.5) ? 50'000 : 0;
  faults.mds_too = rng.chance(0.5);
}

void draw_network_faults(Rng& rng, FaultRates& faults) {
  faults.partition = sometimes(rng, 0.6, 1s, 5s);
  faults.one_way = sometimes(rng, 0.4, 1s, 6s);
  faults.estrange = sometimes(rng, 0.3, 2s, 8s);
  faults.slow_link = sometimes(rng, 0.4, 1s, 6s);
  faults.reset = sometimes(rng, 0.3, 500ms, 5s);
  if (rng.chance(0.5)) faults.frames.drop = 0.03 * rng.unit();
  if (rng.chance(0.5)) faults.frames.duplicate = 0.05 * rng.unit();
  if (rng.chance(0.5)) faults.frames.delay = 0.05 * rng.unit();
  faults.frames.delay_max = rng.chance(0.3) ? 2s : draw(rng, 1ms, 100ms);
  if (rng.chance(0.3)) faults.spike_chance = 0.01;
  faults.mds_too |= rng.chance(0.5);
}

/// Struck less often: what is begun has to end before the next is, and most of it takes seconds.
void make_heal_plan(Rng& rng, Plan& plan) {
  plan.shape.mds_count = 3;
  plan.shape.chunkservers_count = 6;
  plan.shape.copysets_per_chunkserver = static_cast<uint32_t>(rng.between(3, 6));
  plan.shape.unstable_after = 3s;
  plan.shape.offline_after = 10s;
  plan.shape.schedule_interval = 1s;
  FaultRates& f = plan.faults;
  for (Duration* mean : {&f.power_loss, &f.kill, &f.pause, &f.partition, &f.one_way, &f.slow_disk,
                         &f.slow_link, &f.reset, &f.blackout, &f.estrange, &f.ambush}) {
    *mean *= 6;
  }
  f.mds_too = true;
  f.disks_fill = true;
}

}  // namespace

Plan draw_plan(Rng& rng, Profile profile) {
  Plan plan;
  plan.shape.clients_count = static_cast<uint32_t>(rng.between(2, 4));
  // Few: most wait for what is cut off. Many: the load on what can be reached goes on.
  plan.shape.workers_per_client =
      static_cast<uint32_t>(rng.chance(0.3) ? rng.between(2, 8) : rng.between(24, 64));
  plan.shape.copysets_per_chunkserver = static_cast<uint32_t>(rng.between(2, 4));
  plan.shape.snapshot_log_entries = static_cast<uint32_t>(rng.between(30, 400));
  plan.shape.retained_log_entries =
      static_cast<uint32_t>(rng.between(5, plan.shape.snapshot_log_entries));
  // Up to 55 to 250 operations a second for all workers together; those that wait do none.
  const int64_t workers_count =
      int64_t{plan.shape.clients_count} * int64_t{plan.shape.workers_per_client};
  plan.load.think_mean = workers_count * draw(rng, 4ms, 18ms);
  plan.load.write_share = 0.2 + 0.5 * rng.unit();
  plan.load.has_reader = rng.chance(0.6);
  plan.load.zeroes_share = rng.chance(0.5) ? 0.0 : 0.1;
  // Few hot blocks: all meet at once. More: operations on those that can be reached do not wait
  // behind one that cannot (a client's operations on a block are in order).
  plan.load.hot_blocks_count =
      static_cast<uint32_t>(rng.chance(0.25) ? rng.between(1, 4) : rng.between(8, 32));
  plan.load.hot_share = 0.5 + 0.45 * rng.unit();
  plan.chaos = draw(rng, 8s, 25s);
  plan.faults.leaders_share = rng.chance(0.5) ? 0.8 : 0.0;
  plan.faults.narrow_share = rng.unit();
  const bool has_all = profile == Profile::kCluster || profile == Profile::kHeal;
  if (has_all || profile == Profile::kCrash) draw_host_faults(rng, plan.faults);
  if (has_all || profile == Profile::kNetwork) draw_network_faults(rng, plan.faults);
  if (profile == Profile::kHeal) make_heal_plan(rng, plan);
  return plan;
}

std::string describe(const Plan& plan) {
  const FaultRates& f = plan.faults;
  std::string text = std::to_string(plan.shape.clients_count) + " clients, " +
                     std::to_string(to_ms(plan.chaos)) + "ms of chaos:";
  text += describe_rate("power loss", f.power_loss) + describe_rate("kill", f.kill) +
          describe_rate("pause", f.pause) + describe_rate("partition", f.partition) +
          describe_rate("one-way cut", f.one_way) + describe_rate("slow disk", f.slow_disk) +
          describe_rate("slow link", f.slow_link) + describe_rate("reset", f.reset) +
          describe_rate("blackout", f.blackout) + describe_rate("estranged leader", f.estrange) +
          describe_rate("ambush", f.ambush);
  return text + describe_noise(f.frames, f.drift_ppm_max);
}

}  // namespace cairn::sim
