/// Executor: the run queue of one reactor, and the only way in which work is put off.
///
/// A *turn* is: whatever events are due, everything that they make ready, and then the turn-end
/// hooks, which is where a batch collected during the turn is written once (frames to a socket,
/// records to the log).
#pragma once

#include <coroutine>
#include <functional>

#include "io/task.h"

namespace cairn::io {

/// Runs once at the end of the turn in which it was armed. What it makes ready runs in the same
/// turn, before the reactor sleeps. Destroying an armed hook disarms it.
class TurnHook {
 public:
  TurnHook() = default;
  TurnHook(const TurnHook&) = delete;
  TurnHook& operator=(const TurnHook&) = delete;
  virtual ~TurnHook();
  virtual void on_turn_end() = 0;
  bool armed() const { return owner_ != nullptr; }

 private:
  friend class Executor;
  TurnHook* next_ = nullptr;
  TurnHook* previous_ = nullptr;
  class Executor* owner_ = nullptr;
};

class Executor;

/// co_await later(executor): the rest runs in a later round of this turn, behind what is posted
/// and, where hooks are running, behind them and what they submit to the disk.
class Later {
 public:
  explicit Later(Executor& executor) : executor_(executor) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle);
  void await_resume() const noexcept {}

 private:
  Executor& executor_;
};
inline Later later(Executor& executor) {
  return Later(executor);
}

/// Threads: all calls from the reactor's thread.
class Executor {
 public:
  Executor() = default;
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;
  virtual ~Executor();

  /// Resumes `handle` later in this turn, in the order of posting.
  virtual void post(std::coroutine_handle<> handle) = 0;
  /// Calls `work` later in this turn, in the order of posting.
  virtual void post(std::function<void()> work) = 0;

  /// Starts `task` now and owns its frame until it ends. A long-lived flow also holds a Gate.
  void spawn(Task<void> task);
  /// Destroys every spawned frame that has not ended: a crash, as the frames see it.
  void destroy_spawned();
  size_t spawned_count() const { return spawned_count_; }

  /// Idempotent while armed.
  void at_turn_end(TurnHook& hook);

 protected:
  /// Runs the armed hooks; false if there was none.
  bool run_turn_hooks();

 private:
  friend class TurnHook;
  void disarm(TurnHook& hook);

  struct SpawnedLink {
    SpawnedLink* next = nullptr;
    SpawnedLink* previous = nullptr;
    std::coroutine_handle<> frame;
  };
  SpawnedLink spawned_{&spawned_, &spawned_, {}};
  size_t spawned_count_ = 0;
  TurnHook* hooks_first_ = nullptr;
  TurnHook* hooks_last_ = nullptr;

 public:
  /// For the implementation of spawn() alone.
  using Link = SpawnedLink;
  void link_spawned(Link& link);
  void unlink_spawned(Link& link);
};

}  // namespace cairn::io
