/// Keys, records, ids and names: what the store's content is made of.
#include "mds/record.h"

#include <gtest/gtest.h>

#include "mds/ids.h"
#include "mds/keys.h"
#include "mds/options.h"
#include "mds/validate.h"
#include "wire/mds.pb.h"

namespace cairn::mds {
namespace {

TEST(Keys, NumbersSortAsTheyCount) {
  EXPECT_EQ(keys::chunkserver(ChunkserverId(10)), "chunkserver/000000000000000a");
  EXPECT_LT(keys::segment(VolumeId(1), 9), keys::segment(VolumeId(1), 16));
  EXPECT_LT(keys::segment(VolumeId(1), UINT64_MAX), keys::segment(VolumeId(2), 0));
  EXPECT_TRUE(keys::segment(VolumeId(3), 4).starts_with(keys::segments_of(VolumeId(3))));
  EXPECT_FALSE(keys::volume_name("a").starts_with(keys::kVolumes));
}

wire::PoolRecord sample() {
  wire::PoolRecord record;
  record.set_id(1);
  record.set_name("default");
  record.set_chunk_bytes(16 << 20);
  return record;
}

TEST(Record, ComesBackFromItsBytes) {
  const std::string value = encode_record("pool/1", sample());
  const auto decoded = decode_record<wire::PoolRecord>("pool/1", value);
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->SerializeAsString(), sample().SerializeAsString());
}

TEST(Record, KeepsTheBytesOfVersionOne) {
  // docs/formats/meta.md: what is on disk today has to be readable for ever.
  // The checksum was computed by another program, over 01, "counter/chunk", 08 ac 02.
  wire::IdCounterRecord record;
  record.set_next(300);
  const std::string golden("\x01\xbf\x6a\x65\xcb\x08\xac\x02", 8);
  EXPECT_EQ(encode_record("counter/chunk", record), golden);
}

TEST(Record, EveryFlippedBitIsFound) {
  const std::string value = encode_record("pool/1", sample());
  for (size_t bit = 0; bit < value.size() * 8; ++bit) {
    std::string rotten = value;
    rotten[bit / 8] = static_cast<char>(rotten[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(decode_record<wire::PoolRecord>("pool/1", rotten).ok()) << "bit " << bit;
  }
}

TEST(Record, EveryCutAndEveryOtherKeyIsFound) {
  const std::string value = encode_record("pool/1", sample());
  for (size_t bytes = 0; bytes < value.size(); ++bytes) {
    EXPECT_EQ(decode_record<wire::PoolRecord>("pool/1", value.substr(0, bytes)).code(),
              Errc::kCorrupt);
  }
  EXPECT_EQ(decode_record<wire::PoolRecord>("pool/2", value).code(), Errc::kCorrupt);
}

TEST(Record, ANewerVersionIsNotGuessedAt) {
  std::string value = encode_record("pool/1", sample());
  value[0] = 2;
  EXPECT_EQ(decode_record<wire::PoolRecord>("pool/1", value).code(), Errc::kUnsupported);
}

/// The store's part in the allocator's life.
class Ids : public testing::Test {
 protected:
  uint64_t take(IdKind kind, uint64_t count) {
    kv::WriteBatch batch;
    const uint64_t first = ids_.take(kind, count, batch);
    commit(batch);
    ids_.settle(true);
    return first;
  }
  void commit(const kv::WriteBatch& batch) {
    for (const auto& precondition : batch.preconditions) {
      const auto held = stored_.find(precondition.key);
      EXPECT_EQ(held == stored_.end() ? std::nullopt : std::optional(held->second),
                precondition.expected);
    }
    for (const auto& put : batch.puts) stored_[put.key] = put.value;
  }
  void load(IdAllocator& ids) {
    for (size_t kind = 0; kind < kIdKindsCount; ++kind) {
      const auto held = stored_.find(keys::counter(to_string(static_cast<IdKind>(kind))));
      const auto value = held == stored_.end() ? std::nullopt : std::optional(held->second);
      ASSERT_TRUE(ids.load(static_cast<IdKind>(kind), value).ok());
    }
  }

  std::map<std::string, std::string> stored_;
  IdAllocator ids_;
};

TEST_F(Ids, CountFromOneWithoutGaps) {
  load(ids_);
  EXPECT_EQ(take(IdKind::kVolume, 1), 1u);
  EXPECT_EQ(take(IdKind::kVolume, 3), 2u);
  EXPECT_EQ(take(IdKind::kVolume, 1), 5u);
  EXPECT_EQ(take(IdKind::kCopyset, 1), 1u);
}

TEST_F(Ids, ChunksWriteTheirCounterOnceABundle) {
  load(ids_);
  size_t writes = 0;
  for (int i = 0; i < 1000; ++i) {
    kv::WriteBatch batch;
    EXPECT_EQ(ids_.take(IdKind::kChunk, 64, batch), static_cast<uint64_t>(1 + 64 * i));
    writes += batch.puts.size();
    commit(batch);
    ids_.settle(true);
  }
  EXPECT_LE(writes, 5u);
}

TEST_F(Ids, AfterARestartNothingIsGivenTwice) {
  load(ids_);
  take(IdKind::kChunk, 100);
  take(IdKind::kVolume, 1);
  IdAllocator restarted;
  load(restarted);
  kv::WriteBatch batch;
  EXPECT_GT(restarted.take(IdKind::kChunk, 1, batch), 100u);
  EXPECT_EQ(restarted.take(IdKind::kVolume, 1, batch), 2u);
}

TEST_F(Ids, NumbersOfAFailedBatchAreNotUsedAgainWhetherItWasAppliedOrNot) {
  for (const bool was_applied : {false, true}) {
    IdAllocator ids;
    stored_.clear();
    load(ids);
    kv::WriteBatch lost, next;
    EXPECT_EQ(ids.take(IdKind::kVolume, 5, lost), 1u);
    if (was_applied) commit(lost);
    ids.settle(false);
    load(ids);
    EXPECT_EQ(ids.take(IdKind::kVolume, 1, next), 6u);
    commit(next);
    ids.settle(true);
  }
}

TEST(Validate, VolumeNames) {
  for (const char* good : {"a", "db-1.data_2", "0x", "UPPER"}) {
    EXPECT_TRUE(check_volume_name(good).ok()) << good;
  }
  for (const char* bad : {"", "-a", ".", "a b", "a//b", "ä", "a\n"}) {
    EXPECT_EQ(check_volume_name(bad).code(), Errc::kInvalidArgument) << bad;
  }
  EXPECT_TRUE(check_volume_name(std::string(kVolumeNameBytesMax, 'a')).ok());
  EXPECT_FALSE(check_volume_name(std::string(kVolumeNameBytesMax + 1, 'a')).ok());
}

TEST(Validate, VolumeSizes) {
  EXPECT_TRUE(check_volume_size(4096, kGiB).ok());
  EXPECT_TRUE(check_volume_size(kGiB, kGiB).ok());
  EXPECT_FALSE(check_volume_size(0, kGiB).ok());
  EXPECT_FALSE(check_volume_size(kGiB + 4096, kGiB).ok());
  const auto odd = check_volume_size(10'000, kGiB);
  EXPECT_NE(odd.error().message().find("8192"), std::string::npos);
}

TEST(Validate, Options) {
  EXPECT_TRUE(check(Options()).ok());
  const auto refused = [](auto change) {
    Options options;
    change(options);
    const Status status = check(options);
    EXPECT_EQ(status.code(), Errc::kInvalidArgument);
    return status.ok() ? std::string() : status.error().message();
  };
  EXPECT_NE(refused([](Options& o) { o.pool.segment_bytes = 17 * kMiB; }).find("segment_bytes"),
            std::string::npos);
  EXPECT_NE(refused([](Options& o) { o.pool.chunkservers_min = 2; }).find("chunkservers_min"),
            std::string::npos);
  refused([](Options& o) { o.pool.chunk_bytes = 100; });
  refused([](Options& o) { o.pool.replicas_count = 0; });
  refused([](Options& o) { o.unstable_after = 1s; });
  refused([](Options& o) { o.fill.fill_max = 0; });
  refused([](Options& o) { o.cluster_name = "two words"; });
}

}  // namespace
}  // namespace cairn::mds
