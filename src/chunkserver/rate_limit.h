/// RateLimit: what background work may move a second, on average.
/// Threads: one reactor.
#pragma once

#include <algorithm>

#include "io/clock.h"
#include "io/task.h"

namespace cairn::chunkserver {

class RateLimit {
 public:
  /// 0: no limit.
  RateLimit(io::Clock& clock, uint64_t bytes_per_second)
      : clock_(clock), bytes_per_second_(bytes_per_second) {}

  /// Returns when what was charged so far has had its time. Those that wait together go on
  /// together: the caller bounds their number.
  io::Task<void> wait() {
    if (free_at_ > clock_.now()) co_await clock_.sleep_until(free_at_);
  }
  /// The same for one whose caller has a deadline.
  io::Task<void> wait_at_most(Duration limit) {
    const Instant until = std::min(free_at_, clock_.now() + limit);
    if (until > clock_.now()) co_await clock_.sleep_until(until);
  }
  /// Of what was moved, afterwards: before, it is often not known how much it will be.
  void charge(uint64_t bytes) {
    if (bytes_per_second_ == 0) return;
    const double seconds = static_cast<double>(bytes) / static_cast<double>(bytes_per_second_);
    free_at_ = std::max(free_at_, clock_.now()) + Duration(static_cast<int64_t>(seconds * 1e9));
  }

 private:
  io::Clock& clock_;
  const uint64_t bytes_per_second_;
  Instant free_at_;
};

}  // namespace cairn::chunkserver
