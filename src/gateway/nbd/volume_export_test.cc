/// Volumes as exports, over a fake cluster of one chunkserver.
#include "gateway/nbd/volume_export.h"

#include <gtest/gtest.h>

#include "client/fake_cluster_test.h"
#include "sim/io/world.h"

namespace cairn::nbd {
namespace {

class VolumeExportTest : public ::testing::Test {
 protected:
  VolumeExportTest()
      : chunkserver_host_(world_.add_host("cs")),
        mds_host_(world_.add_host("mds")),
        host_(world_.add_host("gateway")) {
    const io::Address member = chunkserver_host_.address(9000);
    chunkserver_ =
        std::make_unique<client::fake::FakeChunkserver>(chunkserver_host_.env(), state_, 1, member);
    mds_ = std::make_unique<client::fake::FakeMds>(
        mds_host_.env(), state_, std::vector<io::Address>{member}, mds_host_.address(9000));
    state_.volumes["a"] = client::fake::describe(1, "a", 64 * kMiB);
    state_.volumes["b"] = client::fake::describe(2, "b", 64 * kMiB);
    client::ClientOptions options;
    options.mds = {mds_host_.address(9000)};
    options.key = client::fake::kKey;
    cluster_ = std::make_unique<client::Cluster>(host_.env(), options);
    serve({});
  }
  ~VolumeExportTest() override {
    host_.crash(sim::CrashKind::kKill, [this] {
      source_.reset();
      cluster_.reset();
    });
    chunkserver_host_.crash(sim::CrashKind::kKill, [this] { chunkserver_.reset(); });
    mds_host_.crash(sim::CrashKind::kKill, [this] { mds_.reset(); });
  }
  void serve(VolumeSourceOptions options) {
    source_ = std::make_unique<VolumeSource>(host_.env(), *cluster_, std::move(options));
  }
  template <typename T>
  T run(io::Task<T> task) {
    return world_.run(host_, std::move(task), std::chrono::minutes(5));
  }

