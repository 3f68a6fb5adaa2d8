/// Wakeup: what a background job sleeps on: until there is work, a time has passed, or the end.
#pragma once

#include <optional>

#include "io/env.h"
#include "io/sync.h"

namespace cairn::mds {

/// Threads: one reactor; one job waits at a time.
class Wakeup {
 public:
  explicit Wakeup(io::Env& env)
      : event_(env.executor), timer_(env.clock, [this] { event_.set(); }) {}

  /// The next wait (or the one under way) ends.
  void wake() { event_.set(); }

  /// Returns after wake(), or when `at_most` has passed.
  io::Task<void> wait(std::optional<Duration> at_most) {
    if (at_most) timer_.arm_after(*at_most);
    co_await event_.wait();
    event_.reset();
    timer_.disarm();
  }

 private:
  io::Event event_;
  io::Timer timer_;
};

}  // namespace cairn::mds
