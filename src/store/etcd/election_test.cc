#include "store/etcd/election.h"

#include "store/etcd/testbed_test.h"

namespace cairn::etcd {
namespace {

using testing::Candidate;
using testing::FakeMember;
using testing::TestBed;

const std::string kActive = "cairn/active";

TEST(EtcdElection, OneIsActiveAndAllKnowWhereItIs) {
  TestBed bed;
  bed.start_all();
  Candidate& active = bed.wait_active();
  bed.world.run_for(2s);
  EXPECT_EQ(bed.active_count(), 1u);
  for (auto& candidate : bed.candidates) {
    EXPECT_EQ(candidate->election().active_address(), active.address());
    EXPECT_EQ(candidate->election().members().size(), 3u);
    EXPECT_TRUE(candidate->election().health().ok());
  }
  const uint64_t term = active.election().term();
  bed.world.run_for(60s);
  EXPECT_EQ(active.election().term(), term) << "a lease that is kept alive ends no term";
  EXPECT_EQ(bed.etcd.leases_count(), 3u);
}

TEST(EtcdElection, AfterADeathAnotherOneIsActiveWithinTheLeaseAndInALaterTerm) {
  TestBed bed;
  bed.start_all();
  Candidate& first = bed.wait_active();
  bed.world.run_for(2s);
  const uint64_t term = first.election().term();
  first.crash();
  const Instant crashed_at = bed.world.now();
  Candidate& second = bed.wait_active(10s, &first);
  EXPECT_LT(bed.world.now() - crashed_at, 4s);
  EXPECT_GT(second.election().term(), term);
  bed.world.run_for(1s);
  EXPECT_EQ(second.election().members().size(), 2u) << "the dead one is not listed any more";
  first.start();
  bed.world.run_for(2s);
  EXPECT_EQ(bed.active_count(), 1u);
  EXPECT_TRUE(second.is_active());
}

TEST(EtcdElection, APausedOneIsRefusedEverywhereWhenItGoesOn) {
  TestBed bed;
  bed.start_all();
  Candidate& paused = bed.wait_active();
  const uint64_t term = paused.election().term();
  auto store = paused.election().store_of(term);
  ASSERT_TRUE(bed.put(paused, *store, "k", "before").ok());
  paused.machine().pause();
  Candidate& active = bed.wait_active(10s, &paused);
  auto later = active.election().store_of(active.election().term());
  ASSERT_TRUE(bed.put(active, *later, "k", "after").ok());
  // The very first thing it does, before any timer of its has fired.
  std::optional<Status> confirmed;
  std::optional<Status> committed;
  kv::WriteBatch batch;
  batch.put("k", "late");
  paused.machine().resume();
  paused.machine().spawn(sim::detail::store_result(paused.election().confirm(term), &confirmed));
  paused.machine().spawn(sim::detail::store_result(store->commit(batch), &committed));
  ASSERT_TRUE(bed.world.run_until([&] { return confirmed && committed; }, 10s));
  EXPECT_EQ(confirmed->code(), Errc::kNotLeader);
  EXPECT_EQ(committed->code(), Errc::kNotLeader);
  EXPECT_NE(committed->error().message().find(active.address()), std::string::npos);
  EXPECT_EQ(bed.etcd.value_of("cairn/meta/k"), "after");
  EXPECT_EQ(bed.world.run(paused.machine(), store->get("k")).code(), Errc::kNotLeader);
  EXPECT_EQ(bed.world.run(paused.machine(), store->scan("k", 1, "")).code(), Errc::kNotLeader);
}

TEST(EtcdElection, OneThatStillThinksItIsActiveIsFencedByTheRevisionAlone) {
  TestBed bed;
  bed.start_all();
  Candidate& first = bed.wait_active();
  const uint64_t term = first.election().term();
  auto store = first.election().store_of(term);
  // As if its clock had stood still: etcd has ended the lease, and it does not know.
  for (auto& one : bed.candidates) one->way().fault = FakeMember::Fault::kDown;
  bed.etcd.end_all_leases();
  for (auto& one : bed.candidates) {
    if (one.get() != &first) one->way().fault = FakeMember::Fault::kNone;
  }
  Candidate& second = bed.wait_active(2s, &first);
  ASSERT_EQ(first.election().term(), term) << "two think that they are active";
  first.way().fault = FakeMember::Fault::kNone;
  EXPECT_EQ(bed.put(first, *store, "k", "1").code(), Errc::kNotLeader);
  auto later = second.election().store_of(second.election().term());
  EXPECT_TRUE(bed.put(second, *later, "k", "2").ok());
  bed.world.run_for(2s);
  EXPECT_EQ(bed.active_count(), 1u);
  EXPECT_TRUE(second.is_active());
}

TEST(EtcdElection, WithoutEtcdTheTermEndsBeforeTheLeaseDoes) {
  TestBed bed;
  bed.start_all();
  Candidate& cut_off = bed.wait_active();
  bed.world.run_for(2s);
  cut_off.way().fault = FakeMember::Fault::kHangs;
  bool were_two = false;
  ASSERT_TRUE(bed.world.run_until(
      [&] {
        were_two |= bed.active_count() > 1;
        return bed.active_count() == 1 && !cut_off.is_active();
      },
      10s));
  EXPECT_FALSE(were_two);
  EXPECT_FALSE(cut_off.election().health().ok());
  cut_off.way().fault = FakeMember::Fault::kNone;
  bed.world.run_for(5s);
  EXPECT_TRUE(cut_off.election().health().ok());
  EXPECT_EQ(bed.active_count(), 1u);
  EXPECT_EQ(bed.etcd.leases_count(), 3u) << "the lease that was given up is revoked";
}

TEST(EtcdElection, AShortOutageOfEtcdEndsNoTerm) {
  TestBed bed;
  bed.start_all();
  Candidate& active = bed.wait_active();
  bed.world.run_for(2s);
  const uint64_t term = active.election().term();
  for (auto& one : bed.candidates) one->way().fault = FakeMember::Fault::kDown;
  bed.world.run_for(1500ms);
  for (auto& one : bed.candidates) one->way().fault = FakeMember::Fault::kNone;
  bed.world.run_for(5s);
  EXPECT_EQ(active.election().term(), term);
}

TEST(EtcdElection, ALongOutageOfEtcdIsFollowedByANewTerm) {
  TestBed bed;
  bed.start_all();
  const uint64_t term = bed.wait_active().election().term();
  for (auto& one : bed.candidates) one->way().fault = FakeMember::Fault::kDown;
  bed.world.run_for(20s);
  EXPECT_EQ(bed.active_count(), 0u);
  for (auto& one : bed.candidates) one->way().fault = FakeMember::Fault::kNone;
  EXPECT_GT(bed.wait_active().election().term(), term);
}

TEST(EtcdElection, WhoResignsLetsAnotherOneBegin) {
  TestBed bed;
  bed.start_all();
  Candidate& first = bed.wait_active();
  bed.world.run_for(2s);
  const Instant resigned_at = bed.world.now();
  bed.world.run(first.machine(), first.election().resign());
  EXPECT_FALSE(first.is_active());
  Candidate& second = bed.wait_active();
  EXPECT_NE(&first, &second);
  EXPECT_LT(bed.world.now() - resigned_at, 500ms);
}

TEST(EtcdElection, OneThatIsAloneComesBackAfterItHasResigned) {
  TestBed bed(1);
  bed.start_all();
  Candidate& alone = bed.wait_active();
  const uint64_t term = alone.election().term();
  bed.world.run(alone.machine(), alone.election().resign());
  EXPECT_GT(bed.wait_active().election().term(), term);
}

TEST(EtcdElection, WhoStopsLeavesNothingBehind) {
  TestBed bed;
  bed.start_all();
  Candidate& first = bed.wait_active();
  bed.world.run_for(2s);
  bed.world.run(first.machine(), first.election().stop());
  EXPECT_EQ(bed.etcd.leases_count(), 2u);
  EXPECT_EQ(bed.etcd.value_of("cairn/member/" + first.election().active_address()), std::nullopt);
  const Instant stopped_at = bed.world.now();
  bed.wait_active(10s, &first);
  EXPECT_LT(bed.world.now() - stopped_at, 500ms);
}

TEST(EtcdElection, ACampaignWhoseAnswerWasLostIsFoundToBeWon) {
  TestBed bed(1);
  Candidate& alone = *bed.candidates.front();
  bed.start_all();
  ASSERT_TRUE(bed.world.run_until([&] { return bed.etcd.leases_count() == 1; }, 5s));
  // From here the enlisting and then the campaign are done without an answer.
  ASSERT_TRUE(bed.world.run_until(
      [&] {
        if (bed.etcd.value_of("cairn/member/1")) {
          alone.way().fault = FakeMember::Fault::kLosesReply;
        }
        return bed.etcd.value_of(kActive).has_value();
      },
      10s));
  EXPECT_FALSE(alone.is_active());
  alone.way().fault = FakeMember::Fault::kNone;
  bed.wait_active();
}

TEST(EtcdElection, ALeaseThatEtcdHasEndedEndsTheTermAtTheNextRenewal) {
  TestBed bed;
  bed.start_all();
  Candidate& first = bed.wait_active();
  const uint64_t term = first.election().term();
  bed.world.run_for(2s);
  bed.etcd.end_all_leases();
  ASSERT_TRUE(bed.world.run_until([&] { return first.election().term() != term; }, 1s));
  bed.wait_active();
}

TEST(EtcdElection, AnEtcdWithSmallLimitsIsRefusedWithTheFlagsThatItNeeds) {
  for (const bool is_few : {true, false}) {
    TestBed bed(1);
    if (is_few) {
      bed.etcd.operations_max = 128;
    } else {
      bed.etcd.bytes_max = size_t{3} << 19;
    }
    bed.start_all();
    Candidate& refused = *bed.candidates.front();
    ASSERT_TRUE(bed.world.run_until([&] { return refused.started().has_value(); }, 60s));
    EXPECT_EQ(refused.started()->code(), Errc::kInvalidArgument);
    const std::string& message = refused.started()->error().message();
    EXPECT_NE(message.find("--max-txn-ops=140000"), std::string::npos) << message;
    EXPECT_NE(message.find("--max-request-bytes=33554432"), std::string::npos) << message;
  }
}

TEST(EtcdElection, TheLargestBatchThereIsFitsIntoWhatTheLimitsCheckAsksFor) {
  TestBed bed(1);
  bed.start_all();
  Candidate& active = bed.wait_active();
  auto store = active.election().store_of(active.election().term());
  kv::WriteBatch batch;
  for (size_t i = 0; i < 15; ++i) {
    batch.put("v" + std::to_string(i), std::string(kv::kValueBytesMax, 'v'));
  }
  for (size_t i = batch.puts.size(); i < kv::kBatchOperationsMax; ++i) {
    batch.require_absent(std::to_string(i));
  }
  const Status committed = bed.world.run(active.machine(), store->commit(batch));
  EXPECT_TRUE(committed.ok()) << committed.error().describe();
}

TEST(EtcdElection, AStartWaitsForEtcdAndGivesUpWithItsError) {
  TestBed bed(2);
  bed.start_all();
  for (auto& one : bed.candidates) one->way().fault = FakeMember::Fault::kDown;
  bed.world.run_for(10s);
  for (auto& one : bed.candidates) EXPECT_FALSE(one->started().has_value());
  bed.candidates[0]->way().fault = FakeMember::Fault::kNone;
  bed.wait_active();
  ASSERT_TRUE(bed.world.run_until([&] { return bed.candidates[1]->started().has_value(); }, 60s));
  EXPECT_EQ(bed.candidates[1]->started()->code(), Errc::kUnavailable);
}

TEST(EtcdFailover, ReadsAndLeasesGoOnWithAnotherMemberAndWritesAreTriedOnce) {
  TestBed bed(1);
  bed.start_all(3);
  Candidate& active = bed.wait_active();
  const uint64_t term = active.election().term();
  for (const auto fault : {FakeMember::Fault::kDown, FakeMember::Fault::kHangs}) {
    active.way(0).fault = fault;
    bed.world.run_for(10s);
    EXPECT_EQ(active.election().term(), term);
    active.way(0).fault = FakeMember::Fault::kNone;
    active.way(1).fault = fault;
    bed.world.run_for(10s);
    EXPECT_EQ(active.election().term(), term);
    active.way(1).fault = FakeMember::Fault::kNone;
  }
  auto store = active.election().store_of(term);
  bed.world.run_for(1s);
  for (size_t i = 0; i < 3; ++i) active.way(i).fault = FakeMember::Fault::kDown;
  const uint64_t before =
      active.way(0).calls_count + active.way(1).calls_count + active.way(2).calls_count;
  EXPECT_EQ(bed.put(active, *store, "k", "1").code(), Errc::kUnavailable);
  const uint64_t after =
      active.way(0).calls_count + active.way(1).calls_count + active.way(2).calls_count;
  // Looks and renewals may fall into the time.
  EXPECT_LE(after - before, 7u);
  active.way(2).fault = FakeMember::Fault::kNone;
  bed.world.run_for(1s);
  EXPECT_TRUE(active.election().health().ok());
  EXPECT_TRUE(bed.put(active, *store, "k", "2").ok());
}

TEST(EtcdElection, UnderRandomFaultsNoTwoConfirmATermAtOnceAndNothingLateIsWritten) {
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    TestBed bed(3, seed);
    bed.start_all(2);
    Rng rng(seed);
    uint64_t highest_written = 0;
    for (int step = 0; step < 150; ++step) {
      Candidate& one = *bed.candidates[rng.below(3)];
      if (one.machine().is_running() && !one.machine().is_paused()) {
        one.way(rng.below(2)).fault = static_cast<FakeMember::Fault>(rng.below(4));
      }
      if (rng.below(15) == 0) {
        if (one.machine().is_running()) {
          one.crash();
        } else {
          one.start(2);
        }
      }
      if (rng.below(10) == 0 && one.machine().is_running()) {
        if (one.machine().is_paused()) {
          one.machine().resume();
        } else {
          one.machine().pause();
        }
      }
      bed.world.run_for(std::chrono::milliseconds(rng.below(1000)));
      // Asked at one moment: no time passes in between.
      std::vector<Candidate*> confirmed;
      for (auto& candidate : bed.candidates) {
        if (!candidate->is_active() || candidate->machine().is_paused()) continue;
        EtcdElection& election = candidate->election();
        const Status status =
            bed.world.run(candidate->machine(), election.confirm(election.term()));
        if (status.ok()) confirmed.push_back(candidate.get());
      }
      ASSERT_LE(confirmed.size(), 1u) << "seed " << seed << ", step " << step;
      // All that think they are active write, confirmed or not.
      for (auto& candidate : bed.candidates) {
        if (!candidate->is_active() || candidate->machine().is_paused()) continue;
        const uint64_t term = candidate->election().term();
        auto store = candidate->election().store_of(term);
        const Status written = bed.put(*candidate, *store, "term", std::to_string(term));
        if (!written.ok()) continue;
        ASSERT_GE(term, highest_written) << "seed " << seed << ", step " << step;
        highest_written = term;
      }
    }
    EXPECT_GT(highest_written, 0u) << "seed " << seed;
  }
}

}  // namespace
}  // namespace cairn::etcd
