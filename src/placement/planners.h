/// The planners, and a scheduling round of all of them.
///
/// Pure: what is known of the cluster in, operators out. Each planner adds its operators to the
/// round's ledger, whose limits say how much of a large task is begun at once; the rest is planned
/// in later rounds, as operators end. A cluster in which nothing is left to do yields no operators:
/// moves for balance are only made where they strictly lessen crowding or the spread.
///
/// | planner  | does                                                              | priority |
/// |----------|-------------------------------------------------------------------|----------|
/// | recovery | replaces the replicas of offline chunkservers                     | high     |
/// | out of service | replaces single replicas that are gone or damaged        | high     |
/// | replicas | brings copysets to the configured number; drops left-over learners | normal   |
/// | drain    | empties draining and retired chunkservers                         | normal   |
/// | copysets | parts replicas that crowd a zone; evens out counts by capacity    | low      |
/// | leaders  | evens out leaders to within one, moves them off draining ones     | low      |
///
/// Source:   docs/architecture.md, "Who plans what".
#pragma once

#include "placement/pool_round.h"

namespace cairn::placement {

/// Holds back, with a note, while more of the pool is offline than PlannerLimits::lost_part_max.
/// Copysets with the fewest spare members come first; those without a quorum are only counted.
void plan_recovery(PoolRound& round);
/// Replaces replicas that are gone or damaged on chunkservers that live.
void plan_out_of_service(PoolRound& round);
void plan_replicas(PoolRound& round);
/// Notes the chunkservers that are empty.
void plan_drain(PoolRound& round);
/// Waits while replicas are on offline chunkservers.
void plan_copyset_spread(PoolRound& round);

enum class LeaderPace : uint8_t {
  kGentle,  ///< within the ledger's limits, with rest times
  kRapid,   ///< all at once, on a person's request
};
void plan_leaders(PoolRound& round, LeaderPace pace);

/// For `cairn status`: what there is to do, whether or not it is under way.
struct PoolProgress {
  PoolId pool;
  uint32_t replicas_lost = 0;      ///< on offline chunkservers
  uint32_t replicas_draining = 0;  ///< on draining and retired ones that answer
  uint32_t copysets_degraded = 0;  ///< fewer voters online than configured
  uint32_t copysets_without_quorum = 0;
};

struct RoundResult {
  std::vector<OperatorId> planned;  ///< in the ledger now; to be stored before they are acted on
  std::vector<Note> notes;
  std::vector<PoolProgress> progress;
};

/// All planners for all pools, the most urgent first.
RoundResult plan_round(const Cluster& cluster, Ledger& ledger, const PlannerLimits& limits,
                       uint64_t now_ms);
/// Leaders of one pool evened out at once. Errors: kNotFound  no such pool.
Result<RoundResult> plan_rapid_leaders(const Cluster& cluster, Ledger& ledger,
                                       const PlannerLimits& limits, PoolId pool, uint64_t now_ms);

/// How far apart the leaders of a pool's usable chunkservers are; 0 with none.
uint32_t leader_difference(const Cluster& cluster, const LogicalPool& pool);

/// A pure planner's bounds on its own work in one round.
inline constexpr uint32_t kSpreadTriesMax = 20'000;
inline constexpr uint32_t kCrowdingTriesMax = 2'000;
inline constexpr uint32_t kMissesMax = 1'000;

}  // namespace cairn::placement
