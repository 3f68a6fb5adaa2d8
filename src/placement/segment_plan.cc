#include "placement/segment_plan.h"

namespace cairn::placement {

bool is_full(uint64_t capacity_bytes, uint64_t free_bytes, const FillLimits& limits) {
  CHECK(free_bytes <= capacity_bytes);
  if (free_bytes == 0) return true;
  const double part = (1.0 - limits.fill_max) * static_cast<double>(capacity_bytes);
  return static_cast<double>(free_bytes) <
         std::min(part, static_cast<double>(limits.headroom_bytes_max));
}

namespace {

/// Takes one candidate out, each as likely as its free space.
CopysetSpace take_one(std::vector<CopysetSpace>& candidates, uint64_t& weight_sum, Rng& rng) {
  uint64_t ticket = rng.below(weight_sum);
  size_t at = 0;
  for (; ticket >= candidates[at].free_bytes; ++at) ticket -= candidates[at].free_bytes;
  const CopysetSpace taken = candidates[at];
  weight_sum -= taken.free_bytes;
  candidates[at] = candidates.back();
  candidates.pop_back();
  return taken;
}

}  // namespace

Result<std::vector<CopysetId>> plan_segment(const std::vector<CopysetSpace>& copysets,
                                            const SegmentPlanLimits& limits, Rng& rng) {
  CHECK(limits.chunks_per_segment > 0);
  CHECK(limits.fill.fill_max > 0 && limits.fill.fill_max <= 1);
  std::vector<CopysetSpace> usable;
  for (const auto& copyset : copysets) {
    if (is_full(copyset.capacity_bytes, copyset.free_bytes, limits.fill)) continue;
    usable.push_back(copyset);
    // In mebibytes and at least one: the sum over all copysets stays far from overflow.
    usable.back().free_bytes = (copyset.free_bytes >> 20) + 1;
  }
  if (usable.empty()) {
    return error(Errc::kNoSpace, std::to_string(copysets.size()) +
                                     " copysets are there and each has a full disk; delete volumes "
                                     "or add chunkservers; nothing was allocated");
  }
  // Whole rounds over all copysets first: then nobody gets a second chunk before all have one.
  std::vector<CopysetId> plan;
  while (plan.size() < limits.chunks_per_segment) {
    std::vector<CopysetSpace> candidates = usable;
    uint64_t weight_sum = 0;
    for (const auto& candidate : candidates) weight_sum += candidate.free_bytes;
    while (!candidates.empty() && plan.size() < limits.chunks_per_segment) {
      plan.push_back(take_one(candidates, weight_sum, rng).id);
    }
  }
  return plan;
}

}  // namespace cairn::placement
