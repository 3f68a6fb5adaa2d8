#include "chunkserver/block_locks.h"

#include <gtest/gtest.h>

#include "sim/io/world.h"

namespace cairn::chunkserver {
namespace {

const ChunkId kChunk{5};

io::Task<void> hold(BlockLocks* locks, BlockLocks::Range range, io::Event* release, int* order,
                    int* got) {
  auto held = co_await locks->acquire(range);
  *got = ++*order;
  co_await release->wait();
}
io::Task<void> pass(BlockLocks* locks, BlockLocks::Range range, int* order, int* got) {
  co_await locks->wait_free(range);
  *got = ++*order;
}

class BlockLocksTest : public ::testing::Test {
 protected:
  BlockLocksTest() : host_(world_.add_host("a")), locks_(host_.env().executor) {}
  void start_hold(BlockLocks::Range range, io::Event& release, int* got) {
    host_.spawn(hold(&locks_, range, &release, &order_, got));
  }
  sim::World world_{1};
  sim::Host& host_;
  BlockLocks locks_;
  int order_ = 0;
};

TEST_F(BlockLocksTest, OnlyOverlappingRangesOfAChunkExcludeEachOther) {
  io::Event release(host_.env().executor);
  int got = 0;
  start_hold({kChunk, 10, 4}, release, &got);
  ASSERT_EQ(got, 1);
  EXPECT_TRUE(locks_.is_free({kChunk, 0, 10}));
  EXPECT_TRUE(locks_.is_free({kChunk, 14, 1}));
  EXPECT_TRUE(locks_.is_free({ChunkId(6), 10, 4}));
  EXPECT_TRUE(locks_.is_free({ChunkId(4), 0, 100}));
  EXPECT_FALSE(locks_.is_free({kChunk, 13, 1}));
  EXPECT_FALSE(locks_.is_free({kChunk, 0, 11}));
  EXPECT_FALSE(locks_.is_free({kChunk, 0, 100}));
  EXPECT_FALSE(locks_.is_free({kChunk, 11, 1}));
  release.set();
  world_.run_for(1ms);
  EXPECT_TRUE(locks_.is_free({kChunk, 0, 100}));
}

TEST_F(BlockLocksTest, WhoWaitsGoesOnWhenTheRangeIsFree) {
  io::Event first(host_.env().executor), second(host_.env().executor);
  int a = 0, b = 0, passed = 0;
  start_hold({kChunk, 0, 2}, first, &a);
  start_hold({kChunk, 1, 2}, second, &b);
  host_.spawn(pass(&locks_, {kChunk, 2, 1}, &order_, &passed));
  EXPECT_EQ(passed, 2) << "nobody holds block 2 yet";
  EXPECT_EQ(b, 0);
  host_.execute([&] { first.set(); });
  EXPECT_EQ(b, 3);
  EXPECT_FALSE(locks_.is_free({kChunk, 2, 1}));
  host_.execute([&] { second.set(); });
  EXPECT_TRUE(locks_.is_free({kChunk, 0, 3}));
}

TEST_F(BlockLocksTest, ThoseWhoWaitForTheSameBlockHoldItOneAfterTheOther) {
  io::Event all(host_.env().executor);
  int got[3] = {};
  for (int& g : got) start_hold({kChunk, 0, 1}, all, &g);
  EXPECT_EQ(got[0] + got[1] + got[2], 1);
  host_.execute([&] { all.set(); });
  EXPECT_EQ(got[0], 1);
  EXPECT_EQ(got[1] + got[2], 5);
  EXPECT_TRUE(locks_.is_free({kChunk, 0, 1}));
}

}  // namespace
}  // namespace cairn::chunkserver
