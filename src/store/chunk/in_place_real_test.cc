// The store and the pool on a real file system, with io_uring.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "io/real/reactor.h"
#include "store/chunk/in_place_store.h"
#include "store/chunk/store_bench_test.h"

namespace cairn::chunk {
namespace {

class RealStoreTest : public testing::Test {
 protected:
  RealStoreTest() {
    std::string pattern_path = std::filesystem::temp_directory_path() / "cairn-chunk-XXXXXX";
    CHECK(::mkdtemp(pattern_path.data()) != nullptr);
    root_ = pattern_path;
    pool_options_.ready_min = 2;
    pool_options_.ready_target = 3;
    pool_options_.space_reserve_bytes = kMiB;
  }
  ~RealStoreTest() override {
    stop();
    disk_.reset();
    std::filesystem::remove_all(root_);
  }
  io::Env env() {
    return {reactor_, reactor_.clock(), reactor_.network(), reactor_.entropy(), buffers_, rng_,
            Logger(), metrics_};
  }
  void open() {
    auto disk = reactor_.open_disk(root_);
    ASSERT_TRUE(disk.ok()) << disk.error().describe();
    disk_ = std::move(*disk);
    auto pool = run(pool::ChunkFilePool::open(env(), *disk_, pool_options_));
    ASSERT_TRUE(pool.ok()) << pool.error().describe();
    pool_ = std::move(*pool);
    auto store = run(InPlaceStore::open(env(), *disk_, *pool_, options_));
    ASSERT_TRUE(store.ok()) << store.error().describe();
    store_ = std::move(*store);
    ASSERT_TRUE(run(store_->create_copyset(CopysetId(1))).ok());
  }
  void stop() {
    if (store_) run(store_->stop());
    store_.reset();
    if (pool_) run(pool_->stop());
    pool_.reset();
  }
  template <typename T>
  T run(io::Task<T> task) {
    return reactor_.run_until_done(std::move(task));
  }

  std::string root_;
  io::real::Reactor reactor_;
  BufferPool buffers_;
  Rng rng_{1};
  Registry metrics_;
  std::unique_ptr<io::Disk> disk_;
  pool::PoolOptions pool_options_;
  StoreOptions options_;
  std::unique_ptr<pool::ChunkFilePool> pool_;
  std::unique_ptr<InPlaceStore> store_;
};

TEST_F(RealStoreTest, WritesFlushesReopensAndFindsRot) {
  open();
  const Buffer data = pattern(5, 512);  // 2 MiB
  ASSERT_TRUE(run(store_->write(CopysetId(1), ChunkId(8), 4096, data)).ok());
  ASSERT_TRUE(run(store_->flush(CopysetId(1))).ok());
  stop();
  open();
  auto read = run(store_->read(CopysetId(1), ChunkId(8), 4096, 512 * kBlockBytes));
  ASSERT_TRUE(read.ok()) << read.error().describe();
  EXPECT_TRUE(same_bytes(read->view(), data.view()));
  stop();
  const std::string path = root_ + "/copysets/1/chunk-8";
  EXPECT_EQ(std::filesystem::file_size(path), 16 * kMiB + 64 * kKiB);
  {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(64 * kKiB + 3 * kBlockBytes + 17));
    file.put('\x42');
  }
  open();
  read = run(store_->read(CopysetId(1), ChunkId(8), 4096, 512 * kBlockBytes));
  EXPECT_EQ(read.code(), Errc::kCorrupt);
  EXPECT_TRUE(run(store_->read(CopysetId(1), ChunkId(8), 4 * 4096, 64 * kKiB)).ok());
}

TEST_F(RealStoreTest, ManySmallChunksOpenWithinASecond) {
  options_.chunk_bytes = 64 * kKiB;
  pool_options_.chunk_file_bytes = ChunkLayout{64 * kKiB}.file_bytes();
  open();
  for (uint64_t i = 1; i <= 640; ++i) {
    ASSERT_TRUE(run(store_->write(CopysetId(1), ChunkId(i), 0, pattern(i, 1))).ok());
  }
  ASSERT_TRUE(run(store_->flush(CopysetId(1))).ok());
  stop();
  const Instant began = reactor_.clock().now();
  open();
  EXPECT_LT(reactor_.clock().now() - began, 1s);
  EXPECT_EQ(store_->list(CopysetId(1))->size(), 640u);
  for (uint64_t i = 1; i <= 640; ++i) {
    const auto read = run(store_->read(CopysetId(1), ChunkId(i), 0, 4096));
    ASSERT_TRUE(read.ok());
    ASSERT_TRUE(same_bytes(read->view(), pattern(i, 1).view()));
    if (i % 2 == 0) {
      ASSERT_TRUE(run(store_->remove(CopysetId(1), ChunkId(i))).ok());
    }
  }
  ASSERT_TRUE(run(store_->remove_copyset(CopysetId(1))).ok());
  EXPECT_FALSE(std::filesystem::exists(root_ + "/copysets/1"));
}

TEST_F(RealStoreTest, ASmallWriteToAnOpenChunkTakesMicroseconds) {
  open();
  const Buffer data = pattern(5, 1);
  ASSERT_TRUE(run(store_->write(CopysetId(1), ChunkId(8), 0, data)).ok());
  constexpr int kWritesCount = 20'000;
  const Instant began = reactor_.clock().now();
  for (int i = 0; i < kWritesCount; ++i) {
    Status result = ok();
    const auto offset_bytes = static_cast<uint32_t>((i % 4096) * 4096);
    ASSERT_TRUE(store_->try_write(CopysetId(1), ChunkId(8), offset_bytes, data, &result));
    ASSERT_TRUE(result.ok());
  }
  const Duration each = (reactor_.clock().now() - began) / kWritesCount;
  RecordProperty("nanoseconds_per_write", static_cast<int>(each.count()));
  EXPECT_LT(each, 200us) << "far above what it takes, far below one sync each";
  ASSERT_TRUE(run(store_->flush(CopysetId(1))).ok());
}

}  // namespace
}  // namespace cairn::chunk
