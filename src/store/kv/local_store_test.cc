/// What a replicated store relies on in the store under it.
#include "store/kv/local_store.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "sim/io/world.h"
#include "store/kv/memory_meta_store.h"
#include "store/kv/rocks_meta_store.h"
#include "store/kv/scratch_test.h"

namespace cairn::kv {
namespace {

class LocalStoreTest : public testing::TestWithParam<bool> {
 protected:
  LocalStoreTest() : world_(1), host_(world_.add_host("mds")) {
    if (GetParam()) {
      auto opened = RocksMetaStore::open(host_.env(), (scratch_.path() / "meta").string());
      CHECK(opened.ok());
      store_ = std::move(*opened);
    } else {
      store_ = std::make_unique<MemoryMetaStore>();
    }
  }
  Status apply(WriteBatch batch, std::string mark) {
    return world_.run(host_, store_->apply(std::move(batch), std::move(mark)));
  }
  Status put(std::string key, std::string mark) {
    WriteBatch batch;
    batch.put(std::move(key), "x");
    return apply(std::move(batch), std::move(mark));
  }
  std::vector<std::string> keys() {
    auto view = store_->view();
    CHECK(view.ok());
    return keys_of(**view);
  }
  static std::vector<std::string> keys_of(StoreView& view, size_t page = 2) {
    std::vector<std::string> keys;
    for (;;) {
      const auto pairs = view.next(page);
      CHECK(pairs.ok());
      for (const auto& pair : *pairs) keys.push_back(pair.key);
      if (pairs->empty()) return keys;
    }
  }

  ScratchDirectory scratch_;
  sim::World world_;
  sim::Host& host_;
  std::unique_ptr<LocalStore> store_;
};

TEST_P(LocalStoreTest, TheMarkChangesWithItsBatchAlone) {
  EXPECT_EQ(*store_->mark(), "");
  ASSERT_TRUE(put("a", "1").ok());
  EXPECT_EQ(*store_->mark(), "1");
  WriteBatch refused;
  refused.require_absent("a");
  EXPECT_EQ(apply(refused, "2").code(), Errc::kPreconditionFailed);
  EXPECT_EQ(*store_->mark(), "1");
  ASSERT_TRUE(world_.run(host_, store_->sync()).ok());
  EXPECT_EQ(*store_->mark(), "1");
  EXPECT_EQ(keys(), std::vector<std::string>{"a"}) << "the mark is no key";
  EXPECT_EQ(world_.run(host_, store_->scan("", 10))->size(), 1u);
}

TEST_P(LocalStoreTest, AViewIsOfOneMoment) {
  for (const char* key : {"a", "b", "c"}) ASSERT_TRUE(put(key, key).ok());
  auto view = store_->view();
  ASSERT_TRUE(view.ok());
  WriteBatch later;
  later.remove("b");
  later.put("d", "x");
  ASSERT_TRUE(apply(std::move(later), "d").ok());
  EXPECT_EQ((*view)->mark(), "c");
  EXPECT_EQ(keys_of(**view), (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(keys(), (std::vector<std::string>{"a", "c", "d"}));
}

TEST_P(LocalStoreTest, ReplaceLeavesNothingOfWhatWas) {
  for (const char* key : {"a", "\xff\xff\xff"}) ASSERT_TRUE(put(key, "old").ok());
  Content content{.mark = "new", .pairs = {{"b", "1"}, {"c", "2"}}};
  ASSERT_TRUE(world_.run(host_, store_->replace(content)).ok());
  EXPECT_EQ(keys(), (std::vector<std::string>{"b", "c"}));
  EXPECT_EQ(*store_->mark(), "new");
  ASSERT_TRUE(world_.run(host_, store_->replace({})).ok());
  EXPECT_EQ(*store_->mark(), "");
  EXPECT_EQ(keys(), std::vector<std::string>{});
  content.pairs.push_back({"", "no key"});
  EXPECT_EQ(world_.run(host_, store_->replace(content)).code(), Errc::kInvalidArgument);
}

INSTANTIATE_TEST_SUITE_P(All, LocalStoreTest, testing::Bool(), [](const auto& info) {
  return std::string(info.param ? "Rocks" : "Memory");
});

TEST(MemoryMetaStore, APowerLossTakesUnsyncedBatchesFromTheEndAlone) {
  bool lost_some = false, kept_some = false;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    sim::World world(seed);
    sim::Host& host = world.add_host("mds");
    MemoryMetaStore store;
    for (int i = 1; i <= 6; ++i) {
      WriteBatch batch;
      batch.put("k" + std::to_string(i), "x");
      ASSERT_TRUE(world.run(host, store.apply(batch, std::to_string(i))).ok());
      if (i == 3) ASSERT_TRUE(world.run(host, store.sync()).ok());
    }
    store.lose_unsynced(world.rng());
    const size_t left = store.content().size();
    EXPECT_GE(left, 3u);
    EXPECT_EQ(*store.mark(), std::to_string(left));
    lost_some |= left < 6;
    kept_some |= left > 3;
  }
  EXPECT_TRUE(lost_some && kept_some);
}

}  // namespace
}  // namespace cairn::kv
