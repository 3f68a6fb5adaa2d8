#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/statvfs.h>

#include <filesystem>

#include "io/real/reactor.h"

namespace cairn::io::real {
namespace {

Buffer pattern(BufferPool& pool, size_t size_bytes, uint8_t seed) {
  Buffer buffer = pool.allocate(size_bytes);
  uint32_t state = seed;
  for (std::byte& b : buffer.mutable_view()) {
    state = state * 1664525 + 1013904223;
    b = static_cast<std::byte>(state >> 24);
  }
  return buffer;
}

bool same(ByteView a, ByteView b) {
  return std::ranges::equal(a, b);
}

class RealDisk : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = (std::filesystem::temp_directory_path() / "cairn_disk_test_XXXXXX").string();
    ASSERT_NE(::mkdtemp(root_.data()), nullptr);
    auto opened = reactor_.open_disk(root_);
    ASSERT_TRUE(opened.ok()) << opened.error().describe();
    disk_ = std::move(opened).value();
  }
  void TearDown() override {
    disk_.reset();
    std::filesystem::remove_all(root_);
  }
  std::unique_ptr<File> open(std::string path, OpenOptions options) {
    auto opened = reactor_.run_until_done(disk_->open(std::move(path), options));
    CHECK(opened.ok(), opened.error().message());
    return std::move(opened).value();
  }
  Status write(File& file, uint64_t offset_bytes, std::vector<ByteView> parts,
               Durability durability = Durability::kCached) {
    return reactor_.run_until_done(file.write(offset_bytes, parts, durability));
  }
  Status read(File& file, uint64_t offset_bytes, MutableByteView into) {
    return reactor_.run_until_done(file.read(offset_bytes, into));
  }

  BufferPool pool_;
  Reactor reactor_;
  std::string root_;
  std::unique_ptr<Disk> disk_;
};

TEST_F(RealDisk, ReadsBackWhatWasWrittenPastThePageCache) {
  auto file = open("data", {.create = true, .access = Access::kDirect});
  ASSERT_TRUE(reactor_.run_until_done(file->allocate(0, 1 * kMiB)).ok());
  EXPECT_EQ(*reactor_.run_until_done(file->size()), 1 * kMiB);
  const Buffer first = pattern(pool_, 4096, 1);
  const Buffer second = pattern(pool_, 64 * kKiB, 2);
  ASSERT_TRUE(write(*file, 8192, {first.view(), second.view()}, Durability::kSynced).ok());
  ASSERT_TRUE(write(*file, 512 * kKiB, {first.view()}, Durability::kSynced).ok());
  Buffer back = pool_.allocate(1 * kMiB);
  ASSERT_TRUE(read(*file, 0, back.mutable_view()).ok());
  EXPECT_EQ(back.view()[0], std::byte{0}) << "allocated space reads as zeros";
  EXPECT_TRUE(same(back.view().subspan(8192, 4096), first.view()));
  EXPECT_TRUE(same(back.view().subspan(12288, 64 * kKiB), second.view()));
  EXPECT_TRUE(same(back.view().subspan(512 * kKiB, 4096), first.view()));
}

TEST_F(RealDisk, WritesManyPartsOfAnySizeInOneOperation) {
  auto file = open("data", {.create = true});
  std::vector<Buffer> buffers;
  std::vector<ByteView> parts;
  std::vector<std::byte> expected;
  for (size_t i = 0; i < File::kPartsMax; ++i) {
    buffers.push_back(pattern(pool_, i % 37, static_cast<uint8_t>(i)));
    parts.push_back(buffers.back().view());
    expected.insert(expected.end(), parts.back().begin(), parts.back().end());
  }
  ASSERT_TRUE(write(*file, 17, parts, Durability::kSynced).ok());
  std::vector<std::byte> back(expected.size());
  ASSERT_TRUE(read(*file, 17, back).ok());
  EXPECT_EQ(back, expected);
  ASSERT_TRUE(reactor_.run_until_done(file->sync_data()).ok());
}

TEST_F(RealDisk, AReadOverTheEndIsAShortRead) {
  auto file = open("data", {.create = true});
  const Buffer content = pattern(pool_, 100, 1);
  ASSERT_TRUE(write(*file, 0, {content.view()}).ok());
  std::vector<std::byte> into(200);
  const Status over = read(*file, 0, into);
  EXPECT_EQ(over.code(), Errc::kIo);
  EXPECT_NE(over.error().message().find("short read"), std::string::npos);
  EXPECT_NE(over.error().message().find(root_ + "/data"), std::string::npos);
  EXPECT_EQ(read(*file, 100, into).code(), Errc::kIo);
  EXPECT_EQ(file->read_cached_now(50, into).code(), Errc::kIo);
  EXPECT_TRUE(read(*file, 0, MutableByteView(into).first(100)).ok());
}

