/// Clock: monotonic time and timers of one reactor.
#pragma once

#include <coroutine>
#include <functional>
#include <utility>

#include "base/units.h"

namespace cairn::io {

class Clock;

/// A callback at a time; re-armed as often as liked, destroyed at any time. One callback is never
/// called after disarm() or the destructor. Costs microseconds to arm: components keep one coarse
/// timer and sweep deadlines with it, they never keep one an operation.
class Timer {
 public:
  Timer(Clock& clock, std::function<void()> callback)
      : clock_(clock), callback_(std::move(callback)) {}
  ~Timer() { disarm(); }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  /// Calls back once, at or soon after `when`; replaces an earlier time.
  void arm(Instant when);
  void arm_after(Duration delay);
  void disarm();
  bool armed() const { return id_ != 0; }

 private:
  Clock& clock_;
  std::function<void()> callback_;
  uint64_t id_ = 0;
};

/// Threads: the reactor's.
class Clock {
 public:
  virtual ~Clock() = default;

  /// Read from the system at each call; goes on while the machine sleeps or the process is stopped.
  virtual Instant now() const = 0;
  /// The time of day in nanoseconds since 1970, for people; never for a decision.
  virtual int64_t wall_time_ns() const = 0;

  /// Calls `callback` once at `when`; the id (never 0) cancels it. For Timer and sleep.
  virtual uint64_t schedule(Instant when, std::function<void()> callback) = 0;
  virtual void cancel(uint64_t id) = 0;

  struct Sleep {
    Clock& clock;
    Instant until;
    uint64_t id = 0;
    ~Sleep() {
      if (id != 0) clock.cancel(id);
    }
    bool await_ready() const { return clock.now() >= until; }
    void await_suspend(std::coroutine_handle<> caller) {
      id = clock.schedule(until, [this, caller] {
        id = 0;
        caller.resume();
      });
    }
    void await_resume() const noexcept {}
  };
  Sleep sleep_until(Instant until) { return Sleep{*this, until}; }
  Sleep sleep(Duration delay) { return Sleep{*this, now() + delay}; }
};

inline void Timer::arm(Instant when) {
  disarm();
  id_ = clock_.schedule(when, [this] {
    id_ = 0;
    callback_();
  });
}
inline void Timer::arm_after(Duration delay) {
  arm(clock_.now() + delay);
}
inline void Timer::disarm() {
  if (id_ != 0) clock_.cancel(std::exchange(id_, 0));
}

}  // namespace cairn::io
