// Snapshots that are too large for the log: kept in files and fetched in pieces.
#include <algorithm>

#include "multiraft/testbed_test.h"

namespace cairn::multiraft {
namespace {

using namespace testing;

class SnapshotTransfer : public ::testing::Test {
 protected:
  static BedOptions few_pieces() {
    BedOptions options;
    options.raft.snapshot_log_entries = 50;
    options.raft.retained_log_entries = 10;
    options.raft.snapshot_check_interval = 100ms;
    options.raft.snapshot_inline_bytes_max = 64;
    options.raft.snapshot_piece_bytes = 256;
    return options;
  }
  void begin(BedOptions options = few_pieces()) {
    bed_ = std::make_unique<TestBed>(options);
    bed_->create();
    leader_ = &bed_->wait_leader();
  }
  void write(size_t count) {
    for (size_t i = 0; i < count; ++i) {
      ASSERT_TRUE(bed_->apply(*leader_, "value-" + std::to_string(written_++)).ok());
    }
  }
  /// One member lacks what the others' logs do not hold any more.
  Member& leave_one_behind(size_t count = 150) {
    Member& behind = bed_->follower_of(*leader_);
    behind.crash(sim::CrashKind::kKill);
    write(count);
    bed_->world.run_for(1s);
    for (auto& m : bed_->members) m->offsets_asked.clear();
    return behind;
  }
  void start(Member& m) {
    m.start();
    ASSERT_TRUE(bed_->world.run_until([&] { return bed_->all_open(); }, 20s));
  }
  bool same_everywhere() {
    return bed_->converges() && std::ranges::all_of(bed_->members, [&](const auto& m) {
             return m->ledger().values == bed_->leader()->ledger().values;
           });
  }
  std::vector<std::string> files(Member& m) {
    auto names = bed_->world.run(m.machine(), m.machine().disk().list("snapshots"));
    return names ? *names : std::vector<std::string>();
  }

