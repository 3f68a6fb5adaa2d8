/// The suite that every MetaStore passes, whatever it stands on.
///
/// An implementation's test gives a Bed, default constructible, with
///   MetaStore& store();                 of the process that runs at present
///   void reopen();                      as a restart of everything that keeps the store
///   io::Executor& executor();           that store() lives on
///   void drive(io::Task<void> task);    runs it there to its end
/// and instantiates the suite:
///   INSTANTIATE_TYPED_TEST_SUITE_P(Rocks, MetaStoreConformance, RocksBed);
#pragma once

#include <gtest/gtest.h>

#include "io/sync.h"
#include "store/kv/meta_store.h"

namespace cairn::kv {

namespace detail {

struct Race {
  explicit Race(io::Executor& executor) : over(executor) {}
  int won = 0;
  int lost = 0;
  io::Event over;
};
inline constexpr int kRacersCount = 8;

inline io::Task<void> run_racer(MetaStore* store, Race* race) {
  WriteBatch batch;
  batch.require("counter", "0");
  batch.put("counter", "1");
  const Status status = co_await store->commit(std::move(batch));
  ++(status.ok() ? race->won : race->lost);
  if (!status.ok()) EXPECT_EQ(status.code(), Errc::kPreconditionFailed);
  if (race->won + race->lost == kRacersCount) race->over.set();
}
inline io::Task<void> run_race(MetaStore* store, io::Executor* executor, Race* race) {
  for (int i = 0; i < kRacersCount; ++i) executor->spawn(run_racer(store, race));
  co_await race->over.wait();
}
template <typename T>
io::Task<void> keep(io::Task<T> task, std::optional<T>* into) {
  into->emplace(co_await std::move(task));
}

}  // namespace detail

template <class Bed>
class MetaStoreConformance : public ::testing::Test {
 protected:
  Bed& bed() { return bed_; }
  MetaStore& store() { return bed_.store(); }
  void reopen() { bed_.reopen(); }
  template <typename T>
  T run(io::Task<T> task) {
    std::optional<T> result;
    bed_.drive(detail::keep(std::move(task), &result));
    return std::move(*result);
  }
  void run(io::Task<void> task) { bed_.drive(std::move(task)); }

  Status commit(WriteBatch batch) { return run(store().commit(std::move(batch))); }
  std::optional<std::string> get(std::string key) {
    auto value = run(store().get(std::move(key)));
    CHECK(value.ok());
    return *value;
  }
  std::vector<std::string> scan(std::string prefix, size_t limit = 100, std::string after = {}) {
    auto pairs = run(store().scan(std::move(prefix), limit, std::move(after)));
    CHECK(pairs.ok());
    std::vector<std::string> found;
    for (const auto& pair : *pairs) found.push_back(pair.key + "=" + pair.value);
    return found;
  }
  void put(std::string key, std::string value) {
    WriteBatch batch;
    batch.put(std::move(key), std::move(value));
    const Status status = commit(std::move(batch));
    ASSERT_TRUE(status.ok()) << status.error().describe();
  }

