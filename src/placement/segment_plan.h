/// plan_segment: in which copysets the chunks of a volume's new segment lie.
///
/// Pure. Chunks are spread over as many copysets as there are, so that a segment's load meets many
/// disks; among more copysets than chunks, those with much free space are likelier.
#pragma once

#include <cstdint>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/rng.h"
#include "base/units.h"

namespace cairn::placement {

struct CopysetSpace {
  CopysetId id;
  uint64_t capacity_bytes = 0;  ///< of the member that is the fullest
  uint64_t free_bytes = 0;      ///< of the same member
};

/// The high-water mark: what has to stay free on a disk for it to take new chunks is a part of its
/// capacity, for small disks, or a fixed amount, for large ones: the smaller of the two.
struct FillLimits {
  double fill_max = 0.95;
  uint64_t headroom_bytes_max = 16 * kGiB;
};

struct SegmentPlanLimits {
  uint32_t chunks_per_segment = 64;
  FillLimits fill;
};

/// One copyset a chunk, in the chunks' order; no copyset has more than one chunk more than another
/// that could take some.
/// Errors: kNoSpace  every copyset has a member above the high-water mark, or there is none.
Result<std::vector<CopysetId>> plan_segment(const std::vector<CopysetSpace>& copysets,
                                            const SegmentPlanLimits& limits, Rng& rng);

/// Whether a disk is above the high-water mark.
bool is_full(uint64_t capacity_bytes, uint64_t free_bytes, const FillLimits& limits);

}  // namespace cairn::placement