TEST_F(RealDisk, CachedReadsAndWritesSeeEachOther) {
  auto file = open("data", {.create = true});
  const Buffer a = pattern(pool_, 1000, 1);
  const Buffer b = pattern(pool_, 3000, 2);
  const std::array<ByteView, 3> parts{a.view(), ByteView(), b.view()};
  ASSERT_TRUE(file->write_cached_now(5, parts).ok());
  std::vector<std::byte> back(4000);
  ASSERT_TRUE(file->read_cached_now(5, back).ok());
  EXPECT_TRUE(same(ByteView(back).first(1000), a.view()));
  ASSERT_TRUE(read(*file, 1005, MutableByteView(back).first(3000)).ok());
  EXPECT_TRUE(same(ByteView(back).first(3000), b.view()));
}

TEST_F(RealDisk, NamesCanBeMadeListedRenamedAndRemoved) {
  auto run = [&](Task<Status> task) { return reactor_.run_until_done(std::move(task)); };
  ASSERT_TRUE(run(disk_->make_directory("sub")).ok());
  ASSERT_TRUE(run(disk_->make_directory("sub")).ok()) << "it exists: fine";
  ASSERT_TRUE(run(disk_->make_directory("sub/inner")).ok());
  open("sub/b", {.create = true});
  open("sub/a", {.create = true, .exclusive = true});
  EXPECT_EQ(run(disk_->make_directory("sub/a")).code(), Errc::kAlreadyExists);
  ASSERT_TRUE(run(disk_->rename("sub/b", "sub/c")).ok());
  ASSERT_TRUE(run(disk_->rename("sub/c", "sub/a")).ok()) << "replaces";
  ASSERT_TRUE(run(disk_->sync_directory("sub")).ok());
  ASSERT_TRUE(run(disk_->sync_directory(".")).ok());
  EXPECT_EQ(*reactor_.run_until_done(disk_->list("sub")),
            (std::vector<std::string>{"a", "inner/"}));
  EXPECT_EQ(*reactor_.run_until_done(disk_->list(".")), (std::vector<std::string>{"sub/"}));
  EXPECT_EQ(run(disk_->remove("sub")).code(), Errc::kAlreadyExists) << "not empty";
  ASSERT_TRUE(run(disk_->remove("sub/a")).ok());
  ASSERT_TRUE(run(disk_->remove("sub/inner")).ok());
  ASSERT_TRUE(run(disk_->remove("sub")).ok());
  EXPECT_EQ(run(disk_->remove("sub")).code(), Errc::kNotFound);
}

TEST_F(RealDisk, FailuresCarryACodeAndThePath) {
  auto missing = reactor_.run_until_done(disk_->open("no/such", {}));
  EXPECT_EQ(missing.code(), Errc::kNotFound);
  EXPECT_NE(missing.error().message().find("no/such"), std::string::npos);
  open("taken", {.create = true});
  EXPECT_EQ(
      reactor_.run_until_done(disk_->open("taken", {.create = true, .exclusive = true})).code(),
      Errc::kAlreadyExists);
  EXPECT_EQ(reactor_.run_until_done(disk_->list("absent")).code(), Errc::kNotFound);
  EXPECT_EQ(reactor_.run_until_done(disk_->rename("absent", "x")).code(), Errc::kNotFound);
  for (const char* outside : {"", "/etc", "..", "a/../b", "a/..", "../a"}) {
    EXPECT_EQ(reactor_.run_until_done(disk_->open(outside, {})).code(), Errc::kInvalidArgument)
        << outside;
  }
  EXPECT_TRUE(reactor_.run_until_done(disk_->open("a..b", {.create = true})).ok());
  EXPECT_EQ(reactor_.open_disk(root_ + "/none").code(), Errc::kNotFound);
}

TEST_F(RealDisk, AFullDeviceIsNoSpace) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP();
  auto devices = reactor_.open_disk("/dev");
  ASSERT_TRUE(devices.ok());
  auto full = reactor_.run_until_done((*devices)->open("full", {}));
  ASSERT_TRUE(full.ok());
  const Buffer content = pattern(pool_, 100, 1);
  EXPECT_EQ(write(**full, 0, {content.view()}).code(), Errc::kNoSpace);
  const std::array<ByteView, 1> parts{content.view()};
  EXPECT_EQ((*full)->write_cached_now(0, parts).code(), Errc::kNoSpace);
}

