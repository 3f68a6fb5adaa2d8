#include <gtest/gtest.h>

#include "io/clock.h"
#include "io/disk.h"
#include "io/env.h"
#include "io/sync.h"

namespace cairn::io {
namespace {

/// Runs what is posted, in order; no time, no events.
class TestExecutor : public Executor {
 public:
  ~TestExecutor() override { destroy_spawned(); }
  void post(std::coroutine_handle<> handle) override {
    queue_.push_back([handle] { handle.resume(); });
  }
  void post(std::function<void()> work) override { queue_.push_back(std::move(work)); }
  void run_turn() {
    do {
      while (!queue_.empty()) {
        auto work = std::move(queue_.front());
        queue_.pop_front();
        work();
      }
    } while (run_turn_hooks());
  }

 private:
  std::deque<std::function<void()>> queue_;
};

Task<Result<int>> parse(int value) {
  if (value < 0) co_return error(Errc::kInvalidArgument, "negative");
  co_return value;
}
Task<Result<int>> sum(int a, int b) {
  const int left = CO_TRY(co_await parse(a));
  const int right = CO_TRY(co_await parse(b));
  co_return left + right;
}
Task<void> store_sum(int a, int b, Result<int>* into) {
  *into = co_await sum(a, b);
}

TEST(Task, CoTryReturnsTheFirstError) {
  TestExecutor executor;
  Result<int> result = 0;
  executor.spawn(store_sum(1, 2, &result));
  EXPECT_EQ(*result, 3);
  executor.spawn(store_sum(1, -2, &result));
  EXPECT_EQ(result.code(), Errc::kInvalidArgument);
  EXPECT_EQ(executor.spawned_count(), 0u);
}

Task<void> wait_for(Event* event, int* woken) {
  co_await event->wait();
  ++*woken;
}

TEST(Event, WakesAllWaitersInTheSameTurn) {
  TestExecutor executor;
  Event event(executor);
  int woken = 0;
  executor.spawn(wait_for(&event, &woken));
  executor.spawn(wait_for(&event, &woken));
  event.set();
  EXPECT_EQ(woken, 0) << "a wake-up never runs inline";
  executor.run_turn();
  EXPECT_EQ(woken, 2);
}

TEST(Executor, DestroyingSpawnedFramesTakesThemOffTheirLists) {
  TestExecutor executor;
  Event event(executor);
  int woken = 0;
  executor.spawn(wait_for(&event, &woken));
  executor.destroy_spawned();
  EXPECT_FALSE(event.has_waiters());
  event.set();
  executor.run_turn();
  EXPECT_EQ(woken, 0);
}

Task<void> hold(Gate* gate, Event* until) {
  auto holder = gate->enter();
  EXPECT_TRUE(holder.ok());
  co_await until->wait();
}
Task<void> close(Gate* gate, bool* closed) {
  co_await gate->close();
  *closed = true;
}

TEST(Gate, CloseWaitsForTheLastHolder) {
  TestExecutor executor;
  Gate gate(executor);
  Event leave(executor);
  bool closed = false;
  executor.spawn(hold(&gate, &leave));
  executor.spawn(close(&gate, &closed));
  executor.run_turn();
  EXPECT_FALSE(closed);
  EXPECT_EQ(gate.enter().code(), Errc::kClosed);
  leave.set();
  executor.run_turn();
  EXPECT_TRUE(closed);
}

Task<void> take(Semaphore* semaphore, Event* until, int* inside) {
  auto permit = co_await semaphore->acquire();
  ++*inside;
  co_await until->wait();
  --*inside;
}

TEST(Semaphore, BoundsWhatIsUnderWay) {
  TestExecutor executor;
  Semaphore semaphore(executor, 2);
  Event leave(executor);
  int inside = 0;
  for (int i = 0; i < 5; ++i) executor.spawn(take(&semaphore, &leave, &inside));
  executor.run_turn();
  EXPECT_EQ(inside, 2);
  EXPECT_FALSE(semaphore.try_acquire());
  leave.set();
  executor.run_turn();
  EXPECT_EQ(inside, 0);
  EXPECT_EQ(semaphore.available_count(), 2u);
}

class CountingHook : public TurnHook {
 public:
  int runs = 0;
  void on_turn_end() override { ++runs; }
};

TEST(TurnHook, RunsOnceATurnHoweverOftenItIsArmed) {
  TestExecutor executor;
  CountingHook hook;
  executor.at_turn_end(hook);
  executor.at_turn_end(hook);
  {
    CountingHook gone;
    executor.at_turn_end(gone);
  }
  executor.run_turn();
  executor.run_turn();
  EXPECT_EQ(hook.runs, 1);
}

}  // namespace
}  // namespace cairn::io
