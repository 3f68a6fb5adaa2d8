/// The suite for the stores of one process, and what is particular to each of them.
#include "store/kv/meta_store.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "sim/io/world.h"
#include "store/kv/conformance_test.h"
#include "store/kv/memory_meta_store.h"
#include "store/kv/rocks_meta_store.h"
#include "store/kv/scratch_test.h"

namespace cairn::kv {
namespace {

/// A store on a simulated host.
class SimulatedBed {
 public:
  SimulatedBed() : world_(1), host_(world_.add_host("mds")) {}
  io::Executor& executor() { return host_.env().executor; }
  void drive(io::Task<void> task) { world_.run(host_, std::move(task)); }

 protected:
  sim::World world_;
  sim::Host& host_;
};

class MemoryBed : public SimulatedBed {
 public:
  MetaStore& store() { return store_; }
  void reopen() {}

 protected:
  MemoryMetaStore store_;
};

class MemoryWithLatencyBed : public MemoryBed {
 public:
  MemoryWithLatencyBed() { store_.set_latency(host_.env().clock, Rng(7), 10ms); }
};

class RocksBed : public SimulatedBed {
 public:
  RocksBed() { reopen(); }
  MetaStore& store() { return *store_; }
  void reopen() {
    store_ = nullptr;
    auto opened = RocksMetaStore::open(host_.env(), (scratch_.path() / "a" / "meta").string());
    CHECK(opened.ok());
    store_ = std::move(*opened);
  }

 private:
  ScratchDirectory scratch_;
  std::unique_ptr<RocksMetaStore> store_;
};

INSTANTIATE_TYPED_TEST_SUITE_P(Memory, MetaStoreConformance, MemoryBed);
INSTANTIATE_TYPED_TEST_SUITE_P(MemoryWithLatency, MetaStoreConformance, MemoryWithLatencyBed);
INSTANTIATE_TYPED_TEST_SUITE_P(Rocks, MetaStoreConformance, RocksBed);

TEST(MemoryMetaStore, AnInjectedFailureLeavesTheOutcomeOpen) {
  sim::World world(1);
  sim::Host& host = world.add_host("mds");
  MemoryMetaStore store;
  store.fail_next_commits(2);
  WriteBatch first, second, third;
  first.put("a", "1");
  second.put("b", "1");
  third.put("c", "1");
  EXPECT_EQ(world.run(host, store.commit(first)).code(), Errc::kIo);
  EXPECT_EQ(world.run(host, store.commit(second)).code(), Errc::kIo);
  EXPECT_TRUE(world.run(host, store.commit(third)).ok());
  EXPECT_FALSE(store.content().contains("a"));
  EXPECT_TRUE(store.content().contains("b"));
  EXPECT_TRUE(store.content().contains("c"));
}

class RocksTest : public testing::Test {
 protected:
  RocksTest() : world_(1), host_(world_.add_host("mds")) {}
  std::string path() const { return (scratch_.path() / "meta").string(); }
  Result<std::unique_ptr<RocksMetaStore>> open(RocksOptions options = {}) {
    return RocksMetaStore::open(host_.env(), path(), options);
  }
  Status put(RocksMetaStore& store, std::string key, std::string value) {
    WriteBatch batch;
    batch.put(std::move(key), std::move(value));
    return world_.run(host_, store.commit(std::move(batch)));
  }
  size_t count_keys(MetaStore& store) {
    const auto pairs = world_.run(host_, store.scan("k", 100));
    CHECK(pairs.ok());
    return pairs->size();
  }
  /// Of the write-ahead logs, the newest.
  std::filesystem::path newest_log() const {
    std::filesystem::path newest;
    for (const auto& entry : std::filesystem::directory_iterator(path())) {
      if (entry.path().extension() == ".log" && entry.path() > newest) newest = entry.path();
    }
    CHECK(!newest.empty());
    return newest;
  }
  /// What a power loss leaves: a copy of the files as they are while the store is open.
  void take_image(const std::filesystem::path& to) const {
    std::filesystem::copy(path(), to, std::filesystem::copy_options::recursive);
    std::filesystem::remove(to / "LOCK");
  }

  ScratchDirectory scratch_;
  sim::World world_;
  sim::Host& host_;
};

TEST_F(RocksTest, ASecondOwnerIsTurnedAway) {
  auto first = open();
  ASSERT_TRUE(first.ok());
  auto second = open();
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.code(), Errc::kUnavailable);
  EXPECT_NE(second.error().message().find("another process"), std::string::npos);
}

TEST_F(RocksTest, ReadOnlyReadsBesideTheOwnerAndRefusesToWrite) {
  auto owner = open();
  ASSERT_TRUE(owner.ok());
  ASSERT_TRUE(put(**owner, "a", "1").ok());
  auto reader = open({.read_only = true});
  ASSERT_TRUE(reader.ok()) << reader.error().describe();
  EXPECT_EQ(*world_.run(host_, (*reader)->get("a")), "1");
  EXPECT_EQ(put(**reader, "a", "2").code(), Errc::kUnsupported);
}

TEST_F(RocksTest, ReadOnlyOfNothingIsNotFoundAndCreatesNothing) {
  auto reader = open({.read_only = true});
  ASSERT_FALSE(reader.ok());
  EXPECT_EQ(reader.code(), Errc::kNotFound) << reader.error().describe();
  EXPECT_FALSE(std::filesystem::exists(path() + "/CURRENT"));
}

TEST_F(RocksTest, WhatWasAcknowledgedSurvivesACrashOfTheProcess) {
  const auto image = scratch_.path() / "image";
  auto store = open();
  ASSERT_TRUE(store.ok());
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(put(**store, "k" + std::to_string(i), std::string(1000, 'v')).ok());
  }
  take_image(image);
  auto recovered = RocksMetaStore::open(host_.env(), image.string());
  ASSERT_TRUE(recovered.ok()) << recovered.error().describe();
  EXPECT_EQ(count_keys(**recovered), 20u);
}

TEST_F(RocksTest, ATornTailIsCutButACorruptMiddleRefusesToOpen) {
  auto store = open();
  ASSERT_TRUE(store.ok());
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(put(**store, "k" + std::to_string(i), std::string(1000, 'v')).ok());
  }
  const auto torn = scratch_.path() / "torn";
  const auto rotten = scratch_.path() / "rotten";
  take_image(torn);
  take_image(rotten);
  const auto log = newest_log().filename();
  std::filesystem::resize_file(torn / log, std::filesystem::file_size(torn / log) - 100);
  auto recovered = RocksMetaStore::open(host_.env(), torn.string());
  ASSERT_TRUE(recovered.ok()) << recovered.error().describe();
  EXPECT_EQ(count_keys(**recovered), 19u);

  std::fstream file(rotten / log, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(5000);
  file.write("rot", 3);
  file.close();
  auto refused = RocksMetaStore::open(host_.env(), rotten.string());
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.code(), Errc::kCorrupt) << refused.error().describe();
}

}  // namespace
}  // namespace cairn::kv
