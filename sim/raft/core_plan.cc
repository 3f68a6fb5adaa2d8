#include "sim/raft/core_plan.h"

namespace cairn::sim {

CorePlan draw_core_plan(Rng& rng) {
  CorePlan plan;
  plan.members_count = rng.chance(0.6) ? 3 : rng.between(4, 5);
  raft::Config& config = plan.config;
  config.election_tick = 5;
  config.async_storage_writes = true;
  config.check_quorum = rng.chance(0.7);
  config.pre_vote = rng.chance(0.7);
  config.batch_appends = rng.chance(0.5);
  config.step_down_on_removal = true;
  config.hold_proposals_on_removal = true;
  config.inflight_messages_max = rng.between(1, 8);
  config.size_per_message_max = rng.chance(0.5) ? 1 : rng.between(1, 400);
  config.committed_size_per_ready_max = rng.between(1, 400);
  CoreWeights& weights = plan.weights;
  weights.work = 30 + 40 * rng.unit();
  weights.tick = rng.chance(0.5) ? 25 : 10;
  weights.read = 1 + 9 * rng.unit();
  weights.propose = 2 + 8 * rng.unit();
  weights.restart = rng.chance(0.7) ? 1.5 * rng.unit() : 0;
  weights.partition = rng.chance(0.7) ? 0.7 * rng.unit() : 0;
  weights.transfer = rng.chance(0.5) ? 0.6 * rng.unit() : 0;
  weights.compact = rng.chance(0.6) ? 2 * rng.unit() : 0;
  weights.change = rng.chance(0.7) ? 5 * rng.unit() : 0;
  weights.forget_leader = rng.chance(0.3) ? 0.3 : 0;
  plan.cores_count = weights.change > 0 ? kCoresMax : plan.members_count;
  // As many ticks for each.
  weights.tick *= static_cast<double>(plan.cores_count) / 4;
  plan.loss = rng.chance(0.6) ? 0.2 * rng.unit() : 0;
  plan.repeat = rng.chance(0.6) ? 0.3 * rng.unit() : 0;
  plan.late_share = rng.chance(0.6) ? 0.1 * rng.unit() : 0;
  plan.late_chance = rng.chance(0.5) ? 0.02 : 0.003;
  plan.write_chance = rng.chance(0.5) ? 0.6 : 0.1;
  plan.slowness = rng.chance(0.5) ? 6 : 30;
  plan.slow_share = rng.chance(0.5) ? 0.5 : 0;
  plan.steps_count = static_cast<int>(rng.between(20'000, 80'000));
  return plan;
}

std::string describe(const CorePlan& plan) {
  const CoreWeights& w = plan.weights;
  std::string text = std::to_string(plan.members_count) + " voters of " +
                     std::to_string(plan.cores_count) + " cores, " +
                     std::to_string(plan.steps_count) + " steps:";
  const auto put = [&](const char* name, double value) {
    if (value > 0) text += std::string(" ") + name + " " + std::to_string(value).substr(0, 4);
  };
  put("work", w.work);
  put("tick", w.tick);
  put("propose", w.propose);
  put("restart", w.restart);
  put("partition", w.partition);
  put("transfer", w.transfer);
  put("compact", w.compact);
  put("change", w.change);
  put("loss", plan.loss);
  put("repeat", plan.repeat);
  put("late", plan.late_share);
  if (plan.config.pre_vote) text += " pre-vote";
  if (plan.config.batch_appends) text += " batched";
  if (plan.config.check_quorum) text += " check-quorum";
  return text;
}

}  // namespace cairn::sim
