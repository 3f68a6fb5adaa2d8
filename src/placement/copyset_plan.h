/// plan_copysets: which chunkservers form the replication groups of a pool.
///
/// Pure: topology in, plan out; the same Rng state gives the same plan. A plan is fair (every
/// chunkserver is in as many copysets as its share of the capacity says, within one), isolated
/// (replicas never share a failure domain that there are enough of) and scattered (a chunkserver's
/// copysets involve many others, so that many take part when it is rebuilt).
/// Source: Cidon et al., "Copysets: Reducing the Frequency of Data Loss in Cloud Storage", 2013.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/rng.h"

namespace cairn::placement {

struct ChunkserverSpec {
  ChunkserverId id;
  std::string zone;
  std::string server;  ///< the machine; unique within its zone
  uint64_t capacity_bytes = 0;
};

struct CopysetPlanLimits {
  uint32_t copysets_per_chunkserver = 100;  ///< the mean over all chunkservers
  uint32_t replicas_count = 3;
  /// The least number of others that each chunkserver shares copysets with; lowered to what the
  /// topology can give.
  uint32_t scatter_width_min = 0;
};

/// What replicas of one copyset must not share.
enum class Isolation : uint8_t { kZone, kServer, kChunkserver };

using CopysetMembers = std::vector<ChunkserverId>;

/// The widest isolation of which there are at least `replicas_count` domains: zones, otherwise
/// servers, otherwise chunkservers. With server isolation, replicas still prefer unlike zones.
Isolation isolation_of(const std::vector<ChunkserverSpec>& chunkservers, uint32_t replicas_count);

/// floor(chunkservers * copysets_per_chunkserver / replicas) copysets; members in random order.
/// Errors: kInvalidArgument  fewer chunkservers than replicas, an id twice, no capacity, a limit of
///                           zero; the message says which and what to change.
///         kUnavailable      the scatter width was not reached in kAttemptsMax draws.
Result<std::vector<CopysetMembers>> plan_copysets(const std::vector<ChunkserverSpec>& chunkservers,
                                                  const CopysetPlanLimits& limits, Rng& rng);

/// How many others each chunkserver shares a copyset with; in the order of `chunkservers`.
std::vector<uint32_t> scatter_widths(const std::vector<ChunkserverSpec>& chunkservers,
                                     const std::vector<CopysetMembers>& copysets);

inline constexpr uint32_t kAttemptsMax = 10;
inline constexpr uint32_t kReplicasMax = 7;
inline constexpr size_t kPlanChunkserversMax = 10'000;

}  // namespace cairn::placement
