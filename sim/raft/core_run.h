/// run_core_seed: bare Raft cores under messages in any order, lost, late and repeated, storage
/// that lags and is lost at restarts, and every operation of RawNode: a million steps a second,
/// for what is too rare to be met by whole processes.
/// Threads: one.
#pragma once

#include "sim/raft/raft_run.h"

namespace cairn::sim {

/// `events_count` of the outcome counts the cores' inputs: messages, ticks, proposals, Readys.
RaftOutcome run_core_seed(const RaftRunOptions& options);

}  // namespace cairn::sim
