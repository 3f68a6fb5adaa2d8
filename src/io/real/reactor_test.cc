#include "io/real/reactor.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>

#include "io/sync.h"

namespace cairn::io::real {
namespace {

Task<int> answer() {
  co_return 42;
}

Task<void> note(std::vector<std::string>* log, std::string text) {
  log->push_back(std::move(text));
  co_return;
}

struct Yield {
  Executor& executor;
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> caller) { executor.post(caller); }
  void await_resume() const noexcept {}
};

TEST(Reactor, RunsATaskToItsEnd) {
  Reactor reactor;
  EXPECT_EQ(reactor.run_until_done(answer()), 42);
  std::vector<std::string> log;
  reactor.run_until_done(note(&log, "ran"));
  EXPECT_EQ(log, std::vector<std::string>{"ran"});
}

TEST(Reactor, WorkRunsInTheOrderOfPosting) {
  Reactor reactor;
  std::vector<int> order;
  for (int i = 0; i < 100; ++i) {
    reactor.post([&order, i] { order.push_back(i); });
  }
  reactor.post([&reactor] { reactor.stop(); });
  reactor.run();
  ASSERT_EQ(order.size(), 100u);
  EXPECT_TRUE(std::ranges::is_sorted(order));
}

TEST(RingQueue, KeepsItsOrderWhileItGrowsAndWraps) {
  RingQueue<std::unique_ptr<int>> queue;
  int pushed = 0;
  int popped = 0;
  for (int round = 0; round < 100; ++round) {
    for (int i = 0; i < round; ++i) queue.push(std::make_unique<int>(pushed++));
    for (int i = 0; i < round - 1; ++i) ASSERT_EQ(*queue.pop(), popped++);
  }
  EXPECT_EQ(queue.count(), static_cast<size_t>(pushed - popped));
  EXPECT_EQ(*queue.at(1), popped + 1);
  queue.clear();
  EXPECT_TRUE(queue.empty());
}

Task<void> sleep_and_note(Clock* clock, Duration delay, std::vector<int64_t>* order) {
  co_await clock->sleep(delay);
  order->push_back(to_ms(delay));
}

Task<void> sleep_then_stop(Reactor* reactor, Duration delay) {
  co_await reactor->clock().sleep(delay);
  reactor->stop();
}

TEST(Timers, FireInTheOrderOfTheirTimesAndNotBefore) {
  Reactor reactor;
  std::vector<int64_t> order;
  const Instant begin = reactor.clock().now();
  for (const Duration delay : {Duration(20ms), Duration(5ms), Duration(10ms), Duration(1ms)}) {
    reactor.spawn(sleep_and_note(&reactor.clock(), delay, &order));
  }
  reactor.spawn(sleep_then_stop(&reactor, 25ms));
  reactor.run();
  EXPECT_EQ(order, (std::vector<int64_t>{1, 5, 10, 20}));
  EXPECT_GE(reactor.clock().now() - begin, 25ms);
}

TEST(Timers, OneThatIsDisarmedOrDestroyedNeverFires) {
  Reactor reactor;
  int fired = 0;
  Timer kept(reactor.clock(), [&] { ++fired; });
  Timer disarmed(reactor.clock(), [&] { fired += 100; });
  auto destroyed = std::make_unique<Timer>(reactor.clock(), [&] { fired += 100; });
  Timer killer(reactor.clock(), [&] {
    disarmed.disarm();
    destroyed.reset();
  });
  const Instant due = reactor.clock().now() + 2ms;
  killer.arm(due);  // All three are due at once: the first takes the others off the list.
  disarmed.arm(due);
  destroyed->arm(due);
  for (int i = 0; i < 1000; ++i) kept.arm_after(3ms);
  reactor.run_until_done(sleep_then_stop(&reactor, 10ms));
  EXPECT_EQ(fired, 1);
}

TEST(Timers, OneThatIsAlwaysDueLeavesRoomForTheRest) {
  Reactor reactor;
  int fired = 0;
  std::function<void()> again;
  Timer timer(reactor.clock(), [&] { again(); });
  again = [&] {
    ++fired;
    timer.arm(reactor.clock().now());
  };
  again();
  reactor.run_until_done(sleep_then_stop(&reactor, 5ms));
  EXPECT_GT(fired, 1);
}

class CountingHook : public TurnHook {
 public:
  int runs = 0;
  std::function<void()> then;
  void on_turn_end() override {
    ++runs;
    if (then) then();
  }
};

TEST(Reactor, AHookRunsAfterAllWorkOfTheTurnAndWhatItPostsBeforeTheNextSleep) {
  Reactor reactor;
  std::vector<std::string> order;
  CountingHook hook;
  hook.then = [&] {
    order.push_back("hook");
    reactor.post([&] {
      order.push_back("posted by hook");
      reactor.stop();
    });
  };
  reactor.at_turn_end(hook);  // Before the first turn: nothing else would wake the loop.
  reactor.post([&] {
    order.push_back("first");
    reactor.post([&] { order.push_back("second"); });
  });
  reactor.run();
  EXPECT_EQ(order, (std::vector<std::string>{"first", "second", "hook", "posted by hook"}));
  EXPECT_EQ(hook.runs, 1);
}

Task<void> yield_for_ever(Reactor* reactor) {
  while (true) co_await Yield{*reactor};
}

TEST(Reactor, AFlowThatNeverPausesStarvesNeitherHooksNorTimers) {
  Reactor reactor;
  reactor.spawn(yield_for_ever(&reactor));
  CountingHook hook;
  int hooks_run = 0;
  hook.then = [&] { ++hooks_run; };
  reactor.at_turn_end(hook);
  reactor.run_until_done(sleep_then_stop(&reactor, 2ms));
  EXPECT_EQ(hooks_run, 1);
}

TEST(Reactor, AHookThatRearmsThroughWorkKeepsTheLoopGoing) {
  Reactor reactor;
  CountingHook hook;
  hook.then = [&] {
    if (hook.runs == 1000) return reactor.stop();
    reactor.post([&] { reactor.at_turn_end(hook); });
  };
  reactor.at_turn_end(hook);
  reactor.run();
  EXPECT_EQ(hook.runs, 1000);
}

TEST(Reactor, ASignalStopsIt) {
  Reactor reactor;
  int received = 0;
  reactor.on_signal(SIGTERM, [&] {
    if (++received == 2) return reactor.stop();
    ::raise(SIGTERM);
  });
  reactor.post([] { ::raise(SIGTERM); });
  reactor.run();
  EXPECT_EQ(received, 2);
}

TEST(Reactor, SleepsWithoutUsingTheProcessor) {
  Reactor reactor;
  const auto cpu_ns = [] {
    timespec time{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
  };
  const int64_t before_ns = cpu_ns();
  reactor.run_until_done(sleep_then_stop(&reactor, 200ms));
  EXPECT_LT(cpu_ns() - before_ns, 20'000'000) << "it spins";
}

Task<void> wait_for(Event* event) {
  co_await event->wait();
}

TEST(Reactor, TakesSpawnedFramesApartWhenItIsDestroyed) {
  auto reactor = std::make_unique<Reactor>();
  Event event(*reactor);
  reactor->spawn(wait_for(&event));
  reactor->spawn(sleep_then_stop(reactor.get(), 3600s));
  EXPECT_EQ(reactor->spawned_count(), 2u);
  reactor.reset();
  EXPECT_FALSE(event.has_waiters());
}

TEST(Entropy, FillsWithSomethingElseEachTime) {
  Reactor reactor;
  std::array<std::byte, 32> first{};
  std::array<std::byte, 32> second{};
  reactor.entropy().fill(first);
  reactor.entropy().fill(second);
  EXPECT_NE(first, second);
}

}  // namespace
}  // namespace cairn::io::real
