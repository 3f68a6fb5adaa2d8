#include "kv/replicated_store.h"

#include "kv/testbed_test.h"
#include "store/kv/dump.h"

namespace cairn::kv {
namespace {

using testing::Member;
using testing::TestBed;

std::optional<std::string> held(Member& member, const std::string& key) {
  const auto found = member.local.content().find(key);
  return found == member.local.content().end() ? std::nullopt : std::optional(found->second);
}

TEST(ReplicatedStore, EveryMemberComesToHoldWhatTheLeaderTook) {
  TestBed bed;
  Member& leader = bed.wait_leader();
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(bed.put(leader, "k" + std::to_string(i), "v").ok());
  WriteBatch refused;
  refused.put("never", "1");
  refused.require_absent("k3");
  EXPECT_EQ(bed.commit(leader, refused).code(), Errc::kPreconditionFailed);
  ASSERT_TRUE(bed.converges());
  for (auto& member : bed.members) EXPECT_EQ(member->local.content().size(), 20u);
}

TEST(ReplicatedStore, AFollowerServesNobodyAndNamesTheActiveOne) {
  TestBed bed;
  Member& leader = bed.wait_leader();
  Member& follower = bed.follower();
  ASSERT_TRUE(bed.world.run_until([&] { return !follower.store().active_address().empty(); }, 10s));
  const Status status = bed.put(follower, "a", "1");
  EXPECT_EQ(status.code(), Errc::kNotLeader);
  EXPECT_NE(status.error().message().find(leader.machine().address(testing::kPort).text),
            std::string::npos)
      << status.error().message();
  EXPECT_EQ(bed.world.run(follower.machine(), follower.store().get("a")).code(), Errc::kNotLeader);
  EXPECT_EQ(bed.world.run(follower.machine(), follower.store().scan("a", 1, "")).code(),
            Errc::kNotLeader);
}

TEST(ReplicatedStore, MembersTellWhoIsActiveAndWhoIsSilent) {
  TestBed bed;
  Member& leader = bed.wait_leader();
  Member& follower = bed.follower();
  const auto reach_of = [&](NodeId id) {
    for (const auto& member : leader.store().members()) {
      if (member.name == to_string(id)) return member.reach;
    }
    return Election::Reach::kUnknown;
  };
  const auto members = leader.store().members();
  ASSERT_EQ(members.size(), 3u);
  EXPECT_EQ(std::ranges::count_if(members, [](const auto& m) { return m.is_active; }), 1);
  ASSERT_TRUE(bed.world.run_until(
      [&] { return reach_of(follower.id()) == Election::Reach::kReachable; }, 10s));
  follower.crash(sim::CrashKind::kPowerLoss);
  EXPECT_TRUE(bed.world.run_until(
      [&] { return reach_of(follower.id()) == Election::Reach::kSilent; }, 10s));
}

TEST(ReplicatedStore, AFormerLeaderIsFencedAndItsStoreStaysSo) {
  TestBed bed;
  Member& first = bed.wait_leader();
  const uint64_t term = first.store().term();
  const auto old_store = first.store().store_of(term);
  ASSERT_TRUE(bed.put(first, "owner", "first").ok());
  bed.cut_off(first);
  Member& second = bed.wait_leader(30s, &first);
  EXPECT_GT(second.store().term(), term);
  ASSERT_TRUE(bed.put(second, "owner", "second").ok());

  WriteBatch batch;
  batch.put("owner", "first again");
  EXPECT_FALSE(bed.world.run(first.machine(), old_store->commit(batch)).ok());
  EXPECT_FALSE(bed.world.run(first.machine(), old_store->get("owner")).ok());
  bed.world.fabric().heal_all();
  ASSERT_TRUE(bed.converges());
  // It leads again, in another term: what was decided in the old one must not be written.
  for (int i = 0; i < 20 && bed.leader() != &first; ++i) {
    bed.world.run(bed.leader()->machine(), bed.leader()->store().resign());
    bed.world.run_for(3s);
    bed.wait_leader();
  }
  ASSERT_EQ(bed.leader(), &first);
  EXPECT_EQ(bed.world.run(first.machine(), old_store->commit(batch)).code(), Errc::kNotLeader);
  EXPECT_EQ(bed.world.run(first.machine(), first.store().confirm(term)).code(), Errc::kNotLeader);
  EXPECT_EQ(held(second, "owner"), "second");
}

TEST(ReplicatedStore, APausedLeaderDoesNotAnswerFromThePast) {
  TestBed bed;
  Member& first = bed.wait_leader();
  const uint64_t term = first.store().term();
  first.machine().pause();
  bed.wait_leader(30s, &first);
  std::optional<Status> confirmed;
  first.machine().resume();
  first.machine().spawn(sim::detail::store_result(first.store().confirm(term), &confirmed));
  ASSERT_TRUE(bed.world.run_until([&] { return confirmed.has_value(); }, 30s));
  EXPECT_FALSE(confirmed->ok());
}

TEST(ReplicatedStore, ResigningHandsOverAtOnce) {
  TestBed bed;
  Member& first = bed.wait_leader();
  const Instant before = bed.world.now();
  bed.world.run(first.machine(), first.store().resign());
  bed.wait_leader(5s, &first);
  EXPECT_LT(bed.world.now() - before, 1s);
}

TEST(ReplicatedStore, AMemberThatWasAwayForLongGetsADump) {
  testing::BedOptions options;
  options.raft.snapshot_log_entries = 50;
  options.raft.retained_log_entries = 10;
  options.raft.snapshot_check_interval = 100ms;
  TestBed bed(options);
  Member& leader = bed.wait_leader();
  Member& away = bed.follower();
  ASSERT_TRUE(bed.put(leader, "deleted meanwhile", "x").ok());
  ASSERT_TRUE(bed.converges());
  away.crash(sim::CrashKind::kPowerLoss);
  WriteBatch removal;
  removal.remove("deleted meanwhile");
  ASSERT_TRUE(bed.commit(leader, removal).ok());
  for (int i = 0; i < 300; ++i) {
    ASSERT_TRUE(bed.put(leader, "k" + std::to_string(i), std::string(1000, 'v')).ok());
    bed.world.run_for(10ms);
  }
  ASSERT_GT(leader.store().node()->status().first,
            away.options().is_new ? LogIndex(0) : LogIndex(50));
  away.start();
  ASSERT_TRUE(bed.converges());
  EXPECT_EQ(held(away, "deleted meanwhile"), std::nullopt);
  EXPECT_EQ(away.local.content().size(), 300u);
}

TEST(ReplicatedStore, ReplayAfterAPowerLossAppliesNothingTwice) {
  TestBed bed({.members_count = 1});
  Member& only = bed.wait_leader();
  // Each increments what it finds: applied twice it would fail or count too far.
  const auto value = [](int i) { return std::to_string(i); };
  ASSERT_TRUE(bed.put(only, "n", "0").ok());
  for (int i = 1; i <= 60; ++i) {
    WriteBatch step;
    step.require("n", value(i - 1));
    step.put("n", value(i));
    ASSERT_TRUE(bed.commit(bed.wait_leader(), step).ok());
    WriteBatch back;  // would hold on a later content
    back.require("n", value(i + 1));
    back.put("n", "wrong");
    ASSERT_EQ(bed.commit(bed.wait_leader(), back).code(), Errc::kPreconditionFailed);
    if (i % 10 == 0) {
      bed.restart(only, sim::CrashKind::kPowerLoss);
      bed.wait_leader();
      ASSERT_EQ(held(only, "n"), value(i));
    }
  }
}

TEST(ReplicatedStore, AMemberWithoutItsLogDoesNotStart) {
  TestBed bed;
  Member& leader = bed.wait_leader();
  ASSERT_TRUE(bed.put(leader, "a", "1").ok());
  ASSERT_TRUE(bed.converges());
  Member& follower = bed.follower();
  follower.crash(sim::CrashKind::kKill);
  follower.options().wal.directory = "elsewhere";
  follower.start();
  ASSERT_TRUE(bed.world.run_until([&] { return follower.started().has_value(); }, 10s));
  EXPECT_EQ(follower.started()->code(), Errc::kNotFound);
  // Neither does one that has lost everything, unless it is told that the group is new.
  follower.crash(sim::CrashKind::kKill);
  ASSERT_TRUE(bed.world.run(leader.machine(), follower.local.replace({})).ok());
  follower.options().wal.directory = "elsewhere still";
  follower.start();
  ASSERT_TRUE(bed.world.run_until([&] { return follower.started().has_value(); }, 10s));
  EXPECT_EQ(follower.started()->code(), Errc::kNotFound);
  EXPECT_NE(follower.started()->error().message().find("--init"), std::string::npos);
}

TEST(ReplicatedStore, AStoreThatIsOlderThanItsLogIsFoundOut) {
  testing::BedOptions options{.members_count = 1};
  options.raft.snapshot_log_entries = 20;
  options.raft.retained_log_entries = 5;
  options.raft.snapshot_check_interval = 100ms;
  TestBed bed(options);
  Member& only = bed.wait_leader();
  ASSERT_TRUE(bed.put(only, "a", "1").ok());
  Content old{.mark = *only.local.mark(), .pairs = {{"a", "1"}}};
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(bed.put(only, "k", std::to_string(i)).ok());
    bed.world.run_for(10ms);
  }
  only.crash(sim::CrashKind::kKill);
  only.machine().boot();
  ASSERT_TRUE(bed.world.run(only.machine(), only.local.replace(old)).ok());
  only.start();
  ASSERT_TRUE(bed.world.run_until([&] { return only.started().has_value(); }, 10s));
  EXPECT_EQ(only.started()->code(), Errc::kCorrupt);
}

TEST(ReplicatedStore, MembersThatMakeNoGroupAreRefused) {
  TestBed bed({.members_count = 1});
  Member& only = *bed.members.front();
  for (const size_t count : {size_t{2}, size_t{9}}) {
    only.crash(sim::CrashKind::kKill);
    while (only.options().members.size() < count) {
      only.options().members.emplace(NodeId(only.options().members.size() + 1), io::Address{"x:1"});
    }
    only.start();
    ASSERT_TRUE(bed.world.run_until([&] { return only.started().has_value(); }, 10s));
    EXPECT_EQ(only.started()->code(), Errc::kInvalidArgument) << count;
  }
}

}  // namespace
}  // namespace cairn::kv
