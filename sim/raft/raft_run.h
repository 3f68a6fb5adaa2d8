/// run_raft_seed: one simulated run of Raft groups from its seed to its verdict.
///
/// Phases: form the groups; chaos; heal; drain; put in order (repair, and change members once
/// more); serve (every group writes and reads within a bound of virtual time); converge (all
/// members of a group reach the same state); check the history.
/// Threads: one.
#pragma once

#include <cstdint>
#include <string>

#include "sim/raft/coverage.h"

namespace cairn::sim {

struct RaftRunOptions {
  uint64_t seed = 0;
  bool quiet = false;    ///< no faults
  bool verbose = false;  ///< what happens, on standard output, with its virtual time
  bool debug = false;    ///< with verbose: everything that the members log
};

struct RaftOutcome {
  std::string reason;  ///< why it did not pass; empty: it passed
  std::string plan;    ///< what the seed drew
  uint64_t fingerprint = 0;
  double simulated_seconds = 0;
  uint64_t events_count = 0;
  uint64_t ops_count = 0;
  uint64_t failed_ops_count = 0;
  uint64_t strikes_count = 0;
  uint64_t leaderships_count = 0;
  Coverage coverage;
};

RaftOutcome run_raft_seed(const RaftRunOptions& options);

}  // namespace cairn::sim
