/// run_fence_seed: two clients take a volume away from each other, over and over, under all faults.
///
/// In each round the one client opens the volume exclusively by force while the other goes on
/// writing to it. From the moment that the open returns: nothing that the other writes or reads
/// succeeds if it began later, and what the new owner reads first of a block stays until the new
/// owner writes it. At the end the whole history has to be linearizable as well.
/// Threads: one.
#pragma once

#include "sim/cluster/run.h"

namespace cairn::sim {

Outcome run_fence_seed(const RunOptions& options);

}  // namespace cairn::sim
