/// The client against a fake MDS and three fake chunkservers over the simulated network: only the
/// leader serves, the three share one store, and each can be made to misbehave.
#include <gtest/gtest.h>

#include "client/cluster.h"
#include "client/fake_cluster_test.h"
#include "client/volume.h"
#include "sim/io/world.h"

namespace cairn::client {
namespace {

using namespace fake;

class ClientTest : public ::testing::Test {
 protected:
  explicit ClientTest(ClientOptions options = {}) {
    std::vector<io::Address> members;
    for (uint64_t node = 1; node <= kNodes; ++node) {
      hosts_.push_back(&world_.add_host("cs" + std::to_string(node)));
      members.push_back(hosts_.back()->address(9000));
    }
    for (uint64_t node = 1; node <= kNodes; ++node) {
      servers_.push_back(std::make_unique<FakeChunkserver>(hosts_[node - 1]->env(), state_, node,
                                                           members[node - 1]));
    }
    for (int i = 0; i < 2; ++i) {
      sim::Host& host = world_.add_host("mds" + std::to_string(i));
      hosts_.push_back(&host);
      options.mds.push_back(host.address(9000));
      mds_.push_back(std::make_unique<FakeMds>(host.env(), state_, members, host.address(9000)));
    }
    state_.volumes["v"] = describe(77, "v", kGiB);
    options.key = kKey;
    client_host_ = &world_.add_host("client");
    cluster_ = std::make_unique<Cluster>(client_host_->env(), options);
    volume_ = std::move(run(cluster_->open_volume("v")).value());
  }
  ~ClientTest() override {
    // Frames die first, then objects, then the rest of the world.
    client_host_->crash(sim::CrashKind::kKill, [this] {
      volume_.reset();
      cluster_.reset();
    });
    for (size_t i = 0; i < hosts_.size(); ++i) {
      if (!hosts_[i]->is_running()) continue;
      hosts_[i]->crash(sim::CrashKind::kKill, [this, i] {
        if (i < kNodes) {
          servers_[i].reset();
        } else {
          mds_[i - kNodes].reset();
        }
      });
    }
  }

  template <typename T>
  T run(io::Task<T> task) {
    return world_.run(*client_host_, std::move(task), std::chrono::minutes(10));
  }
  Buffer pattern(size_t size, uint8_t seed) {
    Buffer bytes = client_host_->env().buffers.allocate(size);
    auto view = bytes.mutable_view();
    for (size_t i = 0; i < size; ++i) view[i] = std::byte(seed + i / 512 * 7 + i % 251);
    return bytes;
  }
  bool reads_back(uint64_t offset, const Buffer& expected) {
    auto got = run(volume_->read(offset, expected.size_bytes()));
    return got.ok() && std::ranges::equal(got->view(), expected.view());
  }
  FakeChunkserver& server(uint64_t node) { return *servers_[node - 1]; }
  void start_write(uint64_t offset, Buffer data, std::optional<Status>* result) {
    client_host_->spawn(store(volume_->write(offset, std::move(data)), result));
  }
  static io::Task<void> store(io::Task<Status> task, std::optional<Status>* into) {
    into->emplace(co_await std::move(task));
  }

