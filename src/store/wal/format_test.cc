#include "store/wal/format.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/crc32c.h"
#include "base/rng.h"
#include "store/wal/scan.h"

namespace cairn::wal {
namespace {

constexpr uint64_t kSequence = 7;
constexpr uint64_t kToken = 0x1122334455667788;

/// Owns what an encoded batch refers to.
struct Sample {
  std::vector<Record> records;
  BatchHeader header;
  std::vector<std::byte> bytes;  ///< the batch
};

Buffer filled(size_t size_bytes, uint8_t value) {
  Buffer buffer = Buffer::allocate(size_bytes);
  std::ranges::fill(buffer.mutable_view(), std::byte{value});
  return buffer;
}

Record entry(uint64_t group, uint64_t index, size_t head_bytes, size_t payload_bytes) {
  Record record{.header = {.kind = RecordKind::kEntry,
                           .type = 3,
                           .head_bytes = static_cast<uint32_t>(head_bytes),
                           .group = group,
                           .index = index,
                           .term = 5,
                           .payload_bytes = static_cast<uint32_t>(payload_bytes)},
                .head = filled(head_bytes, 0x68),
                .payload = filled(payload_bytes, static_cast<uint8_t>(index))};
  record.header.payload_crc = crc32c(record.payload.view());
  return record;
}

Sample encode(std::vector<Record> records, uint64_t number = 12) {
  Sample sample{.records = std::move(records), .header = {}, .bytes = {}};
  uint64_t descriptor_bytes = sizeof(BatchHeader);
  std::vector<const Record*> pointers;
  for (const Record& record : sample.records) {
    descriptor_bytes += record.descriptor_bytes();
    pointers.push_back(&record);
  }
  descriptor_bytes = round_up(descriptor_bytes, kBlockBytes);
  const BatchHeader header{.sequence = kSequence,
                           .token = kToken,
                           .number = number,
                           .previous_hash = 99,
                           .durable_up_to = number - 2,
                           .oldest_sequence = 4,
                           .descriptor_bytes = static_cast<uint32_t>(descriptor_bytes)};
  sample.bytes.resize(descriptor_bytes);
  sample.header = encode_descriptor(header, pointers, sample.bytes);
  for (const Record& record : sample.records) {
    const ByteView payload = record.payload.view();
    sample.bytes.insert(sample.bytes.end(), payload.begin(), payload.end());
  }
  return sample;
}

std::vector<Record> one_of_each() {
  std::vector<Record> records;
  records.push_back(entry(1, 10, 13, 4096));
  records.push_back(
      {.header = {.kind = RecordKind::kHardState, .group = 1, .index = 9, .term = 5, .extra = 2}});
  Record mark{.header = {.kind = RecordKind::kSnapshot,
                         .flags = kSnapshotResetsLog,
                         .head_bytes = 8,
                         .group = 2,
                         .index = 100,
                         .term = 4},
              .head = filled(8, 0x6d)};
  records.push_back(std::move(mark));
  records.push_back({.header = {.kind = RecordKind::kRemoveGroup, .group = 3}});
  records.push_back(entry(1, 11, 0, 0));
  return records;
}

TEST(WalFormat, ABatchReadsBackAsItWasWritten) {
  const Sample sample = encode(one_of_each());
  const auto batch = decode_batch(sample.bytes, kSequence, kToken);
  ASSERT_TRUE(batch.ok()) << batch.error().describe();
  EXPECT_EQ(bytes_of(batch->header).size(), 80u);
  EXPECT_EQ(batch->header.number, 12u);
  EXPECT_EQ(batch->header.total_bytes(), sample.bytes.size());
  ASSERT_EQ(batch->records.size(), sample.records.size());
  for (size_t i = 0; i < batch->records.size(); ++i) {
    const RecordView& read = batch->records[i];
    EXPECT_EQ(std::memcmp(&read.header, &sample.records[i].header, sizeof(RecordHeader)), 0);
    EXPECT_TRUE(std::ranges::equal(read.head, sample.records[i].head.view()));
    EXPECT_TRUE(payload_is_sound(read, sample.bytes));
  }
  EXPECT_EQ(batch->records[0].payload_offset, 4096u);
}

TEST(WalFormat, AnyFlippedBitOfADescriptorIsNoticed) {
  const Sample sample = encode(one_of_each());
  Rng rng(3);
  for (int i = 0; i < 2000; ++i) {
    auto bytes = sample.bytes;
    const size_t at = rng.below(sample.header.descriptor_bytes);
    bytes[at] ^= std::byte{1} << rng.below(8);
    EXPECT_FALSE(decode_batch(bytes, kSequence, kToken).ok()) << "byte " << at;
  }
}

TEST(WalFormat, AnotherLifeOfTheFileOrAnotherStoreIsNoticed) {
  const Sample sample = encode(one_of_each());
  EXPECT_EQ(decode_batch(sample.bytes, kSequence + 1, kToken).code(), Errc::kCorrupt);
  EXPECT_EQ(decode_batch(sample.bytes, kSequence, kToken + 1).code(), Errc::kCorrupt);
  EXPECT_FALSE(may_be_batch(sample.bytes, kSequence + 1));
}

TEST(WalFormat, ACutBatchIsNoDescriptorOrHasNoPayload) {
  const Sample sample = encode(one_of_each());
  const ByteView bytes(sample.bytes);
  EXPECT_FALSE(decode_batch(bytes.first(4095), kSequence, kToken).ok());
  const auto batch = decode_batch(bytes.first(4096), kSequence, kToken);
  ASSERT_TRUE(batch.ok());
  EXPECT_FALSE(payload_is_sound(batch->records[0], bytes.first(4096)));
}

TEST(WalFormat, ImpossibleLengthsAreRefusedThoughTheChecksumMatches) {
  const auto refuses = [](const std::function<void(BatchHeader&, RecordHeader&)>& change) {
    Sample sample = encode(one_of_each());
    MutableByteView bytes(sample.bytes);
    auto header = load<BatchHeader>(bytes);
    auto record = load<RecordHeader>(ByteView(bytes).subspan(sizeof(BatchHeader)));
    change(header, record);
    header.crc = 0;
    store(bytes, header);
    store(bytes.subspan(sizeof(BatchHeader)), record);
    const size_t covered = std::min<size_t>(header.descriptor_bytes, bytes.size());
    header.crc = crc32c(ByteView(bytes).first(covered), seed_of(kSequence));
    store(bytes, header);
    return !decode_batch(bytes, kSequence, kToken).ok();
  };
  EXPECT_FALSE(refuses([](BatchHeader&, RecordHeader&) {}));
  EXPECT_TRUE(refuses([](BatchHeader& b, RecordHeader&) { b.descriptor_bytes = 0; }));
  EXPECT_TRUE(refuses([](BatchHeader& b, RecordHeader&) { b.descriptor_bytes = 0xfffff000; }));
  EXPECT_TRUE(refuses([](BatchHeader& b, RecordHeader&) { b.records_bytes = 0xffffffff; }));
  EXPECT_TRUE(refuses([](BatchHeader& b, RecordHeader&) { b.records_count = 0xffffffff; }));
  EXPECT_TRUE(refuses([](BatchHeader& b, RecordHeader&) { --b.records_count; }));
  EXPECT_TRUE(refuses([](BatchHeader& b, RecordHeader&) { b.payload_bytes += 4096; }));
  EXPECT_TRUE(refuses([](BatchHeader& b, RecordHeader&) { b.durable_up_to = b.number; }));
  EXPECT_TRUE(refuses([](BatchHeader& b, RecordHeader&) { b.oldest_sequence = kSequence + 1; }));
  EXPECT_TRUE(refuses([](BatchHeader& b, RecordHeader&) { b.number = UINT64_MAX; }));
  EXPECT_TRUE(refuses([](BatchHeader&, RecordHeader& r) { r.head_bytes = 0xffffffff; }));
  EXPECT_TRUE(refuses([](BatchHeader&, RecordHeader& r) { r.payload_bytes = 0xfffff000; }));
  EXPECT_TRUE(refuses([](BatchHeader&, RecordHeader& r) { r.payload_bytes = 1; }));
  EXPECT_TRUE(refuses([](BatchHeader&, RecordHeader& r) { r.kind = RecordKind{99}; }));
}

TEST(WalFormat, TheHashSpeaksForTheContentAndThePast) {
  const Sample one = encode(one_of_each());
  auto records = one_of_each();
  records[0].payload = filled(4096, 0x77);
  records[0].header.payload_crc = crc32c(records[0].payload.view());
  EXPECT_NE(hash_of(one.header), hash_of(encode(std::move(records)).header));
  EXPECT_NE(hash_of(one.header), hash_of(encode(one_of_each(), 13).header));
}

TEST(WalFormat, NamesOfSegmentsAreReadBack) {
  EXPECT_EQ(segment_name(0x1a2b), "segment_0000000000001a2b");
  EXPECT_EQ(parse_segment_name("segment_0000000000001a2b"), 0x1a2bu);
  EXPECT_FALSE(parse_segment_name("segment_0000000000000000"));
  EXPECT_FALSE(parse_segment_name("segment_000000000000001G"));
  EXPECT_FALSE(parse_segment_name("segment_1"));
  EXPECT_FALSE(parse_segment_name("preparing_segment_0000000000001a2b"));
}

/// A segment as version 1 writes it: it has to be read for ever, and written the same.
std::vector<std::byte> golden_segment() {
  std::vector<std::byte> bytes(kBlockBytes);
  encode_segment_header({.sequence = kSequence,
                         .token = kToken,
                         .previous_sequence = 6,
                         .first_batch = 12,
                         .previous_hash = 99,
                         .segment_bytes = kSegmentBytesMin},
                        bytes);
  const Sample sample = encode(one_of_each());
  bytes.insert(bytes.end(), sample.bytes.begin(), sample.bytes.end());
  return bytes;
}

TEST(WalFormat, TheGoldenSegmentIsWrittenAndReadAsEver) {
  const auto path = std::filesystem::path(__FILE__).parent_path() / "testdata" / "segment_v1.bin";
  const auto written = golden_segment();
  if (std::getenv("CAIRN_WRITE_GOLDEN")) {
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(written.data()),
               static_cast<std::streamsize>(written.size()));
  }
  std::ifstream file(path, std::ios::binary);
  const std::string golden((std::istreambuf_iterator<char>(file)), {});
  ASSERT_EQ(golden.size(), 3 * kBlockBytes) << path;
  EXPECT_TRUE(std::ranges::equal(as_bytes(golden), written)) << "the format has changed";
  const auto scan = scan_segment(as_bytes(golden), kSequence, kToken, true);
  ASSERT_TRUE(scan.ok()) << scan.error().describe();
  EXPECT_EQ(scan->header->first_batch, 12u);
  ASSERT_EQ(scan->batches.size(), 1u);
  EXPECT_EQ(scan->batches[0].view.records.size(), 5u);
  EXPECT_TRUE(scan->batches[0].damaged.empty());
}

TEST(WalFormat, ANewerVersionIsToldFromRot) {
  std::vector<std::byte> block(kBlockBytes);
  encode_segment_header({.version = 2,
                         .sequence = kSequence,
                         .token = kToken,
                         .first_batch = 1,
                         .segment_bytes = kSegmentBytesMin},
                        block);
  EXPECT_EQ(decode_segment_header(block, kSequence).code(), Errc::kUnsupported);
  block[5] ^= std::byte{1};
  EXPECT_EQ(decode_segment_header(block, kSequence).code(), Errc::kCorrupt);
}

}  // namespace
}  // namespace cairn::wal
