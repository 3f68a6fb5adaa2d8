#include "store/pool/chunk_file_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/crc32c.h"
#include "sim/io/world.h"
#include "store/pool/inspect.h"
#include "store/pool/pool_meta.h"

namespace cairn::pool {
namespace {

using sim::CrashKind;
using testing::HasSubstr;

constexpr uint64_t kFileBytes = 128 * kKiB;

/// A simulated host with a pool on its disk.
class PoolTest : public testing::Test {
 protected:
  PoolTest() : world_(7), host_(world_.add_host("a")) {
    options_.chunk_file_bytes = kFileBytes;
    options_.ready_min = 3;
    options_.ready_target = 6;
    options_.space_reserve_bytes = 1 * kMiB;
    options_.headroom_files = 2;
    options_.format_bytes_per_second = 64 * kMiB;
  }
  ~PoolTest() override { stop(); }

  Status open() {
    auto opened = world_.run(host_, ChunkFilePool::open(host_.env(), disk(), options_));
    if (!opened.ok()) return opened.error();
    pool_ = std::move(*opened);
    return ok();
  }
  void open_and_fill() {
    ASSERT_TRUE(open().ok());
    ASSERT_TRUE(wait_for([&] { return pool_->ready_count() == options_.ready_target; }));
  }
  void stop() {
    if (!pool_) return;
    world_.run(host_, pool_->stop());
    pool_.reset();
  }
  void crash(CrashKind kind) {
    host_.crash(kind, [&] { pool_.reset(); });
    host_.boot();
  }
  bool wait_for(const std::function<bool()>& done) { return world_.run_until(done, 60s); }
  sim::SimDisk& disk() { return host_.disk(); }

  Result<std::string> take(const std::string& to) { return world_.run(host_, pool_->take(to)); }
  Status give_back(const std::string& path) { return world_.run(host_, pool_->give_back(path)); }
  std::vector<std::string> names(const std::string& directory) {
    return *world_.run(host_, disk().list(directory));
  }
  std::vector<std::byte> content(const std::string& path) {
    return world_.run(host_, content_of(&disk(), path));
  }
  static io::Task<std::vector<std::byte>> content_of(io::Disk* disk, std::string path) {
    auto file = co_await disk->open(path, io::OpenOptions{});
    std::vector<std::byte> bytes(*co_await (*file)->size());
    EXPECT_TRUE((co_await (*file)->read(0, bytes)).ok());
    co_return bytes;
  }
  static io::Task<Status> scribble(io::Disk* disk, std::string path) {
    auto file = CO_TRY(co_await disk->open(path, io::OpenOptions{}));
    const std::vector<std::byte> junk(kFileBytes, std::byte{0xee});
    const std::array<ByteView, 1> parts{ByteView(junk)};
    CO_TRY(co_await file->write(0, parts, io::Durability::kCached));
    co_return co_await file->sync_data();
  }
  void expect_zeros(const std::string& path) {
    const auto bytes = content(path);
    EXPECT_EQ(bytes.size(), kFileBytes) << path;
    EXPECT_TRUE(std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; })) << path;
  }
  void expect_all_ready_are_zeros() {
    for (const std::string& name : names("pool")) {
      if (parse_pool_name(name).kind == PoolName::Kind::kReady) expect_zeros("pool/" + name);
    }
  }

  sim::World world_;
  sim::Host& host_;
  PoolOptions options_;
  std::unique_ptr<ChunkFilePool> pool_;
};

TEST_F(PoolTest, FormatsUpToTheTargetAndThenRests) {
  open_and_fill();
  world_.run_for(10s);
  EXPECT_EQ(pool_->ready_count(), 6u);
  const auto files = names("pool");
  EXPECT_EQ(files.size(), 7u);  // six and pool.meta
  expect_all_ready_are_zeros();
}

