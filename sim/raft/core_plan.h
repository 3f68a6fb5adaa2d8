/// CorePlan: what one seed makes of a run of bare cores. Pure: drawn from a generator.
/// Source: docs/simulation.md, "The core profile".
#pragma once

#include <string>

#include "base/rng.h"
#include "raft/config.h"

namespace cairn::sim {

inline constexpr size_t kCoresMax = 7;

/// How often each kind of step is drawn, in relation to the others.
struct CoreWeights {
  double work = 45;  ///< one thing that a member's storage or state machine has to do
  double deliver = 35;
  double tick = 10;
  double propose = 7;
  double read = 2;
  double restart = 0.5;
  double partition = 0.1;
  double transfer = 0.5;
  double report = 1;
  double compact = 0.5;
  double change = 0;
  double forget_leader = 0.1;

  double sum() const {
    return work + deliver + tick + propose + read + restart + partition + transfer + report +
           compact + change + forget_leader;
  }
};

struct CorePlan {
  size_t members_count = 3;  ///< all of them voters at first
  size_t cores_count = 5;    ///< those behind the members may be added
  raft::Config config;
  CoreWeights weights;
  double loss = 0;
  double repeat = 0.05;
  double late_share = 0;      ///< of the messages that stay away until nobody thinks of them
  double late_chance = 0;     ///< that one of them arrives in place of another message
  double write_chance = 0.6;  ///< that one write or batch is done when a member works
  double slowness = 6;        ///< of the members whose storage lags
  double slow_share = 0;      ///< of the members whose storage lags
  int steps_count = 5'000;
};

CorePlan draw_core_plan(Rng& rng);
std::string describe(const CorePlan& plan);

}  // namespace cairn::sim