  std::unique_ptr<TestBed> bed_;
  Member* leader_ = nullptr;
  size_t written_ = 0;
};

TEST_F(SnapshotTransfer, AMemberThatLagsFetchesTheFileInPieces) {
  begin();
  Member& behind = leave_one_behind();
  EXPECT_EQ(files(*leader_).size(), 1u) << "older ones are deleted";
  start(behind);
  ASSERT_TRUE(same_everywhere());
  EXPECT_EQ(behind.ledger().loads, 1u);
  EXPECT_GE(leader_->offsets_asked.size(), 4u);
  EXPECT_TRUE(std::ranges::is_sorted(leader_->offsets_asked)) << "no piece comes twice";
}

TEST_F(SnapshotTransfer, AStateInAFileIsRecoveredAfterARestart) {
  begin();
  write(150);
  bed_->world.run_for(1s);
  const auto expected = leader_->ledger().values;
  for (auto& m : bed_->members) m->crash(sim::CrashKind::kPowerLoss);
  for (auto& m : bed_->members) m->start();
  leader_ = &bed_->wait_leader();
  ASSERT_TRUE(same_everywhere());
  EXPECT_EQ(leader_->ledger().values, expected);
  for (auto& m : bed_->members) EXPECT_LE(files(*m).size(), 1u);
}

// What was read in vain once may be read the next time; a replica that is whole is not to be thrown
// away for it. (Raft profile of the simulator, seed 28143.)
TEST_F(SnapshotTransfer, AFileThatIsReadAtTheSecondTryTakesNoGroupOutOfService) {
  begin();
  write(150);
  bed_->world.run_for(1s);
  Member& member = bed_->follower_of(*leader_);
  sim::SimDisk& disk = member.machine().disk();
  const auto restart = [&](auto prepare) {
    member.crash(sim::CrashKind::kKill);
    member.machine().boot();
    const uint64_t before = disk.counters().reads;
    prepare();
    start(member);
    return disk.counters().reads - before;
  };
  const uint64_t reads_count = restart([] {});
  (void)restart([&] { disk.fail_operation(sim::DiskOperation::kRead, reads_count); });
  EXPECT_EQ(disk.counters().errors_injected, 1u);
  EXPECT_TRUE(member.raft().out_of_service().empty())
      << member.raft().out_of_service().begin()->second;
  ASSERT_TRUE(same_everywhere());
}

TEST_F(SnapshotTransfer, AFileThatStaysUnreadableTakesItsGroupAloneOutOfService) {
  begin();
  write(150);
  bed_->world.run_for(1s);
  Member& member = bed_->follower_of(*leader_);
  bed_->world.run_for(1s);
  const auto names = files(member);
  ASSERT_EQ(names.size(), 1u);
  member.crash(sim::CrashKind::kPowerLoss);
  ASSERT_TRUE(member.machine().disk().corrupt("snapshots/" + names[0], 5, 3).ok());
  start(member);
  ASSERT_EQ(member.raft().out_of_service().size(), 1u);
  EXPECT_NE(member.raft().out_of_service().begin()->second.find("damaged"), std::string::npos);
}

// (Raft profile of the simulator, seed 739.)
TEST_F(SnapshotTransfer, NoSecondSaveBeginsWhileTheFileOfTheFirstIsWritten) {
  begin();
  write(20);
  Member& member = *leader_;
  member.machine().disk().set_slowness(100);
  std::optional<Status> first, second;
  const auto has_begun = [&, before = member.ledger().saves] {
    return member.ledger().saves > before;
  };
  member.machine().spawn(TestBed::store(member.node()->snapshot(), &first));
  ASSERT_TRUE(bed_->world.run_until(has_begun, 10s));
  ASSERT_FALSE(first.has_value());
  member.machine().spawn(TestBed::store(member.node()->snapshot(), &second));
  ASSERT_TRUE(bed_->world.run_until([&] { return first.has_value() && second.has_value(); }, 10s));
  member.machine().disk().set_slowness(1);
  EXPECT_TRUE(first->ok());
  EXPECT_EQ(second->code(), Errc::kUnavailable);
  EXPECT_EQ(member.node()->status().error, "");
  write(5);
  ASSERT_TRUE(same_everywhere());
}

TEST_F(SnapshotTransfer, ATransferThatIsBrokenOffGoesOnWhereItStood) {
  begin();
  Member& behind = leave_one_behind();
  for (auto& m : bed_->members) m->fail_pieces_from = 512;
  start(behind);
  ASSERT_TRUE(bed_->world.run_until([&] { return leader_->offsets_asked.size() >= 10; }, 60s));
  EXPECT_TRUE(behind.ledger().values.empty() || behind.ledger().loads == 0);
  EXPECT_TRUE(behind.node()->status().error.empty());
  bed_->world.fabric().cut_both(leader_->machine(), behind.machine());
  bed_->world.run_for(5s);
  bed_->world.fabric().heal_all();
  for (auto& m : bed_->members) m->fail_pieces_from.reset();
  ASSERT_TRUE(same_everywhere());
  for (auto& m : bed_->members) {
    EXPECT_LE(std::ranges::count(m->offsets_asked, 0u), 1) << "what had come was not asked again";
  }
}

TEST_F(SnapshotTransfer, AHalfReceivedSnapshotLeavesNoTraceAfterACrash) {
  begin();
  Member& behind = leave_one_behind();
  for (auto& m : bed_->members) m->fail_pieces_from = 512;
  start(behind);
  const size_t had = behind.ledger().values.size();
  ASSERT_TRUE(bed_->world.run_until([&] { return leader_->offsets_asked.size() >= 5; }, 60s));
  EXPECT_EQ(behind.ledger().loads, 0u);
  EXPECT_EQ(behind.ledger().values.size(), had) << "it goes on with what it has";
  const auto is_part = [](const std::string& name) { return name.ends_with(".part"); };
  EXPECT_TRUE(std::ranges::any_of(files(behind), is_part));
  behind.crash(sim::CrashKind::kPowerLoss);
  start(behind);
  for (auto& m : bed_->members) m->fail_pieces_from.reset();
  ASSERT_TRUE(same_everywhere());
  bed_->world.run_for(5s);
  EXPECT_FALSE(std::ranges::any_of(files(behind), is_part));
  EXPECT_LE(files(behind).size(), 1u);
}

TEST_F(SnapshotTransfer, ACrashAtAnyMomentOfATransferIsHarmless) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    BedOptions options = few_pieces();
    options.seed = seed;
    written_ = 0;
    begin(options);
    Member& behind = leave_one_behind();
    behind.start();
    for (int i = 0; i < 3; ++i) {
      bed_->world.run_for(Duration(bed_->world.rng().below(300'000'000)));
      Member& victim = bed_->world.rng().chance(0.7) ? behind : *leader_;
      victim.crash(sim::CrashKind::kPowerLoss);
      victim.start();
    }
    ASSERT_TRUE(bed_->world.run_until([&] { return bed_->all_open(); }, 20s));
    leader_ = &bed_->wait_leader();
    write(1);
    ASSERT_TRUE(same_everywhere());
    for (auto& m : bed_->members) EXPECT_TRUE(m->raft().out_of_service().empty());
  }
}

