/// IoRing: the io_uring of one reactor, and RingOp: one operation on it as an awaitable.
///
/// Operations queued in a turn are submitted together at its end by one system call. The ring's own
/// descriptor wakes the event loop (an eventfd between them would cost 12 us at depth 1).
/// Threads: the reactor's.
/// Source:  docs/adr/0001-runtime.md.
#pragma once

#include <liburing.h>

#include <coroutine>
#include <cstring>
#include <memory>
#include <optional>

#include "base/result.h"
#include "base/units.h"
#include "io/executor.h"
#include "io/real/event_loop.h"

namespace cairn::io::real {

class IoRing;

/// Lives in the frame that awaits it, and so do the buffers it points to: a frame that is destroyed
/// while its operation is under way waits in the destructor until the kernel lets go of them.
/// Prepare sqe() with the io_uring_prep_* functions, then co_await: gives the result, or -errno.
class RingOp {
 public:
  explicit RingOp(IoRing& ring) : ring_(ring) { std::memset(&sqe_, 0, sizeof(sqe_)); }
  ~RingOp();
  RingOp(const RingOp&) = delete;
  RingOp& operator=(const RingOp&) = delete;

  io_uring_sqe* sqe() { return &sqe_; }

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> caller);
  int await_resume() const noexcept { return result_; }

 private:
  friend class IoRing;
  enum class Stage : uint8_t { kIdle, kWaiting, kInFlight };
  IoRing& ring_;
  io_uring_sqe sqe_;
  std::coroutine_handle<> caller_;
  RingOp* next_waiting_ = nullptr;
  Stage stage_ = Stage::kIdle;
  int result_ = 0;
};

class IoRing final : private FdEvents {
 public:
  /// kUnsupported where the kernel or a sandbox offers no io_uring.
  static Result<std::unique_ptr<IoRing>> create(Executor& executor, EventLoop& loop);
  ~IoRing();  ///< nothing is under way

  /// Posts those who wait for what has completed; false if nothing had.
  bool reap();
  /// Hands the kernel what was queued.
  void submit();
  /// Is there something to reap? Reads memory only.
  bool has_completions() const;
  /// The kernel refused a part for now (it is short of memory): submit() again soon.
  bool must_submit_again() const { return io_uring_sq_ready(&ring_) > 0; }
  /// Makes the event loop wake up at the next completion.
  void arm_wakeup();

  /// Operations above this wait in order, in their own frames.
  static constexpr size_t kInFlightMax = 1024;

 private:
  friend class RingOp;
  IoRing(Executor& executor, io_uring ring);

  void enqueue(RingOp& op);
  void forget(RingOp& op);
  void push(RingOp& op);
  void push_waiting();
  void on_readable() override {}  // Waking up is all: the reactor reaps in each turn.

  Executor& executor_;
  io_uring ring_;
  std::optional<FdWatch> watch_;
  size_t in_flight_count_ = 0;
  RingOp* waiting_first_ = nullptr;
  RingOp* waiting_last_ = nullptr;
};

}  // namespace cairn::io::real
