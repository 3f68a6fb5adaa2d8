/// run_seed: one simulated run from its seed to its verdict.
/// Threads: one.
#pragma once

#include <cstdint>
#include <string>

#include "base/log.h"
#include "base/planted_bug.h"
#include "sim/cluster/plan.h"
#include "sim/raft/coverage.h"

namespace cairn::sim {

struct RunOptions {
  uint64_t seed = 0;
  Profile profile = Profile::kCluster;
  PlantedBug bug = PlantedBug::kNone;
  bool verbose = false;  ///< every event of note on standard output, with its virtual time
  bool debug = false;    ///< with verbose: everything that the servers log
};

struct Outcome {
  bool passed = false;
  std::string reason;  ///< why it did not pass
  std::string plan;    ///< what the seed drew
  uint64_t fingerprint = 0;
  double simulated_seconds = 0;
  uint64_t events_count = 0;
  uint64_t ops_count = 0;
  uint64_t failed_ops_count = 0;
  uint64_t strikes_count = 0;
  uint64_t leaderships_count = 0;
  double overlap_seconds = 0;  ///< with two leaders of a group, of different terms
  Coverage coverage;           ///< how often each fault and each rare path occurred
};

Outcome run_seed(const RunOptions& options);

}  // namespace cairn::sim