TEST_F(SnapshotTransfer, PiecesLeaveAtTheAllowedRate) {
  BedOptions options = few_pieces();
  options.raft.snapshot_send_bytes_per_second = 1024;
  begin(options);
  Member& behind = leave_one_behind();
  const Instant begun = bed_->world.now();
  start(behind);
  ASSERT_TRUE(bed_->world.run_until([&] { return behind.ledger().loads > 0; }, 120s));
  const size_t bytes = 256 * (leader_->offsets_asked.size() - 1);
  EXPECT_GE(bytes, 1000u);
  const double seconds = std::chrono::duration<double>(bed_->world.now() - begun).count();
  EXPECT_GE(seconds, static_cast<double>(bytes) / 1024 - 1);
  ASSERT_TRUE(same_everywhere());
}

TEST_F(SnapshotTransfer, NoMoreThanTheAllowedNumberIsFetchedAtOnceAndAllComeInTheEnd) {
  BedOptions options = few_pieces();
  options.raft.snapshot_sends_max = 1;
  options.raft.snapshot_receives_max = 1;
  options.members_count = options.members_started = 5;
  begin(options);
  std::vector<Member*> behind;
  for (auto& m : bed_->members) {
    if (m.get() != leader_ && behind.size() < 2) behind.push_back(m.get());
  }
  for (Member* m : behind) m->crash(sim::CrashKind::kKill);
  write(150);
  bed_->world.run_for(1s);
  leader_->fail_pieces_from = 512;  // so that the first one takes its time
  for (Member* m : behind) m->start();
  bed_->world.run_for(2s);
  leader_->fail_pieces_from.reset();
  ASSERT_TRUE(same_everywhere());
}

TEST_F(SnapshotTransfer, ADamagedFileTakesItsGroupOutOfServiceAndIsNotBelieved) {
  begin();
  write(150);
  bed_->world.run_for(1s);
  Member& damaged = bed_->follower_of(*leader_);
  const auto names = files(damaged);
  ASSERT_EQ(names.size(), 1u);
  damaged.crash(sim::CrashKind::kKill);
  ASSERT_TRUE(damaged.machine().disk().corrupt("snapshots/" + names.front(), 10).ok());
  start(damaged);
  EXPECT_EQ(damaged.raft().out_of_service().count(kGroup), 1u);
  write(1);
}

TEST_F(SnapshotTransfer, AnInstalledFileThatRotsOnTheSourceIsNotTaken) {
  begin();
  Member& behind = leave_one_behind();
  for (auto& m : bed_->members) {
    if (m.get() == &behind) continue;
    const auto names = files(*m);
    ASSERT_EQ(names.size(), 1u);
    ASSERT_TRUE(m->machine().disk().corrupt("snapshots/" + names.front(), 10).ok());
  }
  start(behind);
  const size_t had = behind.ledger().values.size();
  bed_->world.run_for(10s);
  EXPECT_EQ(behind.ledger().loads, 0u);
  EXPECT_EQ(behind.ledger().values.size(), had);
  EXPECT_TRUE(behind.node()->status().error.empty());
  write(60);  // a new snapshot is a sound one
  ASSERT_TRUE(same_everywhere());
}

}  // namespace
}  // namespace cairn::multiraft
