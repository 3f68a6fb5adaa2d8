#include <gtest/gtest.h>

#include <thread>

#include "io/inbox.h"
#include "io/real/reactor.h"
#include "io/sync.h"

namespace cairn::io::real {
namespace {

constexpr int kThreadsCount = 4;
constexpr int kPostsCount = 2000;  // of each thread

std::unique_ptr<Inbox> open(Reactor& reactor) {
  auto inbox = reactor.open_inbox();
  CHECK(inbox.ok());
  return std::move(*inbox);
}

struct Seen {
  std::array<int, kThreadsCount> counts{};  ///< by thread
  int total = 0;
  bool in_order = true;
  bool on_reactor = true;
};

Task<void> wait_for(Event* all) {
  co_await all->wait();
}

TEST(ThreadInbox, WhatManyThreadsPostRunsOnTheReactorInTheOrderOfEach) {
  Reactor reactor;
  const auto inbox = open(reactor);
  Event all(reactor);
  Seen seen;
  const auto reactor_thread = std::this_thread::get_id();
  const auto run = [&](int thread, int number) {
    seen.on_reactor &= std::this_thread::get_id() == reactor_thread;
    seen.in_order &= seen.counts.at(static_cast<size_t>(thread))++ == number;
    if (++seen.total == kThreadsCount * kPostsCount) all.set();
  };
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreadsCount; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = 0; i < kPostsCount; ++i) inbox->post([&run, thread, i] { run(thread, i); });
    });
  }
  reactor.run_until_done(wait_for(&all));
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(seen.total, kThreadsCount * kPostsCount);
  EXPECT_TRUE(seen.in_order);
  EXPECT_TRUE(seen.on_reactor);
}

TEST(ThreadInbox, APostWakesAReactorThatSleeps) {
  Reactor reactor;
  const auto inbox = open(reactor);
  for (int round = 0; round < 20; ++round) {
    Event done(reactor);
    std::thread other([&] { inbox->post([&] { done.set(); }); });
    reactor.run_until_done(wait_for(&done));  // Nothing else would ever end this wait.
    other.join();
  }
}

TEST(ThreadInbox, WhatHasNotRunWhenItEndsIsDropped) {
  Reactor reactor;
  auto inbox = open(reactor);
  const auto token = std::make_shared<int>(0);
  inbox->post([token] { ++*token; });
  inbox.reset();
  reactor.run_until_done(
      [](Clock& clock) -> Task<void> { co_await clock.sleep(1ms); }(reactor.clock()));
  EXPECT_EQ(*token, 0);
  EXPECT_EQ(token.use_count(), 1);
}

}  // namespace
}  // namespace cairn::io::real
