#include "store/etcd/backup.h"

#include "store/etcd/testbed_test.h"

namespace cairn::etcd {
namespace {

using testing::Candidate;
using testing::FakeMember;
using testing::TestBed;

constexpr size_t kPairsCount = 10'000;  // of more than one transaction, and of many pages

std::vector<kv::KeyValue> many_pairs() {
  std::vector<kv::KeyValue> pairs;
  for (size_t i = 0; i < kPairsCount; ++i)
    pairs.push_back({"k/" + std::to_string(10'000 + i), "v"});
  return pairs;
}

/// An etcd, and a person's command on some machine.
class EtcdBackup : public ::testing::Test {
 protected:
  EtcdBackup() : bed_(2), machine_(bed_.world.add_host("desk")) {
    machine_.execute([&] { way_ = std::make_unique<FakeMember>(bed_.etcd, machine_.env()); });
  }
  ~EtcdBackup() override {
    machine_.crash(sim::CrashKind::kKill, [this] { way_.reset(); });
  }
  Status load(std::vector<kv::KeyValue> pairs) {
    return bed_.world.run(machine_, etcd::load(*way_, layout_, std::move(pairs), 1s));
  }
  Result<std::vector<kv::KeyValue>> read_all(const std::function<void()>& between = [] {}) {
    ContentReader reader(*way_, layout_, 1s);
    std::vector<kv::KeyValue> all;
    for (;;) {
      auto page = TRY(bed_.world.run(machine_, reader.next()));
      if (page.empty()) return all;
      std::ranges::move(page, std::back_inserter(all));
      between();
    }
  }

  TestBed bed_;
  sim::Host& machine_;
  const Layout layout_{"cairn"};
  std::unique_ptr<FakeMember> way_;
};

TEST_F(EtcdBackup, WhatWasLoadedIsReadAndServed) {
  ASSERT_TRUE(load(many_pairs()).ok());
  const auto read = read_all();
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(*read, many_pairs());
  bed_.candidates.front()->start();
  Candidate& active = bed_.wait_active();
  auto store = active.election().store_of(active.election().term());
  const auto value = bed_.world.run(active.machine(), store->get("k/10007"));
  ASSERT_TRUE(value.ok());
  EXPECT_EQ(*value, "v");
}

TEST_F(EtcdBackup, AReadIsOfOneMoment) {
  ASSERT_TRUE(load(many_pairs()).ok());
  bed_.candidates.front()->start();
  Candidate& active = bed_.wait_active();
  auto store = active.election().store_of(active.election().term());
  const auto read = read_all([&] { ASSERT_TRUE(bed_.put(active, *store, "k/19999", "new").ok()); });
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(*read, many_pairs());
}

TEST_F(EtcdBackup, AReadWhoseMomentIsCompactedAwaySaysSo) {
  ASSERT_TRUE(load(many_pairs()).ok());
  bed_.candidates.front()->start();
  Candidate& active = bed_.wait_active();
  auto store = active.election().store_of(active.election().term());
  const auto read = read_all([&] {
    ASSERT_TRUE(bed_.put(active, *store, "x", "new").ok());
    bed_.etcd.compact();
  });
  EXPECT_EQ(read.code(), Errc::kPreconditionFailed);
}

TEST_F(EtcdBackup, WhereThereIsMetadataNothingIsLoaded) {
  ASSERT_TRUE(load({{"a", "old"}}).ok());
  EXPECT_EQ(load({{"a", "new"}}).code(), Errc::kAlreadyExists);
  EXPECT_EQ(bed_.etcd.value_of(layout_.content("a")), "old");
}

TEST_F(EtcdBackup, BesideAnActiveMdsNothingIsLoaded) {
  bed_.start_all();
  (void)bed_.wait_active();
  EXPECT_EQ(load(many_pairs()).code(), Errc::kUnavailable);
  EXPECT_EQ(bed_.etcd.value_of(layout_.loading()), std::nullopt);
}

TEST_F(EtcdBackup, ALoadThatDidNotEndKeepsEveryMdsFromServingUntilItIsRepeated) {
  Candidate& running = *bed_.candidates.front();
  running.start();
  (void)bed_.wait_active();
  bed_.world.run(running.machine(), running.election().resign());
  std::optional<Status> loaded;
  machine_.spawn(sim::detail::store_result(etcd::load(*way_, layout_, many_pairs(), 1s), &loaded));
  ASSERT_TRUE(bed_.world.run_until(
      [&] { return bed_.etcd.value_of(layout_.content("k/10000")).has_value(); }, 1s));
  way_->fault = FakeMember::Fault::kDown;
  ASSERT_TRUE(bed_.world.run_until([&] { return loaded.has_value(); }, 5s));
  EXPECT_EQ(loaded->code(), Errc::kUnavailable);

  bed_.world.run_for(5s);
  EXPECT_EQ(bed_.active_count(), 0u);
  Candidate& late = *bed_.candidates.back();
  late.start();
  ASSERT_TRUE(bed_.world.run_until([&] { return late.started().has_value(); }, 5s));
  EXPECT_EQ(late.started()->code(), Errc::kPreconditionFailed);

  way_->fault = FakeMember::Fault::kNone;
  ASSERT_TRUE(load({{"a", "1"}}).ok());
  const auto read = read_all();
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(*read, (std::vector<kv::KeyValue>{{"a", "1"}}));
  EXPECT_EQ(&bed_.wait_active(), &running);
}

}  // namespace
}  // namespace cairn::etcd
