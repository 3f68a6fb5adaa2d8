#include "store/etcd/store.h"

#include "store/etcd/testbed_test.h"

namespace cairn::etcd {
namespace {

using testing::Candidate;
using testing::FakeMember;
using testing::TestBed;

TEST(EtcdStore, AScanOfManyPagesIsOfOneMoment) {
  TestBed bed(1);
  bed.start_all();
  Candidate& active = bed.wait_active();
  auto store = active.election().store_of(active.election().term());
  kv::WriteBatch batch;
  for (int i = 0; i < 1000; ++i) batch.put("k/" + std::to_string(1000 + i), "old");
  ASSERT_TRUE(bed.world.run(active.machine(), store->commit(batch)).ok());
  for (auto& put : batch.puts) put.value = "new";
  std::optional<Result<std::vector<kv::KeyValue>>> found;
  active.machine().spawn(sim::detail::store_result(store->scan("k/", 10'000, ""), &found));
  // Between two of its pages.
  bed.world.run_for(3ms);
  ASSERT_FALSE(found.has_value());
  ASSERT_TRUE(bed.world.run(active.machine(), store->commit(batch)).ok());
  ASSERT_TRUE(bed.world.run_until([&] { return found.has_value(); }, 1s));
  ASSERT_EQ((*found)->size(), 1000u);
  for (const auto& pair : **found) ASSERT_EQ(pair.value, "old") << pair.key;
}

TEST(EtcdStore, AScanThatMeetsCompactionBeginsAnewAndGivesUpAfterSome) {
  TestBed bed(1);
  bed.start_all();
  Candidate& active = bed.wait_active();
  auto store = active.election().store_of(active.election().term());
  kv::WriteBatch batch;
  for (int i = 0; i < 1000; ++i) batch.put("k/" + std::to_string(1000 + i), "v");
  ASSERT_TRUE(bed.world.run(active.machine(), store->commit(batch)).ok());
  std::optional<Result<std::vector<kv::KeyValue>>> found;
  active.machine().spawn(sim::detail::store_result(store->scan("k/", 10'000, ""), &found));
  bed.world.run_for(3ms);
  ASSERT_TRUE(bed.put(active, *store, "x", "1").ok());
  bed.etcd.compact();
  ASSERT_TRUE(bed.world.run_until([&] { return found.has_value(); }, 1s));
  ASSERT_TRUE(found->ok()) << found->error().describe();
  EXPECT_EQ((*found)->size(), 1000u);

  found.reset();
  active.machine().spawn(sim::detail::store_result(store->scan("k/", 10'000, ""), &found));
  for (int i = 0; i < 1000 && !found; ++i) {
    ASSERT_TRUE(bed.put(active, *store, "x", std::to_string(i)).ok());
    bed.etcd.compact();
  }
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->code(), Errc::kUnavailable);
  EXPECT_NE(found->error().message().find("--auto-compaction-retention"), std::string::npos);
}

TEST(EtcdStore, OfManyPreconditionsTheBrokenOneIsNamed) {
  TestBed bed(1);
  bed.start_all();
  Candidate& active = bed.wait_active();
  auto store = active.election().store_of(active.election().term());
  ASSERT_TRUE(bed.put(active, *store, "k/137", "there").ok());
  kv::WriteBatch batch;
  for (int i = 0; i < 200; ++i) batch.require_absent("k/" + std::to_string(i));
  batch.put("x", "1");
  const Status refused = bed.world.run(active.machine(), store->commit(batch));
  EXPECT_EQ(refused.code(), Errc::kPreconditionFailed);
  EXPECT_NE(refused.error().message().find("'k/137'"), std::string::npos)
      << refused.error().message();
}

TEST(EtcdStore, ACommitWhoseAnswerIsLostIsNotRetriedAndSaysThatItIsUnknown) {
  TestBed bed(1);
  bed.start_all();
  Candidate& active = bed.wait_active();
  auto store = active.election().store_of(active.election().term());
  active.way().fault = FakeMember::Fault::kLosesReply;
  const uint64_t calls_before = active.way().calls_count;
  std::optional<Status> committed;
  kv::WriteBatch batch;
  batch.put("k", "1");
  active.machine().spawn(sim::detail::store_result(store->commit(batch), &committed));
  bed.world.run_for(1ms + 1us);
  active.way().fault = FakeMember::Fault::kLosesReply;
  ASSERT_TRUE(bed.world.run_until([&] { return committed.has_value(); }, 10s));
  EXPECT_EQ(committed->code(), Errc::kTimeout);
  EXPECT_GT(active.way().calls_count, calls_before);
  EXPECT_EQ(bed.etcd.value_of("cairn/meta/k"), "1");
}

TEST(EtcdLayout, AKeyOfAnyBytesIsFoundInTheRangeOfItsPrefix) {
  const Layout layout("some/where");
  for (const std::string& prefix : {std::string(), std::string("v/"), std::string("\xff\xff")}) {
    const Range range = layout.content_behind(prefix, "");
    for (const std::string& rest : {std::string("\x01"), std::string("\xff\xff"), std::string()}) {
      const std::string key = layout.content(prefix + rest);
      EXPECT_LE(range.first, key);
      EXPECT_LT(key, range.end);
      EXPECT_EQ(layout.key_of(key), prefix + rest);
    }
    EXPECT_LT(layout.active(), range.first);
    EXPECT_LT(layout.loading(), range.first);
  }
  const Range behind = layout.content_behind("v/", "v/7");
  EXPECT_LT(layout.content("v/7"), behind.first);
  EXPECT_LE(behind.first, layout.content(std::string("v/7\0", 4)));
}

TEST(EtcdLayout, APrefixThatOthersCouldMisreadIsRefused) {
  for (const char* sound : {"cairn", "a", "team-7/cairn"}) EXPECT_TRUE(check_prefix(sound).ok());
  for (const std::string& bad : {std::string(), std::string("a b"), std::string("a/"),
                                 std::string("\xc3\xa4"), std::string(65, 'x')}) {
    EXPECT_EQ(check_prefix(bad).code(), Errc::kInvalidArgument) << bad;
  }
}

TEST(EtcdLayout, WhatIsNoMemberIsRefused) {
  const MemberName member{"1", "10.0.0.1:6700"};
  EXPECT_EQ(*decode_member(encode_member(member)), member);
  for (const char* bad : {"", " ", "1", "1 ", " 10.0.0.1:6700"}) {
    EXPECT_EQ(decode_member(bad).code(), Errc::kCorrupt) << bad;
  }
}

}  // namespace
}  // namespace cairn::etcd
