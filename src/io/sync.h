/// What coroutines of one reactor wait on: Event, OneShot, Gate, Semaphore.
///
/// Waiters are intrusive list nodes inside the waiting frames: nothing is allocated, and a frame
/// that is destroyed while it waits takes itself off the list. A wake-up never resumes inline; the
/// waiter is posted, so that the waker's state is settled before anybody else runs.
/// Threads: one reactor.
#pragma once

#include <coroutine>
#include <optional>
#include <utility>

#include "base/result.h"
#include "io/executor.h"

namespace cairn::io {

namespace detail {

struct WaitNode {
  WaitNode* next = nullptr;
  WaitNode* previous = nullptr;
  std::coroutine_handle<> handle;
  bool linked() const { return next != nullptr; }
  void unlink() {
    if (!linked()) return;
    next->previous = previous;
    previous->next = next;
    next = previous = nullptr;
  }
};

class WaitList {
 public:
  WaitList() { head_.next = head_.previous = &head_; }
  ~WaitList() { CHECK(empty(), "something still waits on a primitive that is destroyed"); }
  WaitList(const WaitList&) = delete;
  WaitList& operator=(const WaitList&) = delete;
  bool empty() const { return head_.next == &head_; }
  void push(WaitNode& node) {
    node.previous = head_.previous;
    node.next = &head_;
    head_.previous->next = &node;
    head_.previous = &node;
  }
  WaitNode* front() { return empty() ? nullptr : head_.next; }
  WaitNode* pop() {
    if (empty()) return nullptr;
    WaitNode* node = head_.next;
    node->unlink();
    return node;
  }

 private:
  WaitNode head_;
};

/// Lives in the waiting frame. Frames die suspended only when their whole executor is taken apart,
/// so a handle that has been posted is never resumed after its frame is gone.
class Awaiter : public WaitNode {
 public:
  Awaiter() = default;
  Awaiter(const Awaiter&) = delete;
  Awaiter& operator=(const Awaiter&) = delete;
  ~Awaiter() { unlink(); }
};

}  // namespace detail

/// A level: once set, waiting returns at once until it is reset.
class Event {
 public:
  explicit Event(Executor& executor) : executor_(executor) {}

  void set() {
    is_set_ = true;
    notify_all();
  }
  void reset() { is_set_ = false; }
  bool is_set() const { return is_set_; }
  /// Wakes all that wait now and leaves the level alone: a condition variable.
  void notify_all() {
    while (auto* node = waiters_.pop()) executor_.post(node->handle);
  }
  bool has_waiters() const { return !waiters_.empty(); }

  struct Wait : detail::Awaiter {
    Event& event;
    bool only_next;
    Wait(Event& on, bool next_only) : event(on), only_next(next_only) {}
    bool await_ready() const noexcept { return !only_next && event.is_set_; }
    void await_suspend(std::coroutine_handle<> caller) {
      handle = caller;
      event.waiters_.push(*this);
    }
    void await_resume() const noexcept {}
  };
  /// Returns once the event is set.
  Wait wait() { return Wait(*this, false); }
  /// Returns at the next set() or notify_all().
  Wait wait_next() { return Wait(*this, true); }

 private:
  Executor& executor_;
  detail::WaitList waiters_;
  bool is_set_ = false;
};

/// A value that is delivered once to the one who waits for it.
template <typename T>
class OneShot {
 public:
  explicit OneShot(Executor& executor) : executor_(executor) {}
  OneShot(const OneShot&) = delete;
  OneShot& operator=(const OneShot&) = delete;

  void set(T value) {
    CHECK(!value_, "a one-shot is set once");
    value_.emplace(std::move(value));
    if (waiter_) executor_.post(std::exchange(waiter_, {}));
  }
  bool is_set() const { return value_.has_value(); }

  bool await_ready() const noexcept { return value_.has_value(); }
  void await_suspend(std::coroutine_handle<> caller) {
    CHECK(!waiter_, "a one-shot has one waiter");
    waiter_ = caller;
  }
  T await_resume() { return std::move(*value_); }

 private:
  Executor& executor_;
  std::optional<T> value_;
  std::coroutine_handle<> waiter_;
};

/// Counts the flows inside a service; stop() closes it and waits until the last has left.
class Gate {
 public:
  explicit Gate(Executor& executor) : left_(executor) {}
  ~Gate() { CHECK(holders_count_ == 0, "a gate is destroyed after the last has left"); }
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  class Holder {
   public:
    explicit Holder(Gate& gate) : gate_(&gate) { ++gate.holders_count_; }
    Holder(Holder&& other) noexcept : gate_(std::exchange(other.gate_, nullptr)) {}
    Holder& operator=(Holder&&) = delete;
    ~Holder() {
      if (gate_ && --gate_->holders_count_ == 0 && gate_->closed_) gate_->left_.set();
    }

   private:
    Gate* gate_;
  };

  /// kClosed once close() has been called.
  Result<Holder> enter() {
    if (closed_) return error(Errc::kClosed, "stopping");
    return Holder(*this);
  }
  bool is_closed() const { return closed_; }
  size_t holders_count() const { return holders_count_; }

  /// Lets nobody in from now on and returns when the last holder has left.
  Task<void> close() {
    closed_ = true;
    if (holders_count_ > 0) co_await left_.wait();
  }

 private:
  Event left_;
  size_t holders_count_ = 0;
  bool closed_ = false;
};

/// A bound on what is under way at once; those who wait are served in order.
class Semaphore {
 public:
  Semaphore(Executor& executor, size_t permits_count)
      : executor_(executor), permits_count_(permits_count) {}

  class Permit {
   public:
    Permit() = default;
    explicit Permit(Semaphore& from) : from_(&from) {}
    Permit(Permit&& other) noexcept : from_(std::exchange(other.from_, nullptr)) {}
    Permit& operator=(Permit&& other) noexcept {
      std::swap(from_, other.from_);
      return *this;
    }
    ~Permit() {
      if (from_) from_->release();
    }

   private:
    Semaphore* from_ = nullptr;
  };

  struct Acquire : detail::Awaiter {
    Semaphore& from;
    bool granted = false;  ///< a permit was handed over while waiting
    bool taken = false;
    explicit Acquire(Semaphore& s) : from(s) {}
    ~Acquire() {
      if (granted && !taken) from.release();
    }
    bool await_ready() noexcept {
      if (from.permits_count_ == 0 || !from.waiters_.empty()) return false;
      --from.permits_count_;
      granted = true;
      return true;
    }
    void await_suspend(std::coroutine_handle<> caller) {
      handle = caller;
      from.waiters_.push(*this);
    }
    Permit await_resume() {
      taken = true;
      return Permit(from);
    }
  };
  Acquire acquire() { return Acquire(*this); }
  /// Takes a permit if one is free now.
  std::optional<Permit> try_acquire() {
    if (permits_count_ == 0 || !waiters_.empty()) return std::nullopt;
    --permits_count_;
    return Permit(*this);
  }
  size_t available_count() const { return permits_count_; }

 private:
  void release() {
    if (auto* node = waiters_.pop()) {
      static_cast<Acquire*>(node)->granted = true;
      executor_.post(node->handle);
    } else {
      ++permits_count_;
    }
  }
  Executor& executor_;
  size_t permits_count_;
  detail::WaitList waiters_;
};

}  // namespace cairn::io
