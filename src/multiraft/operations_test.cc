// Groups that are removed, repaired and begun anew; state machines that refuse; rot in the log.
#include "multiraft/testbed_test.h"

namespace cairn::multiraft {
namespace {

using namespace testing;
using Outcome = TestBed::Outcome;

const GroupId kOther{8};

class Operations : public ::testing::Test {
 protected:
  void begin(BedOptions options = {}) {
    bed_ = std::make_unique<TestBed>(options);
    bed_->create();
    leader_ = &bed_->wait_leader();
  }
  Status remove(Member& m) { return bed_->world.run(m.machine(), m.raft().remove(kGroup), 60s); }
  Status purge(Member& m) { return bed_->world.run(m.machine(), m.raft().purge(kGroup), 60s); }
  Status join(Member& m) {
    auto joined = bed_->world.run(m.machine(), m.raft().join(kGroup, m.ledger()), 60s);
    return joined ? ok() : Status(joined.error());
  }
  Status reset(Member& m) {
    auto made = bed_->world.run(m.machine(), m.raft().reset(kGroup, m.ledger()), 60s);
    return made ? ok() : Status(made.error());
  }
  Status leave_group(Member& m) {
    return bed_->world.run(leader_->machine(), leader_->node()->remove_member(m.self()), 60s);
  }
  Status enter_group(Member& m) {
    return bed_->world.run(leader_->machine(), leader_->node()->add_member(m.self()), 60s);
  }
  void write(size_t count, size_t payload_bytes = 0) {
    for (size_t i = 0; i < count; ++i) {
      Buffer payload;
      if (payload_bytes > 0) payload = bed_->payload(*leader_, payload_bytes, i % 250);
      ASSERT_TRUE(bed_->apply(*leader_, "v" + std::to_string(written_++), std::move(payload)).ok());
    }
  }
  void restart(Member& m) {
    m.crash(sim::CrashKind::kPowerLoss);
    start(m);
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
  /// Turns a bit in every block of this part of each of the log's files.
  void rot(Member& m, size_t from_bytes, size_t to_bytes) {
    const auto names = bed_->world.run(m.machine(), m.machine().disk().list("wal"));
    for (const std::string& name : names.value()) {
      for (size_t at = from_bytes; at < to_bytes; at += 4096) {
        (void)m.machine().disk().corrupt("wal/" + name, at + 100);
      }
    }
  }
  static io::Task<Status> find_payloads(io::Disk* disk, std::string path, uint8_t first_fill,
                                        uint8_t last_fill, std::vector<uint64_t>* found) {
    auto file = CO_TRY(co_await disk->open(path, {.read_only = true}));
    const uint64_t size_bytes = CO_TRY(co_await file->size());
    Buffer block = Buffer::allocate(4096);
    for (uint64_t at = 0; at + 4096 <= size_bytes; at += 4096) {
      CO_TRY(co_await file->read(at, block.mutable_view()));
      const auto fill = static_cast<uint8_t>(block.view()[0]);
      const bool is_payload = std::ranges::all_of(
          block.view(), [&](std::byte b) { return static_cast<uint8_t>(b) == fill; });
      if (is_payload && fill >= first_fill && fill <= last_fill) found->push_back(at);
    }
    co_return ok();
  }
  /// Turns a bit in every block of the payloads with these fills, and nowhere else.
  void rot_payloads(Member& m, uint8_t first_fill, uint8_t last_fill) {
    const auto names = bed_->world.run(m.machine(), m.machine().disk().list("wal"));
    for (const std::string& name : names.value()) {
      std::vector<uint64_t> blocks;
      (void)bed_->world.run(m.machine(), find_payloads(&m.machine().disk(), "wal/" + name,
                                                       first_fill, last_fill, &blocks));
      for (uint64_t at : blocks) (void)m.machine().disk().corrupt("wal/" + name, at + 100);
    }
  }
  Member& follower() { return bed_->follower_of(*leader_); }

  std::unique_ptr<TestBed> bed_;
  Member* leader_ = nullptr;
  size_t written_ = 0;
};

// ---- removal

TEST_F(Operations, WhatARemovedGroupHadWaitsAlsoOverARestartAndIsDeletedThen) {
  BedOptions options;
  options.raft.removed_data_kept = std::chrono::minutes(10);
  begin(options);
  write(5);
  Member& gone = follower();
  ASSERT_TRUE(leave_group(gone).ok());
  ASSERT_TRUE(remove(gone).ok());
  EXPECT_EQ(gone.node(), nullptr);
  EXPECT_EQ(gone.raft().removed(), std::vector<GroupId>{kGroup});
  EXPECT_EQ(remove(gone).code(), Errc::kNotFound);
  bed_->world.run_for(std::chrono::minutes(9));
  restart(gone);
  EXPECT_EQ(gone.node(), nullptr) << "it does not come back";
  bed_->world.run_for(std::chrono::minutes(9));
  EXPECT_TRUE(gone.erased.empty());
  bed_->world.run_for(std::chrono::minutes(2));
  EXPECT_EQ(gone.erased, std::vector<GroupId>{kGroup});
  EXPECT_TRUE(gone.raft().removed().empty());
  restart(gone);
  EXPECT_TRUE(gone.raft().removed().empty());
  EXPECT_EQ(gone.raft().log().live_bytes(), 0u);
  write(1);
}

TEST_F(Operations, ADeletionThatFailsIsTriedAgain) {
  BedOptions options;
  options.raft.removed_data_kept = 1s;
  begin(options);
  Member& gone = follower();
  ASSERT_TRUE(leave_group(gone).ok());
  gone.fail_erase = error(Errc::kUnavailable, "not now");
  ASSERT_TRUE(remove(gone).ok());
  bed_->world.run_for(20s);
  EXPECT_GE(gone.erased.size(), 2u);
  EXPECT_FALSE(gone.raft().removed().empty());
  gone.fail_erase.reset();
  bed_->world.run_for(20s);
  EXPECT_TRUE(gone.raft().removed().empty());
}

TEST_F(Operations, AGroupComesBackToAHostOnlyAfterItsOldDataIsGone) {
  begin();
  write(5);
  Member& gone = follower();
  ASSERT_TRUE(leave_group(gone).ok());
  ASSERT_TRUE(remove(gone).ok());
  write(5);
  EXPECT_EQ(join(gone).code(), Errc::kPreconditionFailed);
  ASSERT_TRUE(purge(gone).ok());
  EXPECT_EQ(purge(gone).code(), Errc::kNotFound);
  ASSERT_TRUE(join(gone).ok());
  ASSERT_TRUE(enter_group(gone).ok());
  EXPECT_TRUE(same_everywhere());
}

TEST_F(Operations, CallsThatWaitEndWhenTheirGroupIsRemoved) {
  begin();
  bed_->cut_off(*leader_);
  Outcome write_outcome;
  std::optional<Status> read, change;
  bed_->start_apply(*leader_, "waits", &write_outcome);
  bed_->world.run_for(700ms);  // the lease is over
  leader_->machine().spawn(TestBed::store(leader_->node()->read_barrier(), &read));
  leader_->machine().spawn(
      TestBed::store(leader_->node()->remove_member(follower().self()), &change));
  ASSERT_FALSE(write_outcome || read || change);
  ASSERT_TRUE(remove(*leader_).ok());
  bed_->world.run_for(1s);
  ASSERT_TRUE(write_outcome && read && change);
  EXPECT_EQ(write_outcome->code(), Errc::kClosed);
  EXPECT_EQ(read->code(), Errc::kClosed);
  EXPECT_EQ(change->code(), Errc::kClosed);
}

TEST_F(Operations, AGroupIsRemovedInTheMiddleOfAnApplyAndOthersGoOn) {
  begin();
  bed_->create(kOther);
  bed_->wait_leader(30s, kOther);
  Member& slow = follower();
  slow.knobs.hold_apply = true;
  write(3);
  std::optional<Status> removed;
  slow.machine().spawn(TestBed::store(slow.raft().remove(kGroup), &removed));
  bed_->world.run_for(5s);
  EXPECT_FALSE(removed) << "its state machine is not to be called any more when this ends";
  slow.knobs.hold_apply = false;
  slow.release();
  ASSERT_TRUE(bed_->world.run_until([&] { return removed.has_value(); }, 5s));
  EXPECT_TRUE(removed->ok());
  EXPECT_TRUE(bed_->apply(bed_->wait_leader(30s, kOther), "x", {}, kOther).ok());
  ASSERT_TRUE(bed_->converges(60s, kOther));
  write(1);
}

// ---- repair

TEST_F(Operations, ADamagedReplicaIsRepairedFromItsPeers) {
  begin();
  write(20, 16 * kKiB);
  ASSERT_TRUE(same_everywhere());
  Member& damaged = follower();
  rot(damaged, 64 * kKiB, 128 * kKiB);
  restart(damaged);
  ASSERT_EQ(damaged.raft().out_of_service().count(kGroup), 1u);
  EXPECT_EQ(join(damaged).code(), Errc::kCorrupt);
  write(5);
  ASSERT_TRUE(leave_group(damaged).ok());
  ASSERT_TRUE(reset(damaged).ok());
  EXPECT_TRUE(damaged.raft().out_of_service().empty());
  ASSERT_TRUE(enter_group(damaged).ok());
  write(5);
  ASSERT_TRUE(same_everywhere());
  restart(damaged);
  EXPECT_TRUE(damaged.raft().out_of_service().empty()) << "the log is clean again";
  ASSERT_TRUE(same_everywhere());
  // Its vote is good again.
  bed_->follower_of(damaged).crash(sim::CrashKind::kKill);
  leader_ = &bed_->wait_leader();
  write(1);
}

TEST_F(Operations, AReplicaThatIsResetTooEarlyTakesNothingUntilItWasRemoved) {
  begin();
  write(20, 16 * kKiB);
  ASSERT_TRUE(same_everywhere());
  Member& damaged = follower();
  rot(damaged, 64 * kKiB, 128 * kKiB);
  restart(damaged);
  ASSERT_TRUE(reset(damaged).ok());
  bed_->world.run_for(20s);
  EXPECT_TRUE(damaged.ledger().values.empty());
  EXPECT_TRUE(damaged.node()->status().members.empty());
  restart(damaged);
  bed_->world.run_for(20s);
  EXPECT_TRUE(damaged.ledger().values.empty()) << "nor after a restart";
  ASSERT_TRUE(leave_group(damaged).ok());
  ASSERT_TRUE(enter_group(damaged).ok());
  ASSERT_TRUE(same_everywhere());
}

TEST_F(Operations, AReplicaThatFailedIsRepairedWithoutARestart) {
  begin();
  write(5);
  Member& broken = follower();
  broken.knobs.fail_apply = error(Errc::kCorrupt, "cannot be read");
  write(1);
  ASSERT_TRUE(bed_->world.run_until([&] { return broken.ledger().failure.has_value(); }, 5s));
  broken.knobs.fail_apply.reset();
  ASSERT_TRUE(leave_group(broken).ok());
  ASSERT_TRUE(reset(broken).ok());
  EXPECT_EQ(reset(broken).code(), Errc::kPreconditionFailed) << "it is in service";
  ASSERT_TRUE(enter_group(broken).ok());
  ASSERT_TRUE(same_everywhere());
  EXPECT_EQ(
      bed_->world.run(broken.machine(), broken.raft().reset(kOther, broken.ledger(kOther))).code(),
      Errc::kNotFound);
}

// ---- state machines that refuse

TEST_F(Operations, AMachineWithoutRoomIsWaitedForAndLosesNothing) {
  begin();
  bed_->create(kOther);
  bed_->wait_leader(30s, kOther);
  Member& full = follower();
  full.knobs.hold_apply = true;  // so that they come in one batch
  full.knobs.refuse_at = "v3";
  write(6);
  full.knobs.hold_apply = false;
  full.release();
  bed_->world.run_for(30s);
  EXPECT_GE(full.ledger().refusals, 5u);
  EXPECT_LE(full.ledger().refusals, 30u) << "less and less often";
  EXPECT_EQ(full.ledger().values, (std::vector<std::string>{"v0", "v1", "v2"}));
  EXPECT_FALSE(full.ledger().failure.has_value());
  EXPECT_TRUE(full.node()->status().error.empty());
  EXPECT_FALSE(full.node()->status().waits.empty());
  ASSERT_TRUE(bed_->apply(bed_->wait_leader(30s, kOther), "x", {}, kOther).ok());
  ASSERT_TRUE(bed_->converges(60s, kOther));
  full.knobs.refuse_at.clear();
  write(1);
  ASSERT_TRUE(same_everywhere());
  EXPECT_TRUE(full.node()->status().waits.empty());
}

TEST_F(Operations, ALeaderWhoseMachineRefusesHandsOver) {
  begin();
  Member& full = *leader_;
  full.knobs.refuse_at = "big";
  Outcome outcome;
  bed_->start_apply(full, "big", &outcome);
  leader_ = &bed_->wait_leader(2s, kGroup, &full);
  write(3);
  ASSERT_TRUE(outcome.has_value());
  EXPECT_EQ(outcome->code(), Errc::kUnavailable);
  full.knobs.refuse_at.clear();
  ASSERT_TRUE(same_everywhere());
  EXPECT_EQ(full.ledger().values.front(), "big");
}

TEST_F(Operations, StopEndsWhileAMachineRefuses) {
  begin();
  Member& full = follower();
  full.knobs.refuse_at = "v0";
  write(1);
  bed_->world.run_for(30s);
  bed_->world.run(full.machine(), full.stop(), 1s);
  EXPECT_FALSE(full.ledger().failure.has_value());
}

// Pitfall 21.
TEST_F(Operations, ASnapshotThatFindsNoSpaceCutsNothingAndIsTakenLater) {
  BedOptions options;
  options.raft.snapshot_log_entries = 50;
  options.raft.retained_log_entries = 1;
  options.raft.snapshot_check_interval = 100ms;
  begin(options);
  leader_->knobs.fail_save = error(Errc::kNoSpace, "as asked");
  write(120);
  bed_->world.run_for(5s);
  EXPECT_GE(leader_->ledger().saves, 2u);
  EXPECT_LE(leader_->node()->status().first, LogIndex(3));
  EXPECT_TRUE(leader_->node()->status().error.empty());
  leader_->knobs.fail_save.reset();
  bed_->world.run_for(5s);
  EXPECT_GT(leader_->node()->status().first, LogIndex(100));
}

TEST_F(Operations, AMemberWithoutSpaceForASnapshotFetchesItLater) {
  BedOptions options;
  options.raft.snapshot_log_entries = 50;
  options.raft.retained_log_entries = 20;
  options.raft.snapshot_check_interval = 100ms;
  begin(options);
  Member& full = follower();
  full.crash(sim::CrashKind::kKill);
  write(150);
  bed_->world.run_for(1s);
  full.knobs.fail_load = error(Errc::kNoSpace, "as asked");
  start(full);
  ASSERT_TRUE(bed_->world.run_until([&] { return full.ledger().loads >= 3; }, 30s));
  EXPECT_TRUE(full.node()->status().error.empty());
  full.knobs.fail_load.reset();
  ASSERT_TRUE(same_everywhere());
}

// ---- disks

TEST_F(Operations, AnEntryThatRotsInTheLeadersLogGivesWayToASnapshot) {
  BedOptions options;
  options.raft.cached_payload_bytes_max = 4 * kKiB;
  begin(options);
  Member& behind = follower();
  behind.crash(sim::CrashKind::kKill);
  write(20, 16 * kKiB);
  bed_->world.run_for(1s);
  rot_payloads(*leader_, 5, 9);
  start(behind);
  ASSERT_TRUE(same_everywhere());
  ASSERT_EQ(bed_->leader(), leader_);
  EXPECT_EQ(behind.ledger().loads, 1u);
  EXPECT_TRUE(leader_->node()->status().error.empty());
  EXPECT_GE(leader_->machine().env().metrics.counter("cairn_raft_rotten_entries_total", "").value(),
            1u);
  restart(*leader_);
  EXPECT_TRUE(leader_->raft().out_of_service().empty()) << "it stands in the log no more";
}

TEST_F(Operations, ALatchedDiskStepsAllItsGroupsDownWithinASecondAndTellsWhy) {
  BedOptions options;
  options.members_count = options.members_started = 3;
  bed_ = std::make_unique<TestBed>(options);
  std::vector<GroupId> groups;
  for (uint64_t i = 1; i <= 20; ++i) groups.emplace_back(i);
  for (GroupId group : groups) bed_->create(group);
  for (GroupId group : groups) bed_->wait_leader(30s, group);
  Member& dying = *bed_->leader(groups.front());
  dying.machine().disk().fail_next_sync();
  dying.machine().disk().set_error_rate(sim::DiskOperation::kWrite, 1);
  Outcome outcome;
  bed_->start_apply(dying, "x", &outcome, {}, groups.front());
  ASSERT_TRUE(bed_->world.run_until([&] { return dying.raft().disk_error().has_value(); }, 10s));
  bed_->world.run_for(1s);
  ASSERT_TRUE(outcome.has_value());
  EXPECT_EQ(outcome->code(), Errc::kIo);
  for (GroupId group : groups) {
    EXPECT_FALSE(dying.node(group)->is_leader());
    EXPECT_NE(dying.node(group)->status().error.find("this disk has failed"), std::string::npos);
    ASSERT_TRUE(dying.ledger(group).failure.has_value());
    EXPECT_EQ(dying.ledger(group).failure->code(), Errc::kIo);
    EXPECT_NE(&bed_->wait_leader(10s, group, &dying), &dying);
  }
}

}  // namespace
}  // namespace cairn::multiraft