 private:
  Bed bed_;
};
TYPED_TEST_SUITE_P(MetaStoreConformance);

TYPED_TEST_P(MetaStoreConformance, WhatWasPutIsReadAndWhatWasDeletedIsNot) {
  EXPECT_EQ(this->get("a"), std::nullopt);
  this->put("a", "1");
  this->put("b", std::string("\0\xff", 2));
  EXPECT_EQ(this->get("a"), "1");
  EXPECT_EQ(this->get("b"), std::string("\0\xff", 2));
  WriteBatch batch;
  batch.remove("a");
  batch.remove("never there");
  batch.put("b", "2");
  ASSERT_TRUE(this->commit(batch).ok());
  EXPECT_EQ(this->get("a"), std::nullopt);
  EXPECT_EQ(this->get("b"), "2");
}

TYPED_TEST_P(MetaStoreConformance, ScanGivesAPrefixInOrderAndContinuesBehindAKey) {
  for (const char* key : {"v/3", "v/1", "u/9", "v/2", "w/0", "v", "v/10"}) this->put(key, "x");
  EXPECT_EQ(this->scan("v/"), (std::vector<std::string>{"v/1=x", "v/10=x", "v/2=x", "v/3=x"}));
  EXPECT_EQ(this->scan("v/", 2), (std::vector<std::string>{"v/1=x", "v/10=x"}));
  EXPECT_EQ(this->scan("v/", 2, "v/10"), (std::vector<std::string>{"v/2=x", "v/3=x"}));
  EXPECT_EQ(this->scan("v/", 2, "v/15"), (std::vector<std::string>{"v/2=x", "v/3=x"}));
  EXPECT_EQ(this->scan("v/", 2, "v/3"), std::vector<std::string>{});
  EXPECT_EQ(this->scan("v/", 2, "a"), (std::vector<std::string>{"v/1=x", "v/10=x"}));
  EXPECT_EQ(this->scan("none"), std::vector<std::string>{});
  EXPECT_EQ(this->scan("").size(), 7u);
}

TYPED_TEST_P(MetaStoreConformance, ABatchWhosePreconditionFailsWritesNothing) {
  this->put("counter", "5");
  WriteBatch stale;
  stale.put("x", "1");
  stale.put("counter", "6");
  stale.require_absent("x");
  stale.require("counter", "4");
  const Status refused = this->commit(stale);
  EXPECT_EQ(refused.code(), Errc::kPreconditionFailed);
  EXPECT_NE(refused.error().message().find("'counter'"), std::string::npos);
  EXPECT_EQ(this->get("x"), std::nullopt);
  EXPECT_EQ(this->get("counter"), "5");

  stale.preconditions.back().expected = "5";
  EXPECT_TRUE(this->commit(stale).ok());
  EXPECT_EQ(this->get("counter"), "6");
  EXPECT_EQ(this->commit(stale).code(), Errc::kPreconditionFailed) << "'x' exists by now";
}

TYPED_TEST_P(MetaStoreConformance, APreconditionDistinguishesAbsentFromEmpty) {
  this->put("empty", "");
  WriteBatch absent;
  absent.require_absent("empty");
  EXPECT_EQ(this->commit(absent).code(), Errc::kPreconditionFailed);
  WriteBatch empty;
  empty.require("empty", "");
  EXPECT_TRUE(this->commit(empty).ok());
  WriteBatch missing;
  missing.require("missing", "");
  EXPECT_EQ(this->commit(missing).code(), Errc::kPreconditionFailed);
}

TYPED_TEST_P(MetaStoreConformance, OfBatchesThatExcludeEachOtherInOneTurnOneWins) {
  this->put("counter", "0");
  detail::Race race(this->bed().executor());
  this->run(detail::run_race(&this->store(), &this->bed().executor(), &race));
  EXPECT_EQ(race.won, 1);
  EXPECT_EQ(race.lost, detail::kRacersCount - 1);
  EXPECT_EQ(this->get("counter"), "1");
}

TYPED_TEST_P(MetaStoreConformance, WhatBreaksALimitIsRefusedWhole) {
  const auto refused = [&](WriteBatch batch) {
    batch.put("innocent", "1");
    EXPECT_EQ(this->commit(std::move(batch)).code(), Errc::kInvalidArgument);
    EXPECT_EQ(this->get("innocent"), std::nullopt);
  };
  WriteBatch empty_key, reserved_key, long_key, long_value, twice, put_and_deleted;
  empty_key.put("", "1");
  reserved_key.put(std::string("\0k", 2), "1");
  long_key.put(std::string(kKeyBytesMax + 1, 'k'), "1");
  long_value.put("k", std::string(kValueBytesMax + 1, 'v'));
  twice.put("innocent", "2");
  put_and_deleted.remove("innocent");
  refused(empty_key);
  refused(reserved_key);
  refused(long_key);
  refused(long_value);
  refused(twice);
  refused(put_and_deleted);
  WriteBatch many;
  for (size_t i = 0; i <= kBatchOperationsMax; ++i) many.remove("k" + std::to_string(i));
  refused(many);
  EXPECT_EQ(this->run(this->store().scan("", 0)).code(), Errc::kInvalidArgument);
  EXPECT_EQ(this->run(this->store().scan("", kScanLimitMax + 1)).code(), Errc::kInvalidArgument);
  EXPECT_EQ(this->run(this->store().get("")).code(), Errc::kInvalidArgument);
}

TYPED_TEST_P(MetaStoreConformance, KeysAreAnyBytesButAZeroFirstAndAreOrderedAsSuch) {
  const std::string high("\xff\xff", 2), higher("\xff\xff\x01", 3), zero("a\0b", 3);
  for (const std::string& key : {high, higher, zero, std::string("a"), std::string("\x01")}) {
    this->put(key, "x");
  }
  EXPECT_EQ(this->scan(""),
            (std::vector<std::string>{"\x01=x", "a=x", zero + "=x", high + "=x", higher + "=x"}));
  EXPECT_EQ(this->scan(std::string("\xff", 1)),
            (std::vector<std::string>{high + "=x", higher + "=x"}));
  EXPECT_EQ(this->scan("a", 100, "a"), std::vector<std::string>{zero + "=x"});
}

TYPED_TEST_P(MetaStoreConformance, ALargeBatchIsOne) {
  constexpr size_t kCount = 6000;
  WriteBatch batch;
  for (size_t i = 0; i < kCount; ++i) {
    batch.require_absent("k/" + std::to_string(10'000 + i));
    batch.put("k/" + std::to_string(10'000 + i), std::string(500, 'v'));
  }
  WriteBatch late = batch;
  late.preconditions.back().expected = "never";
  EXPECT_EQ(this->commit(std::move(late)).code(), Errc::kPreconditionFailed);
  EXPECT_EQ(this->scan("k/", kScanLimitMax).size(), 0u);
  ASSERT_TRUE(this->commit(std::move(batch)).ok());
  EXPECT_EQ(this->scan("k/", kScanLimitMax).size(), kCount);
}

TYPED_TEST_P(MetaStoreConformance, EverythingSurvivesAReopen) {
  for (int i = 0; i < 500; ++i) this->put("k/" + std::to_string(1000 + i), std::to_string(i));
  WriteBatch batch;
  batch.remove("k/1007");
  ASSERT_TRUE(this->commit(batch).ok());
  this->reopen();
  EXPECT_EQ(this->scan("k/", 1000).size(), 499u);
  EXPECT_EQ(this->get("k/1007"), std::nullopt);
  EXPECT_EQ(this->get("k/1499"), "499");
}

REGISTER_TYPED_TEST_SUITE_P(MetaStoreConformance, WhatWasPutIsReadAndWhatWasDeletedIsNot,
                            ScanGivesAPrefixInOrderAndContinuesBehindAKey,
                            ABatchWhosePreconditionFailsWritesNothing,
                            APreconditionDistinguishesAbsentFromEmpty,
                            OfBatchesThatExcludeEachOtherInOneTurnOneWins,
                            WhatBreaksALimitIsRefusedWhole,
                            KeysAreAnyBytesButAZeroFirstAndAreOrderedAsSuch, ALargeBatchIsOne,
                            EverythingSurvivesAReopen);

}  // namespace cairn::kv
