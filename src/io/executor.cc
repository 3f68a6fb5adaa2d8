#include "io/executor.h"

namespace cairn::io {

TurnHook::~TurnHook() {
  if (owner_) owner_->disarm(*this);
}

void Later::await_suspend(std::coroutine_handle<> handle) {
  executor_.post(handle);
}

Executor::~Executor() {
  CHECK(spawned_count_ == 0, "an executor outlives what was spawned on it");
  while (hooks_first_) disarm(*hooks_first_);
}

namespace {

/// The frame around a spawned task: eager, self-destroying, known to its executor.
struct Root {
  struct promise_type {
    Executor& executor;
    Executor::Link link;

    promise_type(Executor& on, Task<void>&) : executor(on) {
      link.frame = std::coroutine_handle<promise_type>::from_promise(*this);
      executor.link_spawned(link);
    }
    ~promise_type() { executor.unlink_spawned(link); }
    Root get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    [[noreturn]] void unhandled_exception() noexcept {
      check_failed("no exception leaves a coroutine", __FILE__, __LINE__);
    }
  };
};

Root run_root(Executor&, Task<void> task) {
  co_await std::move(task);
}

}  // namespace

void Executor::spawn(Task<void> task) {
  run_root(*this, std::move(task));
}

void Executor::link_spawned(Link& link) {
  link.previous = spawned_.previous;
  link.next = &spawned_;
  spawned_.previous->next = &link;
  spawned_.previous = &link;
  ++spawned_count_;
}

void Executor::unlink_spawned(Link& link) {
  link.previous->next = link.next;
  link.next->previous = link.previous;
  CHECK(spawned_count_ > 0);
  --spawned_count_;
}

void Executor::destroy_spawned() {
  while (spawned_.next != &spawned_) spawned_.next->frame.destroy();
}

void Executor::at_turn_end(TurnHook& hook) {
  if (hook.owner_) {
    CHECK(hook.owner_ == this);
    return;
  }
  hook.owner_ = this;
  hook.next_ = nullptr;
  hook.previous_ = hooks_last_;
  (hooks_last_ ? hooks_last_->next_ : hooks_first_) = &hook;
  hooks_last_ = &hook;
}

void Executor::disarm(TurnHook& hook) {
  CHECK(hook.owner_ == this);
  (hook.previous_ ? hook.previous_->next_ : hooks_first_) = hook.next_;
  (hook.next_ ? hook.next_->previous_ : hooks_last_) = hook.previous_;
  hook.owner_ = nullptr;
  hook.next_ = hook.previous_ = nullptr;
}

bool Executor::run_turn_hooks() {
  if (!hooks_first_) return false;
  while (hooks_first_) {
    TurnHook& hook = *hooks_first_;
    disarm(hook);
    hook.on_turn_end();
  }
  return true;
}

}  // namespace cairn::io