  sim::World world_{3};
  client::fake::FakeState state_;
  sim::Host& chunkserver_host_;
  sim::Host& mds_host_;
  sim::Host& host_;
  std::unique_ptr<client::fake::FakeChunkserver> chunkserver_;
  std::unique_ptr<client::fake::FakeMds> mds_;
  std::unique_ptr<client::Cluster> cluster_;
  std::unique_ptr<VolumeSource> source_;
};

TEST_F(VolumeExportTest, OpensVolumesByNameAndSaysWhichItHasNot) {
  auto opened = run(source_->open("b"));
  ASSERT_TRUE(opened.ok());
  EXPECT_EQ((*opened)->traits().size_bytes, 64 * kMiB);
  EXPECT_EQ(run(source_->open("c")).code(), Errc::kNotFound);
  EXPECT_EQ(run(source_->open("")).code(), Errc::kNotFound) << "there is no default";
  EXPECT_EQ(run(source_->list()).value(), (std::vector<std::string>{"a", "b"}));
}

TEST_F(VolumeExportTest, ServesOnlyWhatItWasToldTo) {
  serve({.volumes = {"a"}, .default_volume = {}});
  EXPECT_EQ(run(source_->open("b")).code(), Errc::kNotFound);
  auto opened = run(source_->open(""));
  ASSERT_TRUE(opened.ok()) << "the only one is the default";
  EXPECT_EQ((*opened)->traits().name, "a");
  EXPECT_EQ(run(source_->list()).value(), (std::vector<std::string>{"a"}));
}

TEST_F(VolumeExportTest, ConnectionsShareOneVolumeUntilItIsMadeAnew) {
  auto first = run(source_->open("a")).value();
  EXPECT_EQ(run(source_->open("a")).value(), first);
  state_.volumes["a"] = client::fake::describe(9, "a", 32 * kMiB);
  auto second = run(source_->open("a")).value();
  EXPECT_NE(second, first);
  EXPECT_EQ(second->traits().size_bytes, 32 * kMiB);
  state_.volumes.erase("a");
  EXPECT_EQ(run(source_->open("a")).code(), Errc::kNotFound);
}

TEST_F(VolumeExportTest, ARenamedVolumeIsSharedUnderItsNewNameAndAnExtendedOneShowsItsSize) {
  auto first = run(source_->open("a")).value();
  auto moved = client::fake::describe(1, "c", 128 * kMiB);
  state_.volumes.erase("a");
  state_.volumes["c"] = moved;
  EXPECT_EQ(run(source_->open("c")).value(), first) << "one session, or it would fence itself";
  EXPECT_EQ(state_.sessions.size(), 1u);
  EXPECT_EQ(first->traits().size_bytes, 128 * kMiB);
  EXPECT_TRUE(run(first->write(127 * kMiB, host_.env().buffers.allocate(4096))).ok());
  EXPECT_EQ(run(source_->open("a")).code(), Errc::kNotFound);
  // Another volume takes the name over.
  state_.volumes["a"] = client::fake::describe(7, "a", 32 * kMiB);
  EXPECT_NE(run(source_->open("a")).value(), first);
}

TEST_F(VolumeExportTest, AVolumeIsOpenWhileAConnectionUsesIt) {
  auto first = run(source_->open("a")).value();
  auto second = run(source_->open("a")).value();
  EXPECT_EQ(state_.sessions.size(), 1u);
  first.reset();
  world_.run_for(1s);
  EXPECT_EQ(state_.sessions.size(), 1u);
  second.reset();
  world_.run_for(1s);
  EXPECT_TRUE(state_.sessions.empty());
  ASSERT_TRUE(run(source_->open("a")).ok());
}

TEST_F(VolumeExportTest, AfterALostSessionTheNextConnectionOpensAnew) {
  auto lost = run(source_->open("a")).value();
  ++state_.fence;
  EXPECT_EQ(run(lost->write(0, host_.env().buffers.allocate(4096))).code(), Errc::kStaleFence);
  auto second = run(source_->open("a")).value();
  EXPECT_NE(second, lost);
  EXPECT_TRUE(run(second->write(0, host_.env().buffers.allocate(4096))).ok());
  EXPECT_EQ(run(lost->flush()).code(), Errc::kStaleFence);
}

TEST_F(VolumeExportTest, ReadsWritesZeroesAndTellsHoles) {
  auto disk = run(source_->open("a")).value();
  ASSERT_TRUE(run(disk->write(4096, host_.env().buffers.allocate(8192))).ok());
  EXPECT_EQ(state_.writes.size(), 1u);
  ASSERT_TRUE(run(disk->zero(4096, 4096, false)).ok());
  auto pieces = run(disk->read(4096, 4096)).value();
  ASSERT_EQ(pieces.size(), 1u);
  EXPECT_TRUE(
      std::ranges::all_of(pieces[0].data.view(), [](std::byte b) { return b == std::byte{}; }));
  auto extents = run(disk->extents(0, 64 * kMiB)).value();
  ASSERT_EQ(extents.size(), 2u);
  EXPECT_TRUE(extents[0].is_allocated);
  EXPECT_EQ(extents[0].size_bytes, client::fake::kSegmentBytes);
  EXPECT_FALSE(extents[1].is_allocated);
  EXPECT_TRUE(disk->is_zero_fast(0, 4096));
  EXPECT_FALSE(disk->is_zero_fast(1, 4096));
}

TEST_F(VolumeExportTest, ATrimKeepsThePartsOfBlocks) {
  auto disk = run(source_->open("a")).value();
  Buffer data = host_.env().buffers.allocate(3 * 4096);
  std::ranges::fill(data.mutable_view(), std::byte{7});
  ASSERT_TRUE(run(disk->write(0, data)).ok());
  ASSERT_TRUE(run(disk->trim(100, 8192)).ok());
  auto pieces = run(disk->read(0, 3 * 4096)).value();
  EXPECT_EQ(pieces[0].data.data()[4095], std::byte{7});
  EXPECT_EQ(pieces[0].data.data()[4096], std::byte{0});
  EXPECT_EQ(pieces[0].data.data()[8192], std::byte{7});
  ASSERT_TRUE(run(disk->trim(100, 200)).ok());
  EXPECT_EQ(state_.writes.size(), 2u) << "less than a block holds no space";
}

TEST_F(VolumeExportTest, CloseEndsTheVolumes) {
  auto disk = run(source_->open("a")).value();
  run(source_->close());
  EXPECT_EQ(run(disk->flush()).code(), Errc::kClosed);
}

}  // namespace
}  // namespace cairn::nbd