TEST_F(PoolTest, ReadyFilesWereWrittenOnceAndSurviveAPowerLoss) {
  open_and_fill();
  EXPECT_GE(disk().counters().bytes_written, 6 * kFileBytes);
  crash(CrashKind::kPowerLoss);
  ASSERT_TRUE(open().ok());
  EXPECT_EQ(pool_->ready_count(), 6u);
  expect_all_ready_are_zeros();
}

TEST_F(PoolTest, TakesByRenameAndRefillsOnlyBelowTheLowWaterMark) {
  open_and_fill();
  ASSERT_TRUE(world_.run(host_, disk().make_directory("chunks")).ok());
  for (int i = 0; i < 3; ++i) {
    const auto path = take("chunks/" + std::to_string(i));
    ASSERT_TRUE(path.ok());
    EXPECT_EQ(*path, "chunks/" + std::to_string(i));
  }
  world_.run_for(5s);
  EXPECT_EQ(pool_->ready_count(), 3u) << "not below ready_min: nothing is made";
  ASSERT_TRUE(take("chunks/3").ok());
  ASSERT_TRUE(wait_for([&] { return pool_->ready_count() == 6; }));
  EXPECT_EQ(names("chunks").size(), 4u);
  expect_zeros("chunks/3");
}

TEST_F(PoolTest, FormattingKeepsToItsRate) {
  options_.format_bytes_per_second = kFileBytes;  // a file a second
  ASSERT_TRUE(open().ok());
  world_.run_for(3500ms);
  EXPECT_GE(pool_->ready_count(), 2u);
  EXPECT_LE(pool_->ready_count(), 4u);
}

TEST_F(PoolTest, StopsInTheMiddleOfAFileAndRedoesItAfterTheStart) {
  options_.format_bytes_per_second = kFileBytes;
  ASSERT_TRUE(open().ok());
  world_.run_for(1200ms);
  const size_t ready_count = pool_->ready_count();
  stop();
  const auto files = names("pool");
  EXPECT_THAT(files, testing::Contains(testing::EndsWith(".formatting")));
  options_.format_bytes_per_second = 64 * kMiB;
  ASSERT_TRUE(open().ok());
  EXPECT_EQ(pool_->ready_count(), ready_count);
  EXPECT_EQ(pool_->pending_count(), 1u);
  ASSERT_TRUE(wait_for([&] { return pool_->ready_count() == 6; }));
  EXPECT_EQ(pool_->pending_count(), 0u);
  expect_all_ready_are_zeros();
}

TEST_F(PoolTest, ACrashAtAnyMomentOfFormattingLeavesNoHalfFormattedFileReady) {
  Rng rng(3);
  for (int round = 0; round < 60; ++round) {
    ASSERT_TRUE(open().ok()) << round;
    world_.run_for(Duration(static_cast<int64_t>(rng.below(12'000'000))));
    if (pool_->ready_count() > 0) {
      ASSERT_TRUE(world_.run(host_, disk().remove("pool/" + names("pool").front())).ok());
    }
    crash(rng.chance(0.5) ? CrashKind::kPowerLoss : CrashKind::kKill);
    expect_all_ready_are_zeros();
  }
}

TEST_F(PoolTest, MakesAFileWhenNoneIsReadyAndRefusesWhenTheReserveIsReached) {
  options_.ready_min = options_.ready_target = 0;
  disk().set_capacity(options_.space_reserve_bytes + 3 * kFileBytes + 64 * kKiB);
  ASSERT_TRUE(open().ok());
  EXPECT_TRUE(pool_->has_space());
  ASSERT_TRUE(take("a").ok());
  expect_zeros("a");
  EXPECT_FALSE(pool_->has_space()) << "two more fit, which are the headroom";
  ASSERT_TRUE(take("b").ok());
  ASSERT_TRUE(take("c").ok());
  const auto refused = take("d");
  EXPECT_EQ(refused.code(), Errc::kNoSpace);
  EXPECT_THAT(refused.error().message(), HasSubstr("nothing was created"));
  EXPECT_EQ(names("pool").size(), 1u) << "pool.meta alone";
  // What is given back is removed, as the target is none, and makes room.
  ASSERT_TRUE(give_back("a").ok());
  ASSERT_TRUE(wait_for([&] { return pool_->pending_count() == 0 && names("pool").size() == 1; }));
  EXPECT_TRUE(take("d").ok());
}

