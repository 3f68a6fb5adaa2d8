/// Deletion in the background, failures of the store, crashes at any moment, inspection.
#include <unistd.h>

#include <filesystem>

#include "mds/inspect.h"
#include "mds/keys.h"
#include "mds/service_test.h"
#include "store/kv/rocks_meta_store.h"

namespace cairn::mds {
namespace {

using testing::FakeChunkserver;
using testing::MdsTest;

class DeletionTest : public MdsTest {
 protected:
  /// A volume with two segments; returns its chunks.
  std::set<uint64_t> make_volume(const std::string& name) {
    std::set<uint64_t> chunks;
    const uint64_t volume = create_volume(name, 2 * kGiB)->id();
    for (uint64_t index = 0; index < 2; ++index) {
      const auto segment = get_segment(volume, index, true);
      CHECK(segment.ok());
      for (const auto& chunk : segment->chunks()) chunks.insert(chunk.chunk());
    }
    return chunks;
  }
  std::set<uint64_t> deleted_chunks() const {
    std::set<uint64_t> chunks;
    for (const auto& chunkserver : chunkservers_) {
      chunks.insert(chunkserver->deleted.begin(), chunkserver->deleted.end());
    }
    return chunks;
  }
  bool wait_until_gone(Duration limit = 120s) {
    return world_.run_until(
        [&] { return count_keys(keys::kSegments) == 0 && count_keys(keys::kVolumes) == 0; }, limit);
  }
};

TEST_F(DeletionTest, ChunksGoThroughTheirLeadersAndThenTheRecordsGo) {
  start_cluster();
  const auto chunks = make_volume("v");
  ASSERT_EQ(chunks.size(), 128u);
  ASSERT_TRUE(delete_volume("v").ok());
  EXPECT_EQ(stat_volume("v").code(), Errc::kNotFound);
  EXPECT_EQ(delete_volume("v").code(), Errc::kNotFound);
  ASSERT_TRUE(wait_until_gone());
  EXPECT_EQ(deleted_chunks(), chunks);
}

TEST_F(DeletionTest, TheNameIsFreeAtOnceAndTheNewVolumeHasOtherChunks) {
  start_cluster();
  const auto old_chunks = make_volume("v");
  ASSERT_TRUE(delete_volume("v").ok());
  const auto new_chunks = make_volume("v");
  for (uint64_t chunk : new_chunks) EXPECT_FALSE(old_chunks.contains(chunk));
  ASSERT_TRUE(world_.run_until([&] { return count_keys(keys::kSegments) == 2; }, 120s));
  EXPECT_EQ(deleted_chunks(), old_chunks);
  EXPECT_EQ(stat_volume("v")->allocated_bytes(), 2 * kGiB);
}

TEST_F(DeletionTest, ADeletedVolumesSegmentsAreNeitherToldNorAllocated) {
  start_cluster();
  make_volume("v");
  const uint64_t volume = stat_volume("v")->id();
  for (auto& chunkserver : chunkservers_) chunkserver->refusals_left = 1'000'000;
  ASSERT_TRUE(delete_volume("v").ok());
  EXPECT_EQ(get_segment(volume, 0, true).code(), Errc::kNotFound);
  EXPECT_EQ(count_keys(keys::kSegments), 2u);
}

TEST_F(DeletionTest, RefusalsRedirectsAndDeadLeadersAreOvercome) {
  start_cluster();
  const auto chunks = make_volume("v");
  // The MDS hears no leader: it has to ask around and to follow redirects.
  for (auto& chunkserver : chunkservers_) {
    chunkserver->leads = false;
    chunkserver->refusals_left = 100;
  }
  world_.run_for(3s);
  auto& dead = *chunkservers_[0];
  dead.crash();
  ASSERT_TRUE(delete_volume("v").ok());
  world_.run_for(60s);
  EXPECT_GT(count_keys(keys::kSegments), 0u) << "a third of the copysets has no leader";
  dead.boot();
  dead.start();
  ASSERT_TRUE(wait_until_gone());
  EXPECT_EQ(deleted_chunks(), chunks);
  size_t redirects = 0;
  for (auto& chunkserver : chunkservers_) redirects += chunkserver->redirects_count;
  EXPECT_GT(redirects, 0u);
}

TEST_F(DeletionTest, GoesOnAfterACrashOfTheMds) {
  start_cluster();
  const auto chunks = make_volume("v");
  ASSERT_TRUE(delete_volume("v").ok());
  for (int crash = 0; crash < 5; ++crash) {
    world_.run_for(3ms);
    restart_mds();
  }
  ASSERT_TRUE(wait_until_gone());
  EXPECT_EQ(deleted_chunks(), chunks);
}

TEST_F(MdsTest, AFailedCommitLosesNothingWhetherItWasAppliedOrNot) {
  start_cluster();
  const uint64_t volume = create_volume("v", 8 * kGiB)->id();
  std::set<uint64_t> chunks;
  for (uint64_t index = 0; index < 8; ++index) {
    store_.fail_next_commits(index % 3);
    Result<wire::GetSegmentReply> reply = error(Errc::kInternal, "not asked yet");
    for (int attempt = 0; attempt < 5 && !reply.ok(); ++attempt) {
      reply = get_segment(volume, index, true);
    }
    ASSERT_TRUE(reply.ok()) << reply.error().describe();
    EXPECT_EQ(get_segment(volume, index, true)->SerializeAsString(), reply->SerializeAsString());
    for (const auto& chunk : reply->chunks()) chunks.insert(chunk.chunk());
  }
  EXPECT_EQ(chunks.size(), 8u * 64) << "no chunk is in two segments";
  EXPECT_EQ(stat_volume("v")->allocated_bytes(), 8 * kGiB);

  // A creation that was applied although it failed is seen by the next.
  store_.fail_next_commits(1);
  EXPECT_EQ(create_volume("w", kGiB).code(), Errc::kIo);
  EXPECT_EQ(create_volume("w", kGiB).code(), Errc::kAlreadyExists);
  EXPECT_TRUE(stat_volume("w").ok());
}

TEST_F(MdsTest, ARottenRecordKeepsTheMdsFromStarting) {
  start_cluster();
  ASSERT_TRUE(create_volume("v", kGiB).ok());
  crash_mds();
  kv::WriteBatch batch;
  batch.put(keys::volume(VolumeId(1)), "rot");
  ASSERT_TRUE(world_.run(client_host_, store_.commit(batch)).ok());
  mds_host_.boot();
  mds_ = std::make_unique<Mds>(mds_host_.env(), store_, options_);
  const Status refused = world_.run(mds_host_, mds_->start());
  EXPECT_EQ(refused.code(), Errc::kCorrupt);
  EXPECT_NE(refused.error().message().find("volume/0000000000000001"), std::string::npos);
}

TEST_F(MdsTest, InspectionShowsEveryRecordAndGoesOnPastRot) {
  start_cluster();
  const uint64_t volume = create_volume("v", kGiB)->id();
  ASSERT_TRUE(get_segment(volume, 0, true).ok());
  kv::WriteBatch batch;
  batch.put("pool/00000000000000ff", "rot");
  batch.put("surprise\"\n", "1");
  ASSERT_TRUE(world_.run(client_host_, store_.commit(batch)).ok());
  std::vector<std::string> lines;
  const auto undecodable =
      world_.run(client_host_,
                 inspect_meta(store_, [&](std::string line) { lines.push_back(std::move(line)); }));
  ASSERT_TRUE(undecodable.ok());
  EXPECT_EQ(*undecodable, 2u);
  EXPECT_EQ(lines.size(), store_.content().size());
  const auto shows = [&](std::string_view text) {
    for (const auto& line : lines) {
      if (line.find(text) != std::string::npos) return true;
    }
    return false;
  };
  EXPECT_TRUE(
      shows(R"({"key":"volume_name/v","record":"VolumeNameRecord","value":{"volume":"1"}})"));
  EXPECT_TRUE(shows(R"("record":"SegmentRecord","value":{"chunks":[{"chunk":"1","copyset":")"));
  EXPECT_TRUE(shows(R"({"key":"pool/00000000000000ff","record":"PoolRecord","error":"corrupt: )"));
  EXPECT_TRUE(shows(R"({"key":"surprise\"\u000a","record":"unknown","error":)"));
}

TEST_F(MdsTest, OnRocksDbEverythingAnsweredIsThereAfterACrash) {
  std::string path = (std::filesystem::temp_directory_path() / "cairn_mds_XXXXXX").string();
  ASSERT_NE(mkdtemp(path.data()), nullptr);
  std::unique_ptr<kv::RocksMetaStore> rocks;
  const auto open = [&] {
    auto opened = kv::RocksMetaStore::open(mds_host_.env(), path);
    ASSERT_TRUE(opened.ok()) << opened.error().describe();
    rocks = std::move(*opened);
    meta_ = rocks.get();
  };
  open();
  start_cluster();
  const uint64_t volume = create_volume("v", 2 * kGiB)->id();
  const auto segment = get_segment(volume, 1, true);
  ASSERT_TRUE(segment.ok());
  mds_host_.crash(sim::CrashKind::kKill, [&] {
    mds_.reset();
    rocks.reset();
  });
  mds_host_.boot();
  open();
  start_mds();
  ASSERT_TRUE(wait_for_health("ok"));
  EXPECT_EQ(get_segment(volume, 1, true)->SerializeAsString(), segment->SerializeAsString());
  EXPECT_EQ(stat_volume("v")->allocated_bytes(), kGiB);
  EXPECT_EQ(status().copysets_count(), 12u);
  crash_mds();
  rocks.reset();
  std::filesystem::remove_all(path);
}

/// One run of a cluster from its seed: what it stored and everything that happened.
class SeededRun : public MdsTest {
 public:
  explicit SeededRun(uint64_t seed) : MdsTest(seed) {}
  void TestBody() override {
    start_cluster(5);
    for (int i = 0; i < 5; ++i) {
      const auto made = create_volume("v" + std::to_string(i), 2 * kGiB);
      ASSERT_TRUE(made.ok());
      ASSERT_TRUE(get_segment(made->id(), 1, true).ok());
    }
    ASSERT_TRUE(delete_volume("v3").ok());
    restart_mds();
    world_.run_for(5s);
  }
  uint64_t trace_hash() const { return world_.trace_hash(); }
  const std::map<std::string, std::string>& content() const { return store_.content(); }
};

TEST(MdsRun, IsRepeatedExactlyByItsSeed) {
  SeededRun first(7), second(7), other(8);
  first.TestBody();
  second.TestBody();
  other.TestBody();
  EXPECT_EQ(first.trace_hash(), second.trace_hash());
  EXPECT_EQ(first.content(), second.content());
  EXPECT_NE(first.trace_hash(), other.trace_hash());
}

/// Random crashes, slow and failing commits, and callers that repeat what was not answered.
class StormTest : public MdsTest, public ::testing::WithParamInterface<uint64_t> {
 protected:
  StormTest() : MdsTest(GetParam()) {}

  void reboot_with_latency() {
    may_crash_ = false;
    if (mds_host_.is_running()) crash_mds();
    mds_host_.boot();
    store_.set_latency(mds_host_.env().clock, world_.rng().fork(), 5ms);
    start_mds();
    may_crash_ = true;
  }
  void crash_after(Duration delay) {
    world_.after(delay, [this] {
      if (may_crash_ && mds_host_.is_running()) crash_mds();
    });
  }
  /// What one segment was first answered with; every later answer has to be the same.
  void check_segment(uint64_t volume, uint64_t index) {
    const auto reply = get_segment(volume, index, true);
    if (!reply.ok()) return;
    const auto bytes = reply->SerializeAsString();
    const auto [known, is_new] = answers_.emplace(std::pair(volume, index), bytes);
    ASSERT_EQ(known->second, bytes);
    if (!is_new) return;
    for (const auto& chunk : reply->chunks()) {
      ASSERT_TRUE(chunks_.insert(chunk.chunk()).second) << "chunk " << chunk.chunk();
    }
  }

  bool may_crash_ = false;
  /// To another name, in use or from the recycle bin.
  void move_volume(const std::string& from, const std::string& to) {
    if (world_.rng().chance(0.5)) {
      wire::RenameVolumeRequest request;
      request.set_name(from);
      request.set_new_name(to);
      (void)call<wire::RenameVolumeReply>(wire::Method::kRenameVolume, request).ok();
    } else {
      wire::RestoreVolumeRequest request;
      request.set_name(from);
      request.set_new_name(to);
      (void)call<wire::RestoreVolumeReply>(wire::Method::kRestoreVolume, request).ok();
    }
  }
  void purge_all() {
    wire::ListVolumesRequest request;
    request.set_is_deleted(true);
    const auto deleted = call<wire::ListVolumesReply>(wire::Method::kListVolumes, request);
    ASSERT_TRUE(deleted.ok()) << deleted.error().describe();
    for (const auto& volume : deleted->volumes()) {
      wire::PurgeVolumeRequest purge;
      purge.set_id(volume.id());
      EXPECT_TRUE(call<wire::PurgeVolumeReply>(wire::Method::kPurgeVolume, purge).ok());
    }
  }

  std::map<std::pair<uint64_t, uint64_t>, std::string> answers_;
  std::set<uint64_t> chunks_;
  std::set<uint64_t> volume_ids_;
};

TEST_P(StormTest, WhatWasAnsweredStaysTrue) {
  start_cluster();
  reboot_with_latency();
  Rng& rng = world_.rng();
  for (int step = 0; step < 150; ++step) {
    if (rng.chance(0.15)) store_.fail_next_commits(static_cast<uint32_t>(rng.between(1, 3)));
    if (rng.chance(0.2)) {
      crash_after(Duration(rng.below(20'000'000)));
    }
    const std::string name = "v" + std::to_string(rng.below(6));
    if (rng.chance(0.3)) {
      const auto made = create_volume(name, 4 * kGiB);
      if (made.ok()) ASSERT_TRUE(volume_ids_.insert(made->id()).second) << "an id twice";
    } else if (rng.chance(0.1)) {
      (void)delete_volume(name, rng.chance(0.5)).ok();
    } else if (rng.chance(0.2)) {
      move_volume(name, "v" + std::to_string(rng.below(6)));
    } else {
      const auto found = stat_volume(name);
      if (found.ok()) check_segment(found->id(), rng.below(4));
    }
    if (!mds_host_.is_running()) reboot_with_latency();
  }
  may_crash_ = false;
  if (!mds_host_.is_running()) reboot_with_latency();
  may_crash_ = false;
  // Without a restart: whatever failed before, the next that does not fail is right.
  store_.fail_next_commits(static_cast<uint32_t>(rng.between(1, 2)));
  world_.run_for(10ms);
  (void)create_volume("last", 4 * kGiB).ok();
  store_.fail_next_commits(0);
  const Errc made_at_last = create_volume("last", 4 * kGiB).code();
  EXPECT_TRUE(made_at_last == Errc::kOk || made_at_last == Errc::kAlreadyExists)
      << to_string(made_at_last);
  EXPECT_TRUE(delete_volume("last").ok());
  // Nothing of what is alive is lost, and the garbage goes away.
  ASSERT_TRUE(wait_for_health("ok", 60s)) << status().DebugString();
  for (uint64_t i = 0; i < 6; ++i) {
    const auto found = stat_volume("v" + std::to_string(i));
    if (!found.ok()) continue;
    for (uint64_t index = 0; index < 4; ++index) check_segment(found->id(), index);
    EXPECT_EQ(stat_volume(found->name())->allocated_bytes(), 4 * kGiB);
  }
  purge_all();
  const auto alive = count_keys(keys::kVolumeNames);
  EXPECT_TRUE(world_.run_until(
      [&] {
        return count_keys(keys::kVolumes) == alive && count_keys(keys::kSegments) == alive * 4;
      },
      600s));
  EXPECT_GT(answers_.size(), 4u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, StormTest, ::testing::Range<uint64_t>(1, 31));

}  // namespace
}  // namespace cairn::mds
