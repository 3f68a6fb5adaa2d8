/// What a volume really takes: its segments reserve chunks, which exist from their first write
/// until they are discarded. The leaders of its copysets are asked; nothing is kept here. Threads:
/// one reactor.
#pragma once

#include "base/ids.h"
#include "base/result.h"
#include "io/task.h"

namespace cairn::mds {

class Context;

/// Chunks that exist, each counted once, however many replicas it has. What is written or discarded
/// meanwhile counts or does not.
/// Errors: kUnavailable, kTimeout, ...  a copyset that has no leader now, named.
io::Task<Result<uint64_t>> count_chunks(Context& mds, VolumeId volume);

}  // namespace cairn::mds
