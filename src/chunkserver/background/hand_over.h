/// Hands the leaderships of a chunkserver over to others: before it stops, or because its disk is
/// slow.
/// Threads: one reactor.
#pragma once

#include "io/env.h"
#include "io/sync.h"
#include "multiraft/host.h"

namespace cairn::chunkserver {

struct HandOverOptions {
  size_t transfers_at_once_max = 64;
  Duration limit = 2s;
};

/// Each group that is led here is offered once to its best follower. Returns when all have answered
/// or after `limit`: what is under way then goes on, and ends with its group. The host outlives the
/// reactor's turn in which it stops (Host::stop waits for the transfers).
/// Returns how many were handed over.
io::Task<size_t> hand_over_leaderships(io::Env env, multiraft::Host* host, HandOverOptions options);

}  // namespace cairn::chunkserver