TEST_F(RealDisk, SpaceAndSizesAreTold) {
  const auto space = reactor_.run_until_done(disk_->space());
  ASSERT_TRUE(space.ok());
  EXPECT_GT(space->capacity_bytes, space->free_bytes);
  auto file = open("data", {.create = true});
  ASSERT_TRUE(reactor_.run_until_done(file->truncate(12345)).ok());
  EXPECT_EQ(*reactor_.run_until_done(file->size()), 12345u);
}

TEST_F(RealDisk, SpaceThatIsKeptForOthersIsNeitherUsedNorFree) {
  struct statvfs status{};
  const auto space = reactor_.run_until_done(disk_->space());
  ASSERT_TRUE(space.ok());
  ASSERT_EQ(::statvfs(root_.c_str(), &status), 0);
  const uint64_t kept = (status.f_bfree - status.f_bavail) * status.f_frsize;
  EXPECT_EQ(space->capacity_bytes, status.f_blocks * status.f_frsize - kept);
}

TEST_F(RealDisk, ARootOfOneServerIsRefusedToASecond) {
  auto first = reactor_.open_disk(root_ + "/own", {.create_root = true, .exclusive = true});
  ASSERT_TRUE(first.ok()) << first.error().describe();
  EXPECT_EQ(reactor_.open_disk(root_ + "/own", {.exclusive = true}).code(), Errc::kUnavailable);
  EXPECT_TRUE(reactor_.open_disk(root_ + "/own").ok()) << "an inspector may look";
  first->reset();
  EXPECT_TRUE(reactor_.open_disk(root_ + "/own", {.exclusive = true}).ok());
}

TEST_F(RealDisk, ReplaceFileLeavesTheNewContent) {
  for (const char* content : {"a longer first one", "second"}) {
    ASSERT_TRUE(reactor_.run_until_done(replace_file(*disk_, "id", Buffer::copy_of(content))).ok());
    auto back = reactor_.run_until_done(read_file(*disk_, "id", 100));
    ASSERT_TRUE(back.ok());
    EXPECT_EQ(as_text(back->view()), content);
  }
  EXPECT_EQ(reactor_.run_until_done(read_file(*disk_, "id", 2)).code(), Errc::kCorrupt);
}

Task<void> write_block(File* file, uint64_t index, Buffer block, size_t* done, Reactor* reactor,
                       size_t stop_at) {
  const std::array<ByteView, 1> parts{block.view()};
  const Status written = co_await file->write(index * 4096, parts, Durability::kCached);
  CHECK(written.ok());
  if (++*done == stop_at) reactor->stop();
}

TEST_F(RealDisk, MoreOperationsThanTheRingHoldsAllComplete) {
  auto file = open("data", {.create = true, .access = Access::kDirect});
  constexpr size_t kBlocks = 3000;  // Above the ring's bound on what is in flight.
  size_t done = 0;
  for (size_t i = 0; i < kBlocks; ++i) {
    reactor_.spawn(write_block(file.get(), i, pattern(pool_, 4096, static_cast<uint8_t>(i)), &done,
                               &reactor_, kBlocks));
  }
  reactor_.run();
  EXPECT_EQ(done, kBlocks);
  Buffer back = pool_.allocate(4096);
  for (size_t i = 0; i < kBlocks; i += 97) {
    ASSERT_TRUE(read(*file, i * 4096, back.mutable_view()).ok());
    EXPECT_TRUE(same(back.view(), pattern(pool_, 4096, static_cast<uint8_t>(i)).view())) << i;
  }
}

TEST_F(RealDisk, FramesDestroyedWithOperationsUnderWayAreWaitedFor) {
  auto reactor = std::make_unique<Reactor>();
  auto disk = reactor->open_disk(root_);
  ASSERT_TRUE(disk.ok());
  auto file =
      reactor->run_until_done((*disk)->open("data", {.create = true, .access = Access::kDirect}));
  ASSERT_TRUE(file.ok());
  size_t done = 0;
  for (size_t i = 0; i < 1500; ++i) {  // Some in flight, some queued, some waiting for the ring.
    reactor->spawn(write_block(file->get(), i, pattern(pool_, 4096, 7), &done, reactor.get(), 100));
  }
  reactor->run();
  EXPECT_GT(reactor->spawned_count(), 0u);
  EXPECT_GT(pool_.lent_bytes(), 0u);
  reactor.reset();
  EXPECT_EQ(pool_.lent_bytes(), 0u) << "every frame is gone, and the kernel writes into none";
}

}  // namespace
}  // namespace cairn::io::real
