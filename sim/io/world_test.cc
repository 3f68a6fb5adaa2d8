#include "sim/io/world.h"

#include <gtest/gtest.h>

#include "io/sync.h"

namespace cairn::sim {
namespace {

io::Task<int> sleep_and_count(io::Env env, int rounds) {
  for (int i = 0; i < rounds; ++i) co_await env.clock.sleep(1ms);
  co_return rounds;
}

TEST(World, VirtualTimePassesOnlyBetweenEvents) {
  World world(1);
  Host& host = world.add_host("a");
  const Instant begin = world.now();
  EXPECT_EQ(world.run(host, sleep_and_count(host.env(), 1000)), 1000);
  EXPECT_GE(world.now() - begin, 1s);
  EXPECT_LT(world.now() - begin, 1100ms);
}

TEST(World, TimersOfOneInstantRunInTheOrderOfArming) {
  World world(1);
  Host& host = world.add_host("a");
  std::vector<int> order;
  std::vector<std::unique_ptr<io::Timer>> timers;
  for (int i = 0; i < 5; ++i) {
    timers.push_back(
        std::make_unique<io::Timer>(host.env().clock, [&order, i] { order.push_back(i); }));
  }
  for (auto& timer : timers) timer->arm_after(5ms);
  timers[2]->disarm();
  EXPECT_TRUE(world.run_until_idle());
  EXPECT_EQ(order, (std::vector<int>{0, 1, 3, 4}));
}

TEST(World, ATimerCancelledWhileItsProcessIsBusyNeverRuns) {
  World world(1);
  Host& host = world.add_host("a", {.turn_cost = 10ms});
  bool second_ran = false;
  io::Timer second(host.env().clock, [&] { second_ran = true; });
  io::Timer first(host.env().clock, [&] {
    second.arm_after(1ms);  // comes due while the process is busy
  });
  first.arm_after(1ms);
  world.run_for(5ms);
  second.disarm();
  world.run_for(50ms);
  EXPECT_FALSE(second_ran);
}

TEST(World, ACancelledTimerLeavesNothingBehind) {
  World world(1);
  Host& host = world.add_host("a");
  io::Timer timer(host.env().clock, [] {});
  for (int i = 0; i < 100'000; ++i) timer.arm_after(std::chrono::hours(1));
  EXPECT_LT(world.queue().pending_count(), 10u);
  timer.disarm();
  EXPECT_TRUE(world.run_until_idle());
}

class Hook : public io::TurnHook {
 public:
  explicit Hook(std::vector<std::string>& log) : log_(log) {}
  void on_turn_end() override { log_.push_back("hook"); }

 private:
  std::vector<std::string>& log_;
};

TEST(World, HooksRunAtTheTurnsEndBehindWhatWasPosted) {
  World world(1);
  Host& host = world.add_host("a");
  std::vector<std::string> log;
  Hook hook(log);
  host.execute([&] {
    auto& executor = host.process().executor();
    executor.at_turn_end(hook);
    executor.post([&] {
      log.push_back("posted");
      executor.post([&] { log.push_back("posted from posted"); });
    });
    log.push_back("event");
  });
  EXPECT_EQ(log, (std::vector<std::string>{"event", "posted", "posted from posted", "hook"}));
}

TEST(World, EventsDueToABusyProcessShareItsNextTurn) {
  World world(1);
  Host& host = world.add_host("a", {.turn_cost = 1ms});
  std::vector<std::string> log;
  Hook hook(log);
  const auto arm = [&] {
    log.push_back("event");
    host.process().executor().at_turn_end(hook);
  };
  io::Timer a(host.env().clock, arm), b(host.env().clock, arm), c(host.env().clock, arm);
  a.arm_after(1ms);
  b.arm_after(1100us);
  c.arm_after(1200us);
  world.run_for(10ms);
  EXPECT_EQ(log, (std::vector<std::string>{"event", "hook", "event", "event", "hook"}));
}

TEST(Host, APausedProcessRunsNothingAndItsTimeGoesOn) {
  World world(1);
  Host& host = world.add_host("a");
  Instant ran_at{};
  io::Timer timer(host.env().clock, [&] { ran_at = host.env().clock.now(); });
  const Instant begin = host.env().clock.now();
  timer.arm_after(10ms);
  host.pause();
  world.run_for(100ms);
  EXPECT_EQ(ran_at, Instant{});
  host.resume();
  world.run_for(1ms);
  EXPECT_GE(ran_at - begin, 100ms);
}

TEST(Host, ADriftingClockNeverCallsEarlyByItsOwnTime) {
  for (const int64_t ppm : {-200'000, -300, 0, 300, 200'000}) {
    World world(7);
    Host& host = world.add_host("a", {.clock_drift_ppm = ppm});
    const Instant world_begin = world.now();
    const Instant begin = host.env().clock.now();
    Instant ran_at{};
    io::Timer timer(host.env().clock, [&] { ran_at = host.env().clock.now(); });
    timer.arm(begin + 10s);
    world.run_for(20s);
    EXPECT_GE(ran_at, begin + 10s) << ppm;
    EXPECT_LE(ran_at, begin + 10s + 1ms) << ppm;
    EXPECT_NEAR(static_cast<double>((host.env().clock.now() - begin).count()) /
                    static_cast<double>((world.now() - world_begin).count()),
                1.0 + static_cast<double>(ppm) * 1e-6, 1e-6);
  }
}

/// A component whose flows wait in many places when it is crashed.
class Waiter {
 public:
  explicit Waiter(io::Env env)
      : env_(env), gate_(env.executor), event_(env.executor), permits_(env.executor, 1) {
    env_.executor.spawn(hold_and_sleep());
    env_.executor.spawn(hold_and_sleep());
    env_.executor.spawn(wait_for_event());
    timer_.arm_after(1s);
  }
  int timer_runs = 0;

 private:
  io::Task<void> hold_and_sleep() {
    auto holder = gate_.enter();
    auto permit = co_await permits_.acquire();
    co_await env_.clock.sleep(1s);
  }
  io::Task<void> wait_for_event() {
    auto holder = gate_.enter();
    co_await event_.wait();
  }
  io::Env env_;
  io::Gate gate_;
  io::Event event_;
  io::Semaphore permits_;
  io::Timer timer_{env_.clock, [this] { ++timer_runs; }};
};

TEST(Host, ACrashTakesSuspendedFlowsApartBeforeTheirObjects) {
  World world(1);
  Host& host = world.add_host("a");
  auto waiter = std::make_unique<Waiter>(host.env());
  world.run_for(10ms);
  host.crash(CrashKind::kKill, [&] { waiter.reset(); });
  EXPECT_FALSE(host.is_running());
  world.run_for(5s);
  host.boot();
  waiter = std::make_unique<Waiter>(host.env());
  world.run_for(5s);
  EXPECT_EQ(waiter->timer_runs, 1);
  host.crash(CrashKind::kPowerLoss, [&] { waiter.reset(); });
}

uint64_t trace_of(uint64_t seed) {
  World world(seed);
  Host& a = world.add_host("a");
  Host& b = world.add_host("b");
  a.execute([&] {
    a.env().executor.spawn([](io::Env env) -> io::Task<void> {
      for (int i = 0; i < 50; ++i) co_await env.clock.sleep(Duration(env.rng.below(1'000'000)));
    }(a.env()));
  });
  world
      .run(b,
           [](Host* host) -> io::Task<Status> {
             io::OpenOptions options;
             options.create = true;
             auto file = CO_TRY(co_await host->disk().open("f", options));
             for (uint64_t i = 0; i < 20; ++i) {
               const Buffer data = Buffer::copy_of("0123456789");
               const std::array<ByteView, 1> parts{data.view()};
               CO_TRY(co_await file->write(i * 10, parts, io::Durability::kSynced));
             }
             co_return ok();
           }(&b))
      .value();
  EXPECT_TRUE(world.run_until_idle());
  return world.trace_hash();
}

TEST(World, ASeedRepeatsItselfAndDiffersFromAnother) {
  EXPECT_EQ(trace_of(11), trace_of(11));
  EXPECT_NE(trace_of(11), trace_of(12));
}

}  // namespace
}  // namespace cairn::sim
