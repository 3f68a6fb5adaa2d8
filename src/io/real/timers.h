/// Timers: the Clock of a reactor, and what is due on it.
///
/// Time is CLOCK_BOOTTIME, which goes on while the machine sleeps: a lease that expired meanwhile
/// has expired. Timers fire up to 1 ms late, because the reactor sleeps in whole milliseconds.
/// Threads: the reactor's.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <unordered_map>

#include "io/clock.h"

namespace cairn::io::real {

class Timers final : public Clock {
 public:
  Instant now() const override;
  int64_t wall_time_ns() const override;
  uint64_t schedule(Instant when, std::function<void()> callback) override;
  void cancel(uint64_t id) override;

  /// Calls what is due at `now`, in order of time; what a callback adds waits for the next time.
  /// False if nothing was due.
  bool fire_due(Instant now);
  std::optional<Instant> earliest() const;

 private:
  // A map rather than a heap: a timer that is re-armed a thousand times leaves nothing behind.
  using Due = std::map<std::pair<Instant, uint64_t>, std::function<void()>>;
  Due due_;
  std::unordered_map<uint64_t, Due::iterator> by_id_;
  uint64_t next_id_ = 1;
};

}  // namespace cairn::io::real