TEST_F(PoolTest, TheReserveStaysFreeWhileThePoolFills) {
  disk().set_capacity(options_.space_reserve_bytes + 4 * kFileBytes + 64 * kKiB);
  ASSERT_TRUE(open().ok());
  world_.run_for(30s);
  EXPECT_EQ(pool_->ready_count(), 4u);
  const auto space = world_.run(host_, disk().space());
  EXPECT_GE(space->free_bytes, options_.space_reserve_bytes);
  disk().set_capacity(64 * kGiB);
  ASSERT_TRUE(wait_for([&] { return pool_->ready_count() == 6; })) << "goes on when there is room";
}

TEST_F(PoolTest, AFileGivenBackIsClearedBeforeItIsReadyAgain) {
  options_.ready_min = options_.ready_target = 2;
  ASSERT_TRUE(open().ok());
  ASSERT_TRUE(wait_for([&] { return pool_->ready_count() == 2; }));
  ASSERT_TRUE(take("chunk").ok());
  ASSERT_TRUE(wait_for([&] { return pool_->ready_count() == 2; }));
  ASSERT_TRUE(world_.run(host_, scribble(&disk(), "chunk")).ok());
  ASSERT_TRUE(take("other").ok());
  ASSERT_TRUE(give_back("chunk").ok());
  EXPECT_EQ(give_back("chunk").code(), Errc::kNotFound);
  ASSERT_TRUE(wait_for([&] { return pool_->ready_count() == 2 && pool_->pending_count() == 0; }));
  expect_all_ready_are_zeros();
}

TEST_F(PoolTest, APowerLossAfterGivingBackKeepsTheOldContentOrClearsIt) {
  Rng rng(11);
  for (int round = 0; round < 40; ++round) {
    ASSERT_TRUE(open().ok());
    ASSERT_TRUE(take("chunk").ok());
    ASSERT_TRUE(world_.run(host_, scribble(&disk(), "chunk")).ok());
    ASSERT_TRUE(world_.run(host_, disk().sync_directory(".")).ok());
    ASSERT_TRUE(give_back("chunk").ok());
    world_.run_for(Duration(static_cast<int64_t>(rng.below(3'000'000))));
    crash(CrashKind::kPowerLoss);
    expect_all_ready_are_zeros();
    const auto root = names(".");
    if (std::ranges::find(root, "chunk") == root.end()) continue;
    const auto bytes = content("chunk");
    EXPECT_TRUE(std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0xee}; }))
        << "not a byte is cleared while the old name may come back";
    ASSERT_TRUE(world_.run(host_, disk().remove("chunk")).ok());
  }
}

TEST_F(PoolTest, AFormatThatFailsIsTriedAgainAfterARest) {
  options_.retry_after_error = 2s;
  disk().fail_operation(sim::DiskOperation::kSync, 6);
  ASSERT_TRUE(open().ok());
  ASSERT_TRUE(wait_for(
      [&] { return host_.env().metrics.counter("cairn_pool_failures_total", "").value() == 1; }));
  ASSERT_TRUE(wait_for([&] { return pool_->ready_count() == 6 && pool_->pending_count() == 0; }));
  expect_all_ready_are_zeros();
}

TEST_F(PoolTest, RefusesAPoolOfAnotherFileSize) {
  open_and_fill();
  stop();
  options_.chunk_file_bytes = 2 * kFileBytes;
  const Status refused = open();
  EXPECT_EQ(refused.code(), Errc::kInvalidArgument);
  EXPECT_THAT(refused.error().message(), HasSubstr("131072"));
}