  sim::World world_{42};
  FakeState state_;
  std::vector<sim::Host*> hosts_;
  std::vector<std::unique_ptr<FakeChunkserver>> servers_;
  std::vector<std::unique_ptr<FakeMds>> mds_;
  sim::Host* client_host_ = nullptr;
  std::unique_ptr<Cluster> cluster_;
  std::unique_ptr<Volume> volume_;
};

TEST_F(ClientTest, WhatWasWrittenIsReadBackAcrossChunksAndSegments) {
  const Buffer data = pattern(9 * kMiB + 1234, 3);
  const uint64_t offset = kSegmentBytes - 5 * kMiB - 77;
  ASSERT_TRUE(run(volume_->write(offset, data)).ok());
  EXPECT_TRUE(reads_back(offset, data));
  for (const Write& write : state_.writes) {
    EXPECT_LE(write.size, kMiB);
    EXPECT_LE(write.offset + write.size, kChunkBytes);
    EXPECT_NE(write.client, 0u);
  }
}

TEST_F(ClientTest, WhatWasNeverWrittenReadsAsZerosAndIsNotAllocated) {
  auto bytes = run(volume_->read(100, 5000));
  ASSERT_TRUE(bytes.ok());
  EXPECT_TRUE(std::ranges::all_of(bytes->view(), [](std::byte b) { return b == std::byte{0}; }));
  EXPECT_TRUE(state_.segments[0].empty());
  const size_t calls = state_.segment_calls;
  ASSERT_TRUE(run(volume_->read(100, 5000)).ok());
  EXPECT_EQ(state_.segment_calls, calls + 1) << "another client may have written: ask each time";
  auto extents = run(volume_->extents(0, 64 * kMiB));
  ASSERT_TRUE(extents.ok());
  ASSERT_EQ(extents->size(), 1u);
  EXPECT_FALSE(extents->front().is_allocated);
}

TEST_F(ClientTest, ADiscardAllocatesNothingAndZeroesRead) {
  ASSERT_TRUE(run(volume_->discard(0, 100 * kMiB)).ok());
  EXPECT_TRUE(state_.segments[0].empty());
  ASSERT_TRUE(run(volume_->write(4096, pattern(8192, 1))).ok());
  ASSERT_TRUE(run(volume_->write_zeroes(4096, 4096)).ok());
  auto bytes = run(volume_->read(4096, 8192));
  ASSERT_TRUE(bytes.ok());
  EXPECT_EQ(bytes->data()[0], std::byte{0});
  EXPECT_TRUE(
      std::ranges::equal(bytes->view().subspan(4096), pattern(8192, 1).view().subspan(4096)));
}

TEST_F(ClientTest, FollowsTheLeaderAndRemembersIt) {
  state_.leader = 3;
  ASSERT_TRUE(run(volume_->write(0, pattern(4096, 1))).ok());
  const size_t others = server(1).calls + server(2).calls;
  EXPECT_GE(others, 1u);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(run(volume_->write(0, pattern(4096, 1))).ok());
  EXPECT_EQ(server(1).calls + server(2).calls, others);
  state_.leader = 2;
  EXPECT_TRUE(reads_back(0, pattern(4096, 1)));
}

TEST_F(ClientTest, FindsALeaderThatNobodyNames) {
  for (uint64_t node : {1, 2, 3}) server(node).knows_leader = false;
  state_.leader = 3;
  const Instant before = world_.now();
  ASSERT_TRUE(run(volume_->write(0, pattern(4096, 1))).ok());
  EXPECT_LT(world_.now() - before, 100ms);
}

TEST_F(ClientTest, ADeadLeaderCostsLittleOnceAnotherLeads) {
  ASSERT_TRUE(run(volume_->write(0, pattern(4096, 1))).ok());
  hosts_[0]->crash(sim::CrashKind::kKill, [this] { servers_[0].reset(); });
  state_.leader = 2;
  const Instant before = world_.now();
  ASSERT_TRUE(run(volume_->write(0, pattern(4096, 2))).ok());
  EXPECT_LT(world_.now() - before, 1500ms);
  EXPECT_TRUE(reads_back(0, pattern(4096, 2)));
}

TEST_F(ClientTest, AHangingLeaderIsLeftAfterATimeout) {
  ASSERT_TRUE(run(volume_->write(0, pattern(4096, 1))).ok());
  server(1).hangs = true;
  state_.leader = 2;
  const Instant before = world_.now();
  ASSERT_TRUE(run(volume_->write(0, pattern(4096, 2))).ok());
  EXPECT_GE(world_.now() - before, 1s);
  EXPECT_LT(world_.now() - before, 1500ms);
}

TEST_F(ClientTest, ADeadMdsHoldsUpNobodyWhoKnowsTheWay) {
  ASSERT_TRUE(run(volume_->write(0, pattern(4096, 1))).ok());
  for (size_t i : {size_t{3}, size_t{4}}) {
    hosts_[i]->crash(sim::CrashKind::kPowerLoss, [this, i] { mds_[i - 3].reset(); });
  }
  state_.leader = 3;
  const Instant before = world_.now();
  ASSERT_TRUE(run(volume_->write(0, pattern(4096, 2))).ok());
  EXPECT_LT(world_.now() - before, 100ms);
}

TEST_F(ClientTest, ASecondMdsIsAskedWhenTheFirstDoesNotLead) {
  mds_[0]->is_leader = false;
  EXPECT_TRUE(run(cluster_->stat_volume("v")).ok());
  EXPECT_EQ(run(cluster_->stat_volume("w")).code(), Errc::kNotFound);
  hosts_[3]->crash(sim::CrashKind::kPowerLoss, [this] { mds_[0].reset(); });
  EXPECT_TRUE(run(cluster_->stat_volume("v")).ok());
}

TEST_F(ClientTest, ACreationWhoseAnswerWasLostIsNotReportedAsThereAlready) {
  mds_[0]->loses_answers = true;
  auto made = run(cluster_->create_volume("w", kGiB));
  ASSERT_TRUE(made.ok()) << made.error().describe();
  EXPECT_EQ(made->name(), "w");
  EXPECT_EQ(state_.create_calls, 2u);
  EXPECT_EQ(run(cluster_->create_volume("w", kGiB)).code(), Errc::kAlreadyExists);
}

TEST_F(ClientTest, RetriesWhatMayPassAndGivesUpOnWhatCannot) {
  server(1).errors = {error(Errc::kOverloaded, "full"), error(Errc::kUnavailable, "starting"),
                      error(Errc::kStaleEpoch, "old"), error(Errc::kNotFound, "not yet")};
  EXPECT_TRUE(run(volume_->write(0, pattern(4096, 1))).ok());
  EXPECT_TRUE(server(1).errors.empty());
  server(1).errors = {error(Errc::kNoSpace, "the pool is empty")};
  auto status = run(volume_->write(0, pattern(4096, 2)));
  EXPECT_EQ(status.code(), Errc::kNoSpace);
  EXPECT_NE(status.error().message().find("nothing was written"), std::string::npos);
  EXPECT_TRUE(reads_back(0, pattern(4096, 1)));
}

TEST_F(ClientTest, GivesUpAtTheDeadlineAndSaysWhatMayHaveBeenDone) {
  ASSERT_TRUE(run(volume_->write(0, pattern(4096, 1))).ok());
  for (uint64_t node : {1, 2, 3}) server(node).hangs = true;
  const Instant before = world_.now();
  auto status = run(volume_->write(0, pattern(4096, 2)));
  EXPECT_EQ(status.code(), Errc::kTimeout);
  EXPECT_NE(status.error().message().find("may or may not"), std::string::npos)
      << status.error().message();
  EXPECT_GE(world_.now() - before, 60s);
  EXPECT_LT(world_.now() - before, 62s);
  for (uint64_t node : {1, 2, 3}) {
    server(node).hangs = false;
    server(node).released.set();
  }
  EXPECT_TRUE(run(volume_->write(0, pattern(4096, 3))).ok());
}

TEST_F(ClientTest, NothingWasWrittenWhereNobodyLeads) {
  state_.leader = 0;
  for (uint64_t node : {1, 2, 3}) server(node).knows_leader = false;
  auto status = run(volume_->write(0, pattern(4096, 2)));
  EXPECT_EQ(status.code(), Errc::kTimeout);
  EXPECT_NE(status.error().message().find("nothing was written"), std::string::npos)
      << status.error().message();
}

TEST_F(ClientTest, OverlappingWritesOfOneClientLandInOrder) {
  std::array<std::optional<Status>, 8> results;
  server(1).errors = {error(Errc::kUnavailable, "the first one has to be retried")};
  for (uint8_t i = 0; i < results.size(); ++i) {
    start_write(i * 512, pattern(4096, i), &results[i]);
  }
  ASSERT_TRUE(world_.run_until(
      [&] { return std::ranges::all_of(results, [](auto& r) { return r.has_value(); }); }, 10s));
  uint64_t previous = 0;
  for (const Write& write : state_.writes) {
    EXPECT_GT(write.offset + 1, previous) << "applied out of order";
    previous = write.offset;
  }
  EXPECT_EQ(server(1).inflight_max, 1u);
  EXPECT_TRUE(reads_back(7 * 512, pattern(4096, 7)));
}

TEST_F(ClientTest, AReadSeesTheWriteThatWasStartedBeforeIt) {
  std::optional<Status> written;
  start_write(0, pattern(4096, 9), &written);
  EXPECT_TRUE(reads_back(0, pattern(4096, 9)));
  EXPECT_TRUE(written.has_value());
}

TEST_F(ClientTest, ARetryKeepsItsNumberAndLaterWritesCloseTheBookOnIt) {
  ASSERT_TRUE(run(volume_->write(0, pattern(4096, 1))).ok());
  server(1).holds_after_apply = true;  // applied, but the answer does not come
  std::optional<Status> written;
  start_write(0, pattern(4096, 2), &written);
  world_.run_for(500ms);
  server(1).holds_after_apply = false;
  state_.leader = 2;
  ASSERT_TRUE(world_.run_until([&] { return written.has_value(); }, 10s));
  ASSERT_EQ(state_.writes.size(), 3u);
  EXPECT_EQ(state_.writes[1].sequence, state_.writes[2].sequence);
  ASSERT_TRUE(run(volume_->write(0, pattern(4096, 3))).ok());
  EXPECT_GT(state_.writes[3].oldest, state_.writes[2].sequence)
      << "the copyset may refuse stragglers of the earlier write";
}

TEST_F(ClientTest, ManyWritesRunAtOnceWithinTheBound) {
  std::vector<std::optional<Status>> results(600);
  for (size_t i = 0; i < results.size(); ++i) {
    start_write(i * 4096, pattern(4096, static_cast<uint8_t>(i)), &results[i]);
  }
  ASSERT_TRUE(world_.run_until(
      [&] { return std::ranges::all_of(results, [](auto& r) { return r.has_value(); }); }, 20s));
  for (auto& result : results) EXPECT_TRUE(result->ok());
  EXPECT_GT(server(1).inflight_max, 32u);
  EXPECT_LE(server(1).inflight_max, ClientOptions().inflight_parts_max);
  EXPECT_EQ(state_.segment_calls, 1u) << "one allocation serves all that wait for it";
}

TEST_F(ClientTest, RefusesWhatIsOutsideOrTooMuch) {
  EXPECT_EQ(run(volume_->write(kGiB - 100, pattern(4096, 1))).code(), Errc::kInvalidArgument);
  EXPECT_EQ(run(volume_->read(UINT64_MAX - 10, 4096)).code(), Errc::kInvalidArgument);
  EXPECT_EQ(run(volume_->read(0, 65 * kMiB)).code(), Errc::kInvalidArgument);
  EXPECT_TRUE(run(volume_->read(kGiB, 0)).ok());
  EXPECT_TRUE(state_.writes.empty());
}

TEST_F(ClientTest, VolumesAreListed) {
  ASSERT_TRUE(run(cluster_->create_volume("w", kMiB)).ok());
  auto volumes = run(cluster_->list_volumes());
  ASSERT_TRUE(volumes.ok());
  ASSERT_EQ(volumes->size(), 2u);
  EXPECT_EQ(volumes->back().name(), "w");
}

TEST_F(ClientTest, AnUnknownVolumeIsNamed) {
  auto opened = run(cluster_->open_volume("nope"));
  EXPECT_EQ(opened.code(), Errc::kNotFound);
}

TEST_F(ClientTest, StopEndsWhatIsUnderWay) {
  for (uint64_t node : {1, 2, 3}) server(node).hangs = true;
  std::optional<Status> written;
  start_write(0, pattern(4096, 1), &written);
  world_.run_for(100ms);
  EXPECT_TRUE(run(cluster_->stop()).ok());
  ASSERT_TRUE(world_.run_until([&] { return written.has_value(); }, 5s));
  EXPECT_EQ(written->code(), Errc::kClosed) << written->error().describe();
  run(volume_->close());
  EXPECT_EQ(run(volume_->flush()).code(), Errc::kClosed);
  EXPECT_EQ(run(cluster_->stat_volume("v")).code(), Errc::kClosed);
}

// ---- Stripes.

TEST_F(ClientTest, AStripedVolumeIsSpreadOverTheChunksOfASetAndReadsBack) {
  auto striped = describe(78, "s", kGiB);
  striped.set_stripe_unit_bytes(64 * kKiB);
  striped.set_stripe_count(4);
  state_.volumes["s"] = striped;
  run(volume_->close());
  volume_ = std::move(run(cluster_->open_volume("s")).value());
  const Buffer data = pattern(1 * kMiB, 3);
  ASSERT_TRUE(run(volume_->write(32 * kKiB, data)).ok());
  EXPECT_EQ(state_.chunks.size(), 4u) << "the chunks of the first set";
  EXPECT_TRUE(reads_back(32 * kKiB, data));
  std::map<uint64_t, uint64_t> bytes_of;
  for (const auto& write : state_.writes) bytes_of[write.chunk] += write.size;
  for (const auto& [chunk, bytes] : bytes_of) EXPECT_EQ(bytes, 256 * kKiB) << chunk;
  state_.writes.clear();
  ASSERT_TRUE(run(volume_->discard(0, 16 * kMiB)).ok());
  ASSERT_EQ(state_.writes.size(), 4u) << "one a chunk, whatever lies in between";
  for (const auto& write : state_.writes) EXPECT_EQ(write.size, kChunkBytes);
  EXPECT_TRUE(reads_back(0, client_host_->env().buffers.allocate_zeroed(2 * kMiB)));
}

TEST_F(ClientTest, StripesThatDoNotFitAreRefused) {
  auto odd = describe(79, "odd", kGiB);
  odd.set_stripe_unit_bytes(64 * kKiB);
  odd.set_stripe_count(3);
  state_.volumes["odd"] = odd;
  EXPECT_EQ(run(cluster_->open_volume("odd")).code(), Errc::kProtocol);
}

// ---- Sessions.

TEST_F(ClientTest, ASessionIsRenewedWhileTheVolumeIsOpenAndClosedWithIt) {
  world_.run_for(10s);
  EXPECT_GE(state_.renew_calls, 8u) << "three times a lease";
  EXPECT_EQ(state_.sessions.size(), 1u);
  run(volume_->close());
  EXPECT_EQ(state_.close_calls, 1u);
  EXPECT_TRUE(state_.sessions.empty());
  const size_t renewals = state_.renew_calls;
  world_.run_for(10s);
  EXPECT_EQ(state_.renew_calls, renewals);
}

TEST_F(ClientTest, AVolumeThatIsExtendedWhileItIsOpenGrowsWithTheNextRenewal) {
  EXPECT_EQ(run(volume_->write(kGiB, pattern(4096, 1))).code(), Errc::kInvalidArgument);
  state_.volumes["v"].set_size_bytes(2 * kGiB);
  world_.run_for(2s);
  EXPECT_EQ(volume_->size_bytes(), 2 * kGiB);
  ASSERT_TRUE(run(volume_->write(2 * kGiB - 4096, pattern(4096, 1))).ok());
  EXPECT_TRUE(reads_back(2 * kGiB - 4096, pattern(4096, 1)));
  state_.volumes["v"].set_size_bytes(kGiB);
  world_.run_for(2s);
  EXPECT_EQ(volume_->size_bytes(), 2 * kGiB) << "an old answer that comes late changes nothing";
}

TEST_F(ClientTest, ASessionThatIsLostFailsEveryOperationFromThenOnAndSaysWhy) {
  ASSERT_TRUE(run(volume_->write(0, pattern(4096, 1))).ok());
  std::string told;
  volume_->on_session_loss([&](const Error& why) { told = why.message(); });
  ++state_.fence;  // another client has opened it
  EXPECT_EQ(run(volume_->write(0, pattern(4096, 2))).code(), Errc::kStaleFence);
  EXPECT_NE(told.find("open it again"), std::string::npos) << told;
  const size_t calls = server(1).calls;
  EXPECT_EQ(run(volume_->read(0, 4096)).code(), Errc::kStaleFence);
  EXPECT_EQ(run(volume_->flush()).code(), Errc::kStaleFence);
  EXPECT_EQ(server(1).calls, calls) << "nobody is asked any more";
  run(volume_->close());
  EXPECT_EQ(state_.close_calls, 0u) << "there is nothing to close";
}

TEST_F(ClientTest, AnIdleClientLearnsOfItsLossFromARenewal) {
  bool is_lost = false;
  volume_->on_session_loss([&](const Error&) { is_lost = true; });
  ++state_.fence;
  world_.run_for(2s);
  EXPECT_TRUE(is_lost);
}

TEST_F(ClientTest, WithoutAnMdsIoGoesOnAndTheSessionIsRenewedAgainLater) {
  ASSERT_TRUE(run(volume_->write(0, pattern(4096, 1))).ok());
  for (auto& mds : mds_) mds->is_leader = false;
  world_.run_for(30s);
  EXPECT_TRUE(run(volume_->write(0, pattern(4096, 2))).ok());
  const size_t renewals = state_.renew_calls;
  for (auto& mds : mds_) mds->is_leader = true;
  world_.run_for(5s);
  EXPECT_GT(state_.renew_calls, renewals);
}

TEST_F(ClientTest, AnOpenWaitsForOthersAsLongAsItIsTold) {
  state_.opens_refused = 3;
  EXPECT_EQ(run(cluster_->open_volume("v")).code(), Errc::kAlreadyExists);
  auto second = run(cluster_->open_volume("v", {.mode = OpenMode::kExclusive, .wait = 2s}));
  ASSERT_TRUE(second.ok()) << second.error().describe();
  EXPECT_EQ((*second)->fence(), Fence(1));
  run((*second)->close());
}

TEST_F(ClientTest, AVolumeThatIsOpenForReadingAloneTakesNoWrites) {
  auto reader = std::move(run(cluster_->open_volume("v", {.mode = OpenMode::kReadOnly})).value());
  EXPECT_EQ(run(reader->write(0, pattern(4096, 1))).code(), Errc::kInvalidArgument);
  EXPECT_EQ(run(reader->discard(0, 4096)).code(), Errc::kInvalidArgument);
  EXPECT_TRUE(run(reader->read(0, 4096)).ok());
  EXPECT_TRUE(state_.writes.empty());
  run(reader->close());
}

}  // namespace
}  // namespace cairn::client
