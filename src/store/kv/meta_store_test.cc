/// One suite for every MetaStore, and what is particular to each.
#include "store/kv/meta_store.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "io/sync.h"
#include "sim/io/world.h"
#include "store/kv/memory_meta_store.h"
#include "store/kv/rocks_meta_store.h"

namespace cairn::kv {
namespace {

/// A directory that is removed at the end of the test.
class ScratchDirectory {
 public:
  ScratchDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "cairn_kv_XXXXXX").string();
    CHECK(mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~ScratchDirectory() { std::filesystem::remove_all(path_); }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

enum class Kind { kMemory, kMemoryWithLatency, kRocks };

class MetaStoreTest : public testing::TestWithParam<Kind> {
 protected:
  MetaStoreTest() : world_(1), host_(world_.add_host("mds")) { open(); }
  ~MetaStoreTest() override { store_ = nullptr; }

  void open() {
    if (GetParam() == Kind::kRocks) {
      auto opened = RocksMetaStore::open(host_.env(), (scratch_.path() / "a" / "meta").string());
      CHECK(opened.ok());
      rocks_ = std::move(*opened);
      store_ = rocks_.get();
      return;
    }
    if (GetParam() == Kind::kMemoryWithLatency) {
      memory_.set_latency(host_.env().clock, Rng(7), 10ms);
    }
    store_ = &memory_;
  }
  /// As a restart of the process that owns the store.
  void reopen() {
    rocks_ = nullptr;
    open();
  }

  Status commit(WriteBatch batch) { return world_.run(host_, store_->commit(std::move(batch))); }
  std::optional<std::string> get(std::string key) {
    auto value = world_.run(host_, store_->get(std::move(key)));
    CHECK(value.ok());
    return *value;
  }
  std::vector<std::string> scan(std::string prefix, size_t limit = 100, std::string after = {}) {
    auto pairs = world_.run(host_, store_->scan(std::move(prefix), limit, std::move(after)));
    CHECK(pairs.ok());
    std::vector<std::string> keys;
    for (const auto& pair : *pairs) keys.push_back(pair.key + "=" + pair.value);
    return keys;
  }
  void put(std::string key, std::string value) {
    WriteBatch batch;
    batch.put(std::move(key), std::move(value));
    ASSERT_TRUE(commit(std::move(batch)).ok());
  }

  ScratchDirectory scratch_;
  sim::World world_;
  sim::Host& host_;
  MemoryMetaStore memory_;
  std::unique_ptr<RocksMetaStore> rocks_;
  MetaStore* store_ = nullptr;
};

TEST_P(MetaStoreTest, WhatWasPutIsReadAndWhatWasDeletedIsNot) {
  EXPECT_EQ(get("a"), std::nullopt);
  put("a", "1");
  put("b", std::string("\0\xff", 2));
  EXPECT_EQ(get("a"), "1");
  EXPECT_EQ(get("b"), std::string("\0\xff", 2));
  WriteBatch batch;
  batch.remove("a");
  batch.remove("never there");
  batch.put("b", "2");
  ASSERT_TRUE(commit(batch).ok());
  EXPECT_EQ(get("a"), std::nullopt);
  EXPECT_EQ(get("b"), "2");
}

TEST_P(MetaStoreTest, ScanGivesAPrefixInOrderAndContinuesBehindAKey) {
  for (const char* key : {"v/3", "v/1", "u/9", "v/2", "w/0", "v", "v/10"}) put(key, "x");
  EXPECT_EQ(scan("v/"), (std::vector<std::string>{"v/1=x", "v/10=x", "v/2=x", "v/3=x"}));
  EXPECT_EQ(scan("v/", 2), (std::vector<std::string>{"v/1=x", "v/10=x"}));
  EXPECT_EQ(scan("v/", 2, "v/10"), (std::vector<std::string>{"v/2=x", "v/3=x"}));
  EXPECT_EQ(scan("v/", 2, "v/15"), (std::vector<std::string>{"v/2=x", "v/3=x"}));
  EXPECT_EQ(scan("v/", 2, "v/3"), std::vector<std::string>{});
  EXPECT_EQ(scan("v/", 2, "a"), (std::vector<std::string>{"v/1=x", "v/10=x"}));
  EXPECT_EQ(scan("none"), std::vector<std::string>{});
  EXPECT_EQ(scan("").size(), 7u);
}

TEST_P(MetaStoreTest, ABatchWhosePreconditionFailsWritesNothing) {
  put("counter", "5");
  WriteBatch stale;
  stale.put("x", "1");
  stale.put("counter", "6");
  stale.require_absent("x");
  stale.require("counter", "4");
  const Status refused = commit(stale);
  EXPECT_EQ(refused.code(), Errc::kPreconditionFailed);
  EXPECT_NE(refused.error().message().find("'counter'"), std::string::npos);
  EXPECT_EQ(get("x"), std::nullopt);
  EXPECT_EQ(get("counter"), "5");

  stale.preconditions.back().expected = "5";
  EXPECT_TRUE(commit(stale).ok());
  EXPECT_EQ(get("counter"), "6");
  EXPECT_EQ(commit(stale).code(), Errc::kPreconditionFailed) << "'x' exists by now";
}

TEST_P(MetaStoreTest, APreconditionDistinguishesAbsentFromEmpty) {
  put("empty", "");
  WriteBatch absent;
  absent.require_absent("empty");
  EXPECT_EQ(commit(absent).code(), Errc::kPreconditionFailed);
  WriteBatch empty;
  empty.require("empty", "");
  EXPECT_TRUE(commit(empty).ok());
  WriteBatch missing;
  missing.require("missing", "");
  EXPECT_EQ(commit(missing).code(), Errc::kPreconditionFailed);
}

io::Task<void> increment(MetaStore* store, int* won, int* lost, io::Event* done) {
  WriteBatch batch;
  batch.require("counter", "0");
  batch.put("counter", "1");
  const Status status = co_await store->commit(std::move(batch));
  ++*(status.ok() ? won : lost);
  if (!status.ok()) EXPECT_EQ(status.code(), Errc::kPreconditionFailed);
  if (*won + *lost == 8) done->set();
}
io::Task<void> wait(io::Event* done) {
  co_await done->wait();
}

TEST_P(MetaStoreTest, OfBatchesThatExcludeEachOtherInOneTurnOneWins) {
  put("counter", "0");
  int won = 0, lost = 0;
  io::Event done(host_.env().executor);
  host_.execute([&] {
    for (int i = 0; i < 8; ++i) {
      host_.env().executor.spawn(increment(store_, &won, &lost, &done));
    }
  });
  world_.run(host_, wait(&done));
  EXPECT_EQ(won, 1);
  EXPECT_EQ(lost, 7);
  EXPECT_EQ(get("counter"), "1");
}

TEST_P(MetaStoreTest, WhatBreaksALimitIsRefusedWhole) {
  const auto refused = [&](WriteBatch batch) {
    batch.put("innocent", "1");
    EXPECT_EQ(commit(std::move(batch)).code(), Errc::kInvalidArgument);
    EXPECT_EQ(get("innocent"), std::nullopt);
  };
  WriteBatch empty_key, long_key, long_value, twice, put_and_deleted;
  empty_key.put("", "1");
  long_key.put(std::string(kKeyBytesMax + 1, 'k'), "1");
  long_value.put("k", std::string(kValueBytesMax + 1, 'v'));
  twice.put("innocent", "2");
  put_and_deleted.remove("innocent");
  refused(empty_key);
  refused(long_key);
  refused(long_value);
  refused(twice);
  refused(put_and_deleted);
  WriteBatch many;
  for (size_t i = 0; i <= kBatchOperationsMax; ++i) many.remove("k" + std::to_string(i));
  refused(many);
  EXPECT_EQ(world_.run(host_, store_->scan("", 0)).code(), Errc::kInvalidArgument);
  EXPECT_EQ(world_.run(host_, store_->scan("", kScanLimitMax + 1)).code(), Errc::kInvalidArgument);
  EXPECT_EQ(world_.run(host_, store_->get("")).code(), Errc::kInvalidArgument);
}

TEST_P(MetaStoreTest, EverythingSurvivesAReopen) {
  for (int i = 0; i < 500; ++i) put("k/" + std::to_string(1000 + i), std::to_string(i));
  WriteBatch batch;
  batch.remove("k/1007");
  ASSERT_TRUE(commit(batch).ok());
  reopen();
  EXPECT_EQ(scan("k/", 1000).size(), 499u);
  EXPECT_EQ(get("k/1007"), std::nullopt);
  EXPECT_EQ(get("k/1499"), "499");
}

INSTANTIATE_TEST_SUITE_P(All, MetaStoreTest,
                         testing::Values(Kind::kMemory, Kind::kMemoryWithLatency, Kind::kRocks),
                         [](const auto& info) -> std::string {
                           switch (info.param) {
                             case Kind::kMemory:
                               return "Memory";
                             case Kind::kMemoryWithLatency:
                               return "MemoryWithLatency";
                             case Kind::kRocks:
                               return "Rocks";
                           }
                           return "";
                         });

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
