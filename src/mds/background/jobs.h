/// The background jobs of the metadata server, one file each. Each runs until the context stops,
/// holds its gate meanwhile, and does nothing that a second run would do again.
#pragma once

#include "io/task.h"
#include "mds/context.h"

namespace cairn::mds {

/// Plans each pool's copysets, once, when enough of its chunkservers have registered. They are
/// created by the chunkservers, which learn of them in the answers to their heartbeats.
io::Task<void> run_plan_copysets(Context& mds);

/// Removes the chunks of deleted volumes through their copysets' leaders, then the segments, then
/// the volumes. The segments' records are the queue: one goes when all its chunks are gone.
io::Task<void> run_delete_chunks(Context& mds);

/// Deletes volumes for good whose time in the recycle bin is over, by the wall clock: it is the one
/// that goes on while no MDS runs.
io::Task<void> run_empty_bin(Context& mds);

/// Plans operators, a round every options.schedule.interval, stores them before they are acted on
/// and deletes those that are over. Heartbeats carry them out: ops/heartbeat_changes.cc.
io::Task<void> run_schedule(Context& mds);

/// Forgets sessions whose clients have been silent for long.
io::Task<void> run_expire_sessions(Context& mds);

/// Logs when chunkservers come and go, and keeps the gauges.
io::Task<void> run_watch_liveness(Context& mds);

}  // namespace cairn::mds
