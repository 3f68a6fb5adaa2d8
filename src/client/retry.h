/// What to do after a failed try, and how long to wait: pure.
#pragma once

#include "base/result.h"
#include "base/rng.h"
#include "base/units.h"

namespace cairn::client {

enum class Verdict : uint8_t {
  kGiveUp,   ///< no retry can help
  kTryNext,  ///< this member cannot serve now; another may
  kBackOff,  ///< the right one, but too busy: the same one later
  kRefresh,  ///< our view of the copyset is old
};
Verdict judge(Errc code);

/// Whether a try that failed so may have been carried out, now or later.
bool outcome_unknown(Errc code);

/// The growing timeouts and pauses of one operation.
class Pace {
 public:
  struct Bounds {
    Duration timeout_min, timeout_max;
    Duration backoff_min, backoff_max;
  };
  explicit Pace(Bounds bounds)
      : bounds_(bounds), timeout_(bounds.timeout_min), backoff_(bounds.backoff_min) {
    CHECK(bounds.timeout_min > Duration::zero() && bounds.timeout_min <= bounds.timeout_max);
    CHECK(bounds.backoff_min > Duration::zero() && bounds.backoff_min <= bounds.backoff_max);
  }

  /// The next try's timeout.
  Duration timeout() const { return timeout_; }
  void on_timeout() { timeout_ = std::min(timeout_ * 2, bounds_.timeout_max); }

  /// The next pause: between half and all of a value that doubles, so that the clients that lost
  /// the same leader do not come back in one wave.
  Duration next_backoff(Rng& rng);

 private:
  Bounds bounds_;
  Duration timeout_;
  Duration backoff_;
};

}  // namespace cairn::client