TEST_F(PoolTest, RefusesARottenOrMissingMetaFile) {
  open_and_fill();
  stop();
  ASSERT_TRUE(disk().corrupt("pool/pool.meta", 16, 3).ok());
  EXPECT_EQ(open().code(), Errc::kCorrupt);
  ASSERT_TRUE(world_.run(host_, disk().remove("pool/pool.meta")).ok());
  const Status missing = open();
  EXPECT_EQ(missing.code(), Errc::kCorrupt);
  EXPECT_THAT(missing.error().message(), HasSubstr("missing"));
}

TEST_F(PoolTest, TakesNothingAfterStop) {
  open_and_fill();
  world_.run(host_, pool_->stop());
  EXPECT_EQ(take("x").code(), Errc::kClosed);
  EXPECT_EQ(give_back("x").code(), Errc::kClosed);
  pool_.reset();
}

TEST_F(PoolTest, InspectCountsFilesAndFindsOneThatIsNotClear) {
  open_and_fill();
  stop();
  ASSERT_TRUE(world_.run(host_, scribble(&disk(), "pool/" + names("pool").front())).ok());
  std::vector<std::string> lines;
  const InspectSink sink = [&](const InspectRecord& record) { lines.push_back(to_text(record)); };
  const auto problems = world_.run(host_, inspect(disk(), "pool", true, sink));
  ASSERT_TRUE(problems.ok());
  EXPECT_EQ(*problems, 1u);
  EXPECT_THAT(lines, testing::Contains(HasSubstr("ready_count=6")));
  EXPECT_THAT(lines, testing::Contains(HasSubstr("chunk_file_bytes=131072")));
}

TEST(PoolMeta, IsWhatTheFormatDocumentSays) {
  const Buffer bytes = encode_pool_meta(16842752);
  ASSERT_EQ(bytes.size_bytes(), 64u);
  std::string hex;
  for (const std::byte b : bytes.view().first(24)) {
    hex += "0123456789abcdef"[static_cast<int>(b) >> 4];
    hex += "0123456789abcdef"[static_cast<int>(b) & 15];
  }
  EXPECT_EQ(hex, "4341524e504f4f4c010000005b065aba0000010100000000");
  EXPECT_EQ(decode_pool_meta(bytes.view())->chunk_file_bytes, 16842752u);
}

TEST(PoolMeta, OfFilesWithoutBytesIsRefused) {
  PoolMeta meta;
  meta.crc32c = crc32c(bytes_of(meta));
  EXPECT_EQ(decode_pool_meta(bytes_of(meta)).code(), Errc::kCorrupt);
}

TEST(PoolMeta, EveryFlippedBitIsFound) {
  const Buffer bytes = encode_pool_meta(kFileBytes);
  for (size_t bit = 0; bit < bytes.size_bytes() * 8; ++bit) {
    Buffer copy = Buffer::copy_of(bytes.view());
    copy.mutable_view()[bit / 8] ^= std::byte{1} << (bit % 8);
    EXPECT_FALSE(decode_pool_meta(copy.view()).ok()) << bit;
  }
  EXPECT_EQ(decode_pool_meta(bytes.view().first(63)).code(), Errc::kCorrupt);
}

TEST(PoolName, TellsReadyFromFormattingAndBothFromOthers) {
  EXPECT_EQ(ready_name(12), "file-00000012");
  EXPECT_EQ(parse_pool_name("file-00000012").number, 12u);
  EXPECT_EQ(parse_pool_name("file-00000012").kind, PoolName::Kind::kReady);
  EXPECT_EQ(parse_pool_name("file-123456789.formatting").kind, PoolName::Kind::kFormatting);
  EXPECT_EQ(parse_pool_name("file-123456789.formatting").number, 123456789u);
  for (const char* other : {"file-1", "file-0000001x", "pool.meta", "file-", "file-00000001.new"}) {
    EXPECT_EQ(parse_pool_name(other).kind, PoolName::Kind::kOther) << other;
  }
}

}  // namespace
}  // namespace cairn::pool
