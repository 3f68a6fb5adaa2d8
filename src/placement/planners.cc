#include "placement/planners.h"

#include <algorithm>

namespace cairn::placement {

namespace {

PoolProgress progress_of(const PoolRound& round) {
  PoolProgress progress{.pool = round.pool().id};
  const Cluster& cluster = round.cluster();
  for (Slot slot : round.members()) {
    const auto replicas = static_cast<uint32_t>(round.copysets_on(slot).size());
    if (round.chunkserver(slot).liveness == Liveness::kOffline) {
      progress.replicas_lost += replicas;
    } else if (round.chunkserver(slot).service != Service::kReadWrite) {
      progress.replicas_draining += replicas;
    }
  }
  for (Slot slot : round.copysets()) {
    const Copyset& copyset = round.copyset(slot);
    const uint32_t online = cluster.online_voters(copyset);
    if (online < round.pool().replicas_count) ++progress.copysets_degraded;
    if (online < copyset.quorum()) ++progress.copysets_without_quorum;
  }
  return progress;
}

void collect(PoolRound& round, RoundResult& result) {
  for (OperatorId id : round.take_planned()) result.planned.push_back(id);
  for (auto& note : round.take_notes()) result.notes.push_back(std::move(note));
}

}  // namespace

RoundResult plan_round(const Cluster& cluster, Ledger& ledger, const PlannerLimits& limits,
                       uint64_t now_ms) {
  RoundResult result;
  for (Slot pool = 0; pool < cluster.pools().size(); ++pool) {
    PoolRound round(cluster, ledger, limits, pool, now_ms);
    result.progress.push_back(progress_of(round));
    plan_recovery(round);
    plan_out_of_service(round);
    plan_replicas(round);
    plan_drain(round);
    plan_copyset_spread(round);
    plan_leaders(round, LeaderPace::kGentle);
    collect(round, result);
  }
  return result;
}

Result<RoundResult> plan_rapid_leaders(const Cluster& cluster, Ledger& ledger,
                                       const PlannerLimits& limits, PoolId pool, uint64_t now_ms) {
  const Slot slot = cluster.find_pool(pool);
  if (slot == kNoSlot) return error(Errc::kNotFound, "pool " + to_string(pool));
  RoundResult result;
  PoolRound round(cluster, ledger, limits, slot, now_ms);
  result.progress.push_back(progress_of(round));
  plan_leaders(round, LeaderPace::kRapid);
  collect(round, result);
  return result;
}

uint32_t leader_difference(const Cluster& cluster, const LogicalPool& pool) {
  const Slot pool_slot = cluster.find_pool(pool.id);
  std::vector<uint32_t> leaders(cluster.chunkservers().size(), 0);
  for (const auto& copyset : cluster.copysets()) {
    if (copyset.id.is_none() || copyset.pool != pool_slot || copyset.leader == kNoSlot) continue;
    ++leaders[copyset.leader];
  }
  uint32_t least = UINT32_MAX, most = 0;
  for (Slot slot = 0; slot < leaders.size(); ++slot) {
    const Chunkserver& member = cluster.chunkserver(slot);
    if (!cluster.is_in_pool(member, pool) || !member.is_usable()) continue;
    least = std::min(least, leaders[slot]);
    most = std::max(most, leaders[slot]);
  }
  return least > most ? 0 : most - least;
}

}  // namespace cairn::placement
