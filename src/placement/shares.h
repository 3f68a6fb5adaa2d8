/// How many replicas of a pool each chunkserver should hold: by its capacity, as far as isolation
/// lets it.
#pragma once

#include <vector>

#include "placement/cluster.h"

namespace cairn::placement {

/// A part of something that is divided: not below `low`, not above `high`.
struct Part {
  double weight = 0;
  double low = 0;
  double high = 0;
};

/// Divides `total` in proportion to the weights within the bounds. What the bounds do not allow is
/// left out: the parts then sum to the nearest that they allow.
std::vector<double> divide(const std::vector<Part>& parts, double total);

/// Replicas of one copyset that share a zone, and that share a server, counted by pairs. Less is
/// better; a zone counts before a server.
struct Crowding {
  uint32_t zone_pairs = 0;
  uint32_t server_pairs = 0;
  auto operator<=>(const Crowding&) const = default;
};

/// Pairs when `replicas` are spread as evenly as can be over `domains`; domains > 0.
uint32_t pairs_at_least(uint32_t replicas, uint32_t domains);

/// The share of each chunkserver of `usable` (in its order) in the replicas of `copysets_count`
/// copysets. A zone gets no more than an even spread over zones puts there, a server and a
/// chunkserver likewise; within that, capacity decides.
std::vector<double> replica_shares(const Cluster& cluster, const std::vector<Slot>& usable,
                                   uint64_t copysets_count, uint32_t replicas_count);

}  // namespace cairn::placement
