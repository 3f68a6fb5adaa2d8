/// run_batch: many seeds, each in a child process: a seed that dies takes nothing else with it.
/// Threads: one, and child processes.
#pragma once

#include "sim/cluster/options.h"

namespace cairn::sim {

/// Prints failures as they come and a summary; the exit code.
int run_batch(const SimOptions& options);
/// Every planted bug, under the profile that finds it; fails if one is not found.
int run_planted(const SimOptions& options);
/// One seed, in this process.
int run_single(const SimOptions& options);

}  // namespace cairn::sim
