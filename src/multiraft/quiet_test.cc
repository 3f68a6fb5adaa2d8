// Groups that nobody uses: silent, and as safe and as soon bereaved as any other.
#include "multiraft/host.h"
#include "multiraft/testbed_test.h"

namespace cairn::multiraft {
namespace {

using namespace testing;

constexpr Duration kElection = 800ms;
constexpr Duration kHeartbeat = 200ms;
constexpr Duration kTick = 100ms;

int64_t ticking(Member& m) {
  return m.machine().env().metrics.gauge("cairn_raft_groups_ticking", "").value();
}
uint64_t sent_bytes(Member& m) {
  return m.machine().env().metrics.counter("cairn_rpc_client_sent_bytes_total", "").value();
}
bool all_quiet(TestBed& bed) {
  for (auto& m : bed.members) {
    if (m->is_up() && ticking(*m) > 0) return false;
  }
  return true;
}
void wait_quiet(TestBed& bed) {
  ASSERT_TRUE(bed.world.run_until([&] { return all_quiet(bed); }, 10s)) << "a group stays awake";
}
Duration time_to(TestBed& bed, const std::function<bool()>& what, Duration limit) {
  const Instant begun = bed.world.now();
  EXPECT_TRUE(bed.world.run_until(what, limit));
  return bed.world.now() - begun;
}

TEST(Quiet, GroupsThatNobodyUsesCountNoTicksAndSendNothing) {
  TestBed bed;
  constexpr uint64_t kGroups = 50;
  for (uint64_t i = 1; i <= kGroups; ++i) bed.create(GroupId(i));
  for (uint64_t i = 1; i <= kGroups; ++i) bed.wait_leader(30s, GroupId(i));
  bed.world.run_for(2s);
  wait_quiet(bed);
  std::map<GroupId, Term> terms;
  for (uint64_t i = 1; i <= kGroups; ++i) {
    terms[GroupId(i)] = bed.member(1).node(GroupId(i))->term();
  }
  std::vector<uint64_t> before;
  for (auto& m : bed.members) before.push_back(sent_bytes(*m));
  bed.world.run_for(60s);
  EXPECT_TRUE(all_quiet(bed));
  for (size_t i = 0; i < bed.members.size(); ++i) {
    EXPECT_LT(sent_bytes(*bed.members[i]) - before[i], 60u * 2500) << "beats, whatever the groups";
  }
  for (auto& [group, term] : terms) EXPECT_EQ(bed.member(1).node(group)->term(), term);
}

TEST(Quiet, ALeaderAtRestReadsByTheLeaseThatBeatsProve) {
  TestBed bed;
  bed.create();
  Member& leader = bed.wait_leader();
  bed.world.run_for(30s);
  ASSERT_TRUE(all_quiet(bed));
  const Instant begun = bed.world.now();
  EXPECT_TRUE(bed.world.run(leader.machine(), leader.node()->read_barrier()).ok());
  EXPECT_EQ(bed.world.now(), begun) << "no round of heartbeats is needed";
  EXPECT_TRUE(all_quiet(bed));
}

TEST(Quiet, ACommandWakesTheGroupAndItGoesQuietAgain) {
  TestBed bed;
  bed.create();
  Member& leader = bed.wait_leader();
  bed.world.run_for(5s);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(bed.apply(leader, "v" + std::to_string(i)).ok());
    bed.world.run_for(2s);
    EXPECT_TRUE(all_quiet(bed));
    for (auto& m : bed.members) {
      EXPECT_EQ(m->ledger().values.size(), static_cast<size_t>(i + 1))
          << "it went quiet before all members knew what is committed";
    }
  }
  EXPECT_EQ(&bed.wait_leader(), &leader);
}

TEST(Quiet, ADeadLeaderIsReplacedWithinTwoElectionTimeouts) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE(seed);
    TestBed bed({.seed = seed});
    bed.create();
    Member& leader = bed.wait_leader();
    bed.world.run_for(3s + Duration(bed.world.rng().below(1'000'000'000)));
    ASSERT_TRUE(all_quiet(bed));
    const Term term = leader.node()->term();
    leader.crash(sim::CrashKind::kPowerLoss);
    const auto noticed = [&] {
      for (auto& m : bed.members) {
        if (m->is_up() && m->node()->leader() != leader.self()) return true;
      }
      return false;
    };
    const Duration to_notice = time_to(bed, noticed, 5s);
    EXPECT_LE(to_notice, kElection + kHeartbeat + 2 * kTick);
    const Duration to_lead = time_to(bed, [&] { return bed.leader() != nullptr; }, 5s);
    EXPECT_LE(to_notice + to_lead, 2 * kElection);
    EXPECT_GT(bed.leader()->node()->term(), term);
  }
}

TEST(Quiet, ManyGroupsOfADeadLeaderSpreadOverThoseLeft) {
  TestBed bed;
  constexpr uint64_t kGroups = 40;
  for (uint64_t i = 1; i <= kGroups; ++i) bed.create(GroupId(i));
  for (uint64_t i = 1; i <= kGroups; ++i) bed.wait_leader(30s, GroupId(i));
  bed.world.run_for(3s);
  Member& victim = bed.wait_leader(1s, GroupId(1));
  std::vector<GroupId> orphans;
  for (uint64_t i = 1; i <= kGroups; ++i) {
    if (bed.leader(GroupId(i)) == &victim) orphans.emplace_back(i);
  }
  victim.crash(sim::CrashKind::kKill);
  const auto all_led = [&] {
    return std::ranges::all_of(orphans, [&](GroupId g) { return bed.leader(g) != nullptr; });
  };
  EXPECT_LE(time_to(bed, all_led, 10s), 2 * kElection);
  std::map<Member*, size_t> led;
  for (GroupId g : orphans) ++led[bed.leader(g)];
  EXPECT_EQ(led.size(), orphans.size() > 3 ? 2u : led.size());
}

TEST(Quiet, ALeaderThatIsCutOffServesNoReadAfterItsLease) {
  TestBed bed;
  bed.create();
  Member& old = bed.wait_leader();
  bed.world.run_for(5s);
  bed.cut_off(old);
  bed.world.run_for(kElection);
  std::optional<Status> read;
  old.machine().spawn(TestBed::store(old.node()->read_barrier(), &read));
  Member& fresh = bed.wait_leader(10s, kGroup, &old);
  ASSERT_TRUE(bed.apply(fresh, "news").ok());
  bed.world.run_for(5s);
  ASSERT_TRUE(read.has_value()) << "it has stepped down and told its reader";
  EXPECT_FALSE(read->ok());
  EXPECT_FALSE(old.node()->is_leader()) << "its quorum is gone";
  bed.world.fabric().heal_all();
  ASSERT_TRUE(bed.converges(20s));
}

TEST(Quiet, APausedLeaderWakesUpAsOneThatMayNotRead) {
  TestBed bed;
  bed.create();
  Member& old = bed.wait_leader();
  bed.world.run_for(5s);
  old.machine().pause();
  Member& fresh = bed.wait_leader(10s, kGroup, &old);
  ASSERT_TRUE(bed.apply(fresh, "news").ok());
  old.machine().resume();
  std::optional<Status> read;
  old.machine().spawn(TestBed::store(old.node()->read_barrier(), &read));
  bed.world.run_for(1ms);
  EXPECT_FALSE(read.has_value() && read->ok() && old.ledger().values.empty()) << "a stale read";
  ASSERT_TRUE(bed.converges(20s));
  EXPECT_EQ(old.ledger().values, std::vector<std::string>{"news"});
}

TEST(Quiet, AFollowerThatWasDownIsCaughtUpThoughNobodyWrites) {
  TestBed bed;
  bed.create();
  Member& leader = bed.wait_leader();
  Member& follower = bed.follower_of(leader);
  bed.world.run_for(3s);
  follower.crash(sim::CrashKind::kKill);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(bed.apply(leader, std::to_string(i)).ok());
  bed.world.run_for(5s);
  EXPECT_TRUE(all_quiet(bed)) << "one that is down keeps nobody awake";
  const Term term = leader.node()->term();
  follower.start();
  ASSERT_TRUE(bed.converges(10s));
  bed.world.run_for(3s);
  EXPECT_TRUE(all_quiet(bed));
  EXPECT_EQ(leader.node()->term(), term) << "its return disturbs nobody";
  EXPECT_EQ(follower.ledger().values.size(), 10u);
}

TEST(Quiet, AFollowerThatIsCutOffWhileTheGroupGoesQuietIsCaughtUp) {
  TestBed bed;
  bed.create();
  Member& leader = bed.wait_leader();
  Member& follower = bed.follower_of(leader);
  bed.world.run_for(3s);
  bed.cut_off(follower);
  ASSERT_TRUE(bed.apply(leader, "unseen").ok());
  bed.world.run_for(20s);
  bed.world.fabric().heal_all();
  ASSERT_TRUE(bed.converges(20s));
  EXPECT_EQ(follower.ledger().values, std::vector<std::string>{"unseen"});
}

/// Of the links between the leader and the others those of one direction fail: another leads, and
/// all agree once they are back.
void expect_replaced(bool leader_is_deaf) {
  TestBed bed;
  bed.create();
  Member& old = bed.wait_leader();
  bed.world.run_for(5s);
  for (auto& m : bed.members) {
    if (m.get() == &old) continue;
    auto& from = leader_is_deaf ? m->machine() : old.machine();
    auto& to = leader_is_deaf ? old.machine() : m->machine();
    bed.world.fabric().cut(from, to);
  }
  Member& fresh = bed.wait_leader(20s, kGroup, &old);
  EXPECT_TRUE(bed.apply(fresh, "on").ok());
  bed.world.fabric().heal_all();
  EXPECT_TRUE(bed.converges(20s));
}

TEST(Quiet, ALeaderThatIsHeardAndDoesNotHearGivesUp) {
  expect_replaced(true);
}

TEST(Quiet, ALeaderThatHearsAndIsNotHeardIsReplaced) {
  expect_replaced(false);
}

TEST(Quiet, AFollowerThatAloneDoesNotHearTheLeaderDeposesNobody) {
  TestBed bed;
  bed.create();
  Member& leader = bed.wait_leader();
  Member& follower = bed.follower_of(leader);
  bed.world.run_for(5s);
  const Term term = leader.node()->term();
  bed.world.fabric().cut(leader.machine(), follower.machine());
  bed.world.run_for(20s);
  EXPECT_TRUE(leader.node()->is_ready_leader());
  EXPECT_EQ(leader.node()->term(), term);
  EXPECT_TRUE(bed.world.run(leader.machine(), leader.node()->read_barrier()).ok());
  bed.world.fabric().heal_all();
  bed.world.run_for(5s);
  EXPECT_TRUE(all_quiet(bed));
  EXPECT_EQ(leader.node()->term(), term);
}

TEST(Quiet, AGroupThatFailsAloneOnItsLeaderIsLedByAnother) {
  // The host lives and beats on; its followers must not wait for it in the group that it lost.
  TestBed bed;
  const GroupId other(8);
  bed.create();
  bed.create(other);
  Member& leader = bed.wait_leader();
  Member& others_leader = bed.wait_leader(30s, other);
  bed.world.run_for(5s);
  const Term others_term = others_leader.node(other)->term();
  leader.knobs.fail_apply = error(Errc::kCorrupt, "as asked");
  ASSERT_FALSE(bed.apply(leader, "poison").ok());
  leader.knobs.fail_apply.reset();
  const auto replaced = [&] { return bed.leader() && bed.leader() != &leader; };
  EXPECT_LE(time_to(bed, replaced, 20s), 4 * kElection);
  bed.world.run_for(5s);
  EXPECT_EQ(bed.leader(other), &others_leader) << "the other group goes on";
  EXPECT_EQ(others_leader.node(other)->term(), others_term);
  EXPECT_TRUE(
      bed.world.run(others_leader.machine(), others_leader.node(other)->read_barrier()).ok());
}

TEST(Quiet, ALeaderThatRestartsAtOnceIsReplacedAtOnce) {
  TestBed bed;
  bed.create();
  Member& leader = bed.wait_leader();
  bed.world.run_for(5s);
  leader.crash(sim::CrashKind::kKill);
  leader.start();
  EXPECT_LE(time_to(bed, [&] { return bed.leader() != nullptr; }, 10s), 2 * kElection);
}

TEST(Quiet, AGroupOfFiveIsQuietWithTwoDownAndWithoutAQuorumItIsNotLed) {
  TestBed bed({.members_count = 5, .members_started = 5});
  bed.create();
  Member& leader = bed.wait_leader();
  bed.world.run_for(3s);
  std::vector<Member*> down;
  for (auto& m : bed.members) {
    if (m.get() != &leader && down.size() < 3) down.push_back(m.get());
  }
  down[0]->crash(sim::CrashKind::kKill);
  down[1]->crash(sim::CrashKind::kKill);
  bed.world.run_for(5s);
  EXPECT_TRUE(all_quiet(bed));
  EXPECT_TRUE(bed.world.run(leader.machine(), leader.node()->read_barrier()).ok());
  down[2]->crash(sim::CrashKind::kKill);
  bed.world.run_for(5s);
  EXPECT_FALSE(leader.node()->is_leader()) << "three of five are gone";
  down[0]->start();
  bed.wait_leader(20s);
}

}  // namespace
}  // namespace cairn::multiraft
