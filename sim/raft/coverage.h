/// Coverage: how often each fault and each rare path of a run occurred, so that one that never
/// occurs is seen.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace cairn::sim {

using Coverage = std::map<std::string, uint64_t>;

}  // namespace cairn::sim
