#include <gtest/gtest.h>

#include <map>
#include <set>

#include "client/block_order.h"
#include "client/copyset_routes.h"
#include "client/inflight_limit.h"
#include "client/retry.h"
#include "client/split.h"
#include "client/write_window.h"

namespace cairn::client {
namespace {

/// Runs what is posted, in order; no time, no events.
class TestExecutor : public io::Executor {
 public:
  ~TestExecutor() override { destroy_spawned(); }
  void post(std::coroutine_handle<> handle) override {
    queue_.push_back([handle] { handle.resume(); });
  }
  void post(std::function<void()> work) override { queue_.push_back(std::move(work)); }
  void run_turn() {
    while (!queue_.empty()) {
      auto work = std::move(queue_.front());
      queue_.pop_front();
      work();
    }
  }

 private:
  std::deque<std::function<void()>> queue_;
};

// ---- Splitter

constexpr Layout kSmall{64 * kKiB, 16 * kKiB};

TEST(Splitter, EndsPartsAtChunksAndSegments) {
  Splitter parts(kSmall, 12 * kKiB, 60 * kKiB, 0);
  std::vector<Part> all;
  while (!parts.done()) all.push_back(parts.next());
  ASSERT_EQ(all.size(), 5u);
  EXPECT_EQ(all[0].size_bytes, 4 * kKiB);
  EXPECT_EQ(all[0].chunk_index, 0u);
  EXPECT_EQ(all[0].offset_in_chunk_bytes, 12 * kKiB);
  EXPECT_EQ(all[3].chunk_index, 3u);
  EXPECT_EQ(all[4].segment_index, 1u);
  EXPECT_EQ(all[4].chunk_index, 0u);
  EXPECT_EQ(all[4].offset_in_request_bytes, 52 * kKiB);
  EXPECT_EQ(all[4].size_bytes, 8 * kKiB);
}

TEST(Splitter, PartsOfARandomRangeCoverItExactlyOnce) {
  Rng rng(1);
  for (int round = 0; round < 2000; ++round) {
    const uint64_t offset = rng.below(300 * kKiB);
    const uint64_t size = rng.below(200 * kKiB);
    const uint32_t part_max = rng.chance(0.5) ? 0 : static_cast<uint32_t>(4 * kKiB);
    Splitter parts(kSmall, offset, size, part_max);
    uint64_t at = offset;
    while (!parts.done()) {
      const Part part = parts.next();
      EXPECT_EQ(part.offset_in_request_bytes, at - offset);
      EXPECT_EQ(part.segment_index * kSmall.segment_bytes + part.chunk_index * kSmall.chunk_bytes +
                    part.offset_in_chunk_bytes,
                at);
      EXPECT_LE(part.offset_in_chunk_bytes + part.size_bytes, kSmall.chunk_bytes);
      EXPECT_GT(part.size_bytes, 0u);
      if (part_max > 0) {
        EXPECT_LE(part.size_bytes, part_max);
      }
      at += part.size_bytes;
    }
    EXPECT_EQ(at, offset + size);
  }
}

constexpr Layout kStriped{.segment_bytes = 512 * kKiB,
                          .chunk_bytes = 64 * kKiB,
                          .stripe_unit_bytes = 16 * kKiB,
                          .stripe_count = 4};

TEST(Splitter, APartOfAStripedVolumeEndsWithItsUnit) {
  Splitter parts(kStriped, 8 * kKiB, 80 * kKiB, 0);
  std::vector<Part> all;
  while (!parts.done()) all.push_back(parts.next());
  ASSERT_EQ(all.size(), 6u);
  EXPECT_EQ(all[0].size_bytes, 8 * kKiB);
  EXPECT_EQ(all[1].chunk_index, 1u);
  EXPECT_EQ(all[4].chunk_index, 0u) << "the second round";
  EXPECT_EQ(all[4].offset_in_chunk_bytes, 16 * kKiB);
  EXPECT_EQ(all[5].size_bytes, 8 * kKiB);
}

/// By segment, chunk and block: how many parts touch it.
using Touched = std::map<std::tuple<uint64_t, uint32_t, uint64_t>, int>;
void note(const Part& part, Touched* touched) {
  EXPECT_GT(part.size_bytes, 0u);
  for (uint64_t at = 0; at < part.size_bytes; at += kKiB) {
    ++(*touched)[{part.segment_index, part.chunk_index, part.offset_in_chunk_bytes + at}];
  }
}

TEST(ChunkSplitter, TouchesWhatASplitterTouchesWithOnePartAChunk) {
  Rng rng(2);
  for (int round = 0; round < 1000; ++round) {
    const Layout& layout = rng.chance(0.7) ? kStriped : kSmall;
    const uint64_t offset = rng.below(1500) * kKiB;
    const uint64_t size = rng.below(1200) * kKiB;
    Touched in_order, by_chunk;
    uint64_t parts_count = 0;
    Splitter splitter(layout, offset, size, rng.chance(0.5) ? 0 : 8 * kKiB);
    while (!splitter.done()) {
      note(splitter.next(), &in_order);
      ++parts_count;
    }
    EXPECT_LE(parts_count, splitter.parts_max());
    std::set<std::pair<uint64_t, uint32_t>> chunks;
    ChunkSplitter chunk_splitter(layout, offset, size);
    while (!chunk_splitter.done()) {
      const Part part = chunk_splitter.next();
      EXPECT_TRUE(chunks.insert({part.segment_index, part.chunk_index}).second);
      note(part, &by_chunk);
    }
    ASSERT_EQ(in_order, by_chunk) << offset << "+" << size;
    for (const auto& [where, times] : in_order) ASSERT_EQ(times, 1);
  }
}

TEST(ChunkSplitter, AWholeStripeSetIsWholeChunks) {
  ChunkSplitter parts(kStriped, 256 * kKiB, 256 * kKiB);
  for (uint32_t chunk = 4; chunk < 8; ++chunk) {
    ASSERT_FALSE(parts.done());
    const Part part = parts.next();
    EXPECT_EQ(part.chunk_index, chunk);
    EXPECT_EQ(part.offset_in_chunk_bytes, 0u);
    EXPECT_EQ(part.size_bytes, kStriped.chunk_bytes);
  }
  EXPECT_TRUE(parts.done());
}

// ---- BlockOrder

io::Task<void> take(BlockOrder* order, uint64_t first, uint64_t last, BlockOrder::Kind kind,
                    io::Event* leave, std::vector<int>* log, int name) {
  auto hold = co_await order->enter(first, last, kind);
  log->push_back(name);
  co_await leave->wait();
}

class BlockOrderTest : public ::testing::Test {
 protected:
  void enter(uint64_t first, uint64_t last, BlockOrder::Kind kind) {
    leave_.push_back(std::make_unique<io::Event>(executor_));
    const int name = static_cast<int>(leave_.size()) - 1;
    executor_.spawn(take(&order_, first, last, kind, leave_.back().get(), &log_, name));
    executor_.run_turn();
  }
  void leave(int name) {
    leave_[name]->set();
    executor_.run_turn();
  }
  static constexpr auto kRead = BlockOrder::Kind::kRead;
  static constexpr auto kWrite = BlockOrder::Kind::kWrite;
  ~BlockOrderTest() override { executor_.destroy_spawned(); }
  TestExecutor executor_;
  BlockOrder order_{executor_};
  std::vector<std::unique_ptr<io::Event>> leave_;
  std::vector<int> log_;
};

TEST_F(BlockOrderTest, OverlappingWritesGoInTheOrderOfTheirStart) {
  enter(0, 3, kWrite);
  enter(3, 5, kWrite);
  enter(5, 9, kWrite);
  enter(20, 20, kWrite);
  EXPECT_EQ(log_, (std::vector<int>{0, 3})) << "what does not overlap goes at once";
  leave(0);
  EXPECT_EQ(log_, (std::vector<int>{0, 3, 1}));
  leave(1);
  EXPECT_EQ(log_, (std::vector<int>{0, 3, 1, 2}));
  leave(2);
  leave(3);
  EXPECT_EQ(order_.entries_count(), 0u);
}

TEST_F(BlockOrderTest, AReadWaitsForEarlierWritesAndHoldsUpNobody) {
  enter(0, 0, kWrite);
  enter(0, 0, kRead);
  enter(0, 0, kRead);
  EXPECT_EQ(log_, (std::vector<int>{0}));
  leave(0);
  EXPECT_EQ(log_, (std::vector<int>{0, 1, 2}));
  enter(0, 0, kWrite);
  EXPECT_EQ(log_.back(), 3);
  for (int name : {1, 2, 3}) leave(name);
  EXPECT_EQ(order_.entries_count(), 0u);
}

TEST_F(BlockOrderTest, AWaiterStaysBehindEveryoneBeforeIt) {
  enter(0, 0, kWrite);
  enter(1, 1, kWrite);
  enter(0, 1, kWrite);
  leave(1);
  EXPECT_EQ(log_.size(), 2u);
  leave(0);
  EXPECT_EQ(log_.back(), 2);
  leave(2);
}

// ---- WriteWindow

TEST(WriteWindow, TheOldestUnresolvedMovesOverWhatIsResolved) {
  TestExecutor executor;
  WriteWindow window(executor);
  EXPECT_EQ(window.oldest_unresolved(), 1u);
  EXPECT_EQ(window.begin_now(), 1u);
  EXPECT_EQ(window.begin_now(), 2u);
  EXPECT_EQ(window.begin_now(), 3u);
  window.resolve(2);
  EXPECT_EQ(window.oldest_unresolved(), 1u);
  window.resolve(1);
  EXPECT_EQ(window.oldest_unresolved(), 3u);
  window.resolve(3);
  EXPECT_EQ(window.oldest_unresolved(), 4u);
  EXPECT_EQ(window.begin_now(), 4u);
  window.resolve(4);
}

io::Task<void> begin(WriteWindow* window, uint64_t* sequence) {
  *sequence = co_await window->begin();
}

TEST(WriteWindow, AFullWindowWaitsForItsOldestWrite) {
  TestExecutor executor;
  WriteWindow window(executor);
  for (size_t i = 0; i < WriteWindow::kSequencesMax; ++i) window.begin_now();
  uint64_t sequence = 0;
  executor.spawn(begin(&window, &sequence));
  window.resolve(2);
  executor.run_turn();
  EXPECT_EQ(sequence, 0u) << "sequence - oldest has to stay below the window";
  window.resolve(1);
  executor.run_turn();
  EXPECT_EQ(sequence, WriteWindow::kSequencesMax + 1);
}

// ---- InflightLimit

io::Task<void> hold(InflightLimit* limit, uint64_t bytes, io::Event* leave, int* inside) {
  auto permit = co_await limit->enter(bytes);
  ++*inside;
  co_await leave->wait();
  --*inside;
}

TEST(InflightLimit, BoundsPartsAndBytesInOrder) {
  TestExecutor executor;
  InflightLimit limit(executor, 3, 100);
  io::Event first(executor), others(executor);
  int inside = 0;
  executor.spawn(hold(&limit, 90, &first, &inside));
  executor.spawn(hold(&limit, 20, &others, &inside));
  executor.spawn(hold(&limit, 5, &others, &inside));
  executor.run_turn();
  EXPECT_EQ(inside, 1) << "a small one does not overtake";
  first.set();
  executor.run_turn();
  EXPECT_EQ(inside, 2);
  executor.spawn(hold(&limit, 0, &others, &inside));
  executor.spawn(hold(&limit, 0, &others, &inside));
  executor.run_turn();
  EXPECT_EQ(inside, 3) << "the parts are bounded too";
  others.set();
  executor.run_turn();
  EXPECT_EQ(inside, 0);
  EXPECT_EQ(limit.parts_count(), 0u);
}

TEST(InflightLimit, APartOverTheBudgetGoesAlone) {
  TestExecutor executor;
  InflightLimit limit(executor, 3, 100);
  io::Event leave(executor);
  int inside = 0;
  executor.spawn(hold(&limit, 500, &leave, &inside));
  executor.spawn(hold(&limit, 1, &leave, &inside));
  executor.run_turn();
  EXPECT_EQ(inside, 1);
  leave.set();
  executor.run_turn();
  EXPECT_EQ(limit.parts_count(), 0u);
}

// ---- Retry

TEST(Retry, OnlyAnOutcomeThatIsKnownIsCalledNotDone) {
  EXPECT_FALSE(outcome_unknown(Errc::kNotLeader));
  EXPECT_FALSE(outcome_unknown(Errc::kOverloaded));
  EXPECT_FALSE(outcome_unknown(Errc::kNoSpace));
  EXPECT_TRUE(outcome_unknown(Errc::kTimeout));
  EXPECT_TRUE(outcome_unknown(Errc::kUnavailable));
  EXPECT_EQ(judge(Errc::kNoSpace), Verdict::kGiveUp);
  EXPECT_EQ(judge(Errc::kOverloaded), Verdict::kBackOff);
  EXPECT_EQ(judge(Errc::kStaleEpoch), Verdict::kRefresh);
  EXPECT_EQ(judge(Errc::kTimeout), Verdict::kTryNext);
}

TEST(Pace, GrowsToItsBounds) {
  Rng rng(3);
  Pace pace({1s, 8s, 10ms, 250ms});
  for (int i = 0; i < 10; ++i) pace.on_timeout();
  EXPECT_EQ(pace.timeout(), 8s);
  Duration full = 10ms;
  for (int i = 0; i < 10; ++i) {
    const Duration pause = pace.next_backoff(rng);
    EXPECT_GE(pause, full / 2);
    EXPECT_LE(pause, full);
    full = std::min<Duration>(full * 2, 250ms);
  }
}

// ---- LeaderSearch

CopysetRoute route_of(uint64_t leader) {
  CopysetRoute route;
  route.copyset = CopysetId(1);
  route.epoch = Epoch(1);
  for (uint64_t node : {1, 2, 3}) route.members.push_back({NodeId(node), {"10.0.0.1:1"}, {}});
  route.leader = NodeId(leader);
  return route;
}

TEST(LeaderSearch, AsksTheLeaderFirstAndEveryoneOnceARound) {
  const Instant now{};
  CopysetRoute route = route_of(3);
  LeaderSearch search;
  EXPECT_EQ(search.choose(route, now)->node, NodeId(3));
  search.failed(route, NodeId(3), now, 1s);
  EXPECT_TRUE(route.leader.is_none());
  EXPECT_EQ(search.choose(route, now)->node, NodeId(1));
  search.failed(route, NodeId(1), now, 1s);
  EXPECT_EQ(search.choose(route, now)->node, NodeId(2));
  search.failed(route, NodeId(2), now, 1s);
  EXPECT_EQ(search.choose(route, now), nullptr);
  search.start_round();
  EXPECT_NE(search.choose(route, now), nullptr);
}

TEST(LeaderSearch, ARedirectIsFollowedAndKept) {
  const Instant now{};
  CopysetRoute route = route_of(1);
  LeaderSearch search;
  search.redirected(route, NodeId(1), NodeId(2), now);
  EXPECT_EQ(search.choose(route, now)->node, NodeId(2));
  EXPECT_EQ(LeaderSearch().choose(route, now)->node, NodeId(2));
}

TEST(LeaderSearch, AnOldHintDoesNotTurnTheRouteBackToADeadLeader) {
  const Instant now{};
  CopysetRoute route = route_of(1);
  LeaderSearch search;
  search.failed(route, NodeId(1), now, 1s);
  search.redirected(route, NodeId(2), NodeId(1), now);
  EXPECT_TRUE(route.leader.is_none());
  EXPECT_EQ(search.choose(route, now)->node, NodeId(3));
  search.redirected(route, NodeId(3), NodeId(1), now);
  EXPECT_EQ(search.choose(route, now), nullptr) << "the others are there: wait for their election";
  LeaderSearch other;
  EXPECT_NE(other.choose(route, now)->node, NodeId(1)) << "others avoid it for a while";
  other.redirected(route, NodeId(2), NodeId(1), now + 2s);
  EXPECT_EQ(other.choose(route, now + 2s)->node, NodeId(1)) << "and then it is trusted again";
}

TEST(LeaderSearch, TwoThatNameEachOtherEndTheRound) {
  const Instant now{};
  CopysetRoute route = route_of(1);
  LeaderSearch search;
  search.redirected(route, NodeId(1), NodeId(2), now);
  search.redirected(route, NodeId(2), NodeId(1), now);
  EXPECT_EQ(search.choose(route, now)->node, NodeId(3));
  search.redirected(route, NodeId(3), NodeId(1), now);
  EXPECT_EQ(search.choose(route, now), nullptr);
}

TEST(CopysetRoute, AnOlderAnswerChangesNothingAndANewerDropsALeaderThatIsGone) {
  CopysetRoute route = route_of(2);
  route.epoch = Epoch(5);
  route.update(Epoch(4), {{NodeId(9), {"10.0.0.9:1"}, {}}}, NodeId(9), Instant{});
  EXPECT_EQ(route.members.size(), 3u);
  route.update(Epoch(6), {{NodeId(1), {"10.0.0.1:1"}, {}}, {NodeId(4), {"10.0.0.4:1"}, {}}},
               NodeId(4), Instant{});
  EXPECT_EQ(route.members.size(), 2u);
  EXPECT_EQ(route.leader, NodeId(4));
}

}  // namespace
}  // namespace cairn::client
