/// DiskSpeeds: which disks of a pool write so much more slowly than the others that they should not
/// lead: every write of a copyset waits for its leader's read and apply, while one slow follower of
/// three holds up nobody.
///
/// A disk is measured against the pool's median, so that where all are slow none is. Between the
/// two bounds a disk keeps the leaders that it has and is given no more: one at a bound does not
/// make leaders go back and forth. Pure; short-lived: the cluster must not change while it exists.
#pragma once

#include <cstdint>
#include <string>

#include "placement/cluster.h"

namespace cairn::placement {

struct SlowDiskLimits {
  double slow_times = 4;          ///< of the median: leaders leave it
  double doubt_times = 2;         ///< of the median: it is given none
  uint32_t slow_us_min = 40'000;  ///< a disk that is faster is never slow
};

class DiskSpeeds {
 public:
  DiskSpeeds(const Cluster& cluster, const LogicalPool& pool, const SlowDiskLimits& limits);

  bool is_slow(const Chunkserver& chunkserver) const;
  bool may_be_given_leaders(const Chunkserver& chunkserver) const;
  /// For a person.
  std::string describe(const Chunkserver& chunkserver) const;

 private:
  bool is_beyond(const Chunkserver& chunkserver, double times) const;

  const SlowDiskLimits limits_;
  uint32_t median_us_ = 0;  ///< 0: fewer than two are known
};

}  // namespace cairn::placement
