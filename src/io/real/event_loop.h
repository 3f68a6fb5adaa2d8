/// EventLoop: readiness of file descriptors, signals, and the one place where the thread sleeps.
///
/// Boost.Asio stands behind it (its epoll reactor, without locks), in event_loop.cc and nowhere
/// else: no other file pays for its headers, and TLS or HTTP can later run on the same io_context.
/// Threads: one.
/// Source:  docs/adr/0001-runtime.md.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "base/units.h"

namespace cairn::io::real {

/// What a watched descriptor reports. A callback may destroy the watch and its owner.
class FdEvents {
 public:
  virtual void on_readable() = 0;
  virtual void on_writable() {}

 protected:
  ~FdEvents() = default;
};

class EventLoop {
 public:
  EventLoop();
  ~EventLoop();  ///< after all its watches
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  /// Sleeps until one event has been handled, or for at most `timeout` (rounded up to 1 ms).
  void wait(std::optional<Duration> timeout);
  /// Handles events that are there now, at most `events_max`.
  size_t poll(size_t events_max);
  void on_signal(int signal_number, std::function<void()> callback);

 private:
  friend class FdWatch;
  struct State;
  std::unique_ptr<State> state_;
};

/// Reports readiness of one descriptor, each time it is asked to.
class FdWatch {
 public:
  /// The caller keeps `fd` open until the watch is gone.
  FdWatch(EventLoop& loop, int fd, FdEvents& events);
  ~FdWatch();  ///< nothing is reported afterwards
  FdWatch(const FdWatch&) = delete;
  FdWatch& operator=(const FdWatch&) = delete;

  /// Calls on_readable() once, never inline, when there is something to read (or an error, or the
  /// end). Asking again before that changes nothing.
  void want_readable();
  void want_writable();

 private:
  struct State;
  std::shared_ptr<State> state_;  // Shared with the handlers that Asio still holds.
};

}  // namespace cairn::io::real
