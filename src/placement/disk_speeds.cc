#include "placement/disk_speeds.h"

#include <algorithm>

namespace cairn::placement {

DiskSpeeds::DiskSpeeds(const Cluster& cluster, const LogicalPool& pool,
                       const SlowDiskLimits& limits)
    : limits_(limits) {
  CHECK(limits.doubt_times >= 1 && limits.slow_times >= limits.doubt_times);
  std::vector<uint32_t> known;
  for (const Chunkserver& member : cluster.chunkservers()) {
    if (!cluster.is_in_pool(member, pool) || !member.is_online() || member.write_us == 0) continue;
    known.push_back(member.write_us);
  }
  if (known.size() < 2) return;
  // Of an even number the faster one: of two disks, too, one can be the slow one.
  const auto middle = known.begin() + static_cast<std::ptrdiff_t>((known.size() - 1) / 2);
  std::ranges::nth_element(known, middle);
  median_us_ = *middle;
}

bool DiskSpeeds::is_beyond(const Chunkserver& chunkserver, double times) const {
  if (median_us_ == 0 || chunkserver.write_us < limits_.slow_us_min) return false;
  return chunkserver.write_us >= times * median_us_;
}

bool DiskSpeeds::is_slow(const Chunkserver& chunkserver) const {
  return is_beyond(chunkserver, limits_.slow_times);
}

bool DiskSpeeds::may_be_given_leaders(const Chunkserver& chunkserver) const {
  return !is_beyond(chunkserver, limits_.doubt_times);
}

std::string DiskSpeeds::describe(const Chunkserver& chunkserver) const {
  return "a durable write takes " + std::to_string(chunkserver.write_us / 1000) +
         " ms on its disk, and " + std::to_string(median_us_ / 1000) + " ms on the pool's median";
}

}  // namespace cairn::placement
