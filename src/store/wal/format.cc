#include "store/wal/format.h"

#include <algorithm>
#include <array>

#include "base/crc32c.h"

namespace cairn::wal {

namespace {

constexpr std::string_view kNamePrefix = "segment_";

/// The checksum of `bytes` as if its `crc_offset` .. + 4 were zero.
uint32_t crc_without(ByteView bytes, size_t crc_offset, uint32_t seed) {
  constexpr std::array<std::byte, 4> kZero{};
  uint32_t crc = crc32c(bytes.first(crc_offset), seed);
  crc = crc32c(kZero, crc);
  return crc32c(bytes.subspan(crc_offset + kZero.size()), crc);
}

uint64_t mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

Error corrupt(std::string what) {
  return error(Errc::kCorrupt, std::move(what));
}

bool kind_is_known(RecordKind kind) {
  return kind >= RecordKind::kEntry && kind <= RecordKind::kKnownGap;
}

Status check_lengths(const BatchHeader& header, size_t available_bytes) {
  const uint64_t descriptor_bytes = header.descriptor_bytes;
  if (descriptor_bytes < kBlockBytes || !is_block_aligned(descriptor_bytes) ||
      descriptor_bytes > kDescriptorBytesMax || descriptor_bytes > available_bytes) {
    return corrupt("a descriptor of " + std::to_string(descriptor_bytes) + " bytes");
  }
  if (sizeof(BatchHeader) + uint64_t{header.records_bytes} > descriptor_bytes) {
    return corrupt("records longer than their descriptor");
  }
  if (uint64_t{header.records_count} * sizeof(RecordHeader) > header.records_bytes) {
    return corrupt("more records than fit");
  }
  if (!is_block_aligned(header.payload_bytes) || header.payload_bytes > kSegmentBytesMax) {
    return corrupt("payloads of " + std::to_string(header.payload_bytes) + " bytes");
  }
  return ok();
}

Status check_record(const RecordHeader& record) {
  if (!kind_is_known(record.kind)) return corrupt("a record of unknown kind");
  if (!is_block_aligned(record.payload_bytes)) return corrupt("a payload that is no whole blocks");
  if (record.payload_bytes > 0 && !record.is_entry()) return corrupt("a payload of no entry");
  return ok();
}

}  // namespace

std::string_view to_string(RecordKind kind) {
  switch (kind) {
    case RecordKind::kEntry:
      return "entry";
    case RecordKind::kHardState:
      return "hard_state";
    case RecordKind::kSnapshot:
      return "snapshot";
    case RecordKind::kRemoveGroup:
      return "remove_group";
    case RecordKind::kMovedEntry:
      return "moved_entry";
    case RecordKind::kQuarantine:
      return "quarantine";
    case RecordKind::kKnownGap:
      return "known_gap";
  }
  return "unknown";
}

uint32_t seed_of(uint64_t sequence) {
  return crc32c(bytes_of(sequence));
}

uint64_t hash_of(const BatchHeader& header) {
  return mix(header.previous_hash ^ mix(header.number) ^ header.crc);
}

void encode_segment_header(SegmentHeader header, MutableByteView block) {
  CHECK(block.size() == kBlockBytes);
  CHECK(header.token != 0 && header.sequence != 0 && header.first_batch != 0);
  std::ranges::fill(block, std::byte{0});
  header.crc = 0;
  store(block, header);
  header.crc = crc32c(block, seed_of(header.sequence));
  store(block, header);
}

Result<SegmentHeader> decode_segment_header(ByteView block, uint64_t sequence) {
  if (block.size() < kBlockBytes) return corrupt("the segment's header is cut off");
  block = block.first(kBlockBytes);
  const auto header = load<SegmentHeader>(block);
  if (header.magic != kSegmentMagic) return corrupt("no segment header");
  if (header.crc != crc_without(block, offsetof(SegmentHeader, crc), seed_of(sequence))) {
    return corrupt("the segment header's checksum does not match");
  }
  if (header.version != kSegmentVersion) {
    return error(Errc::kUnsupported, "segment format version " + std::to_string(header.version) +
                                         "; this program reads version 1");
  }
  const bool sane = header.sequence == sequence && header.token != 0 && header.first_batch != 0 &&
                    header.first_batch < kBatchesMax && header.previous_sequence < sequence;
  if (!sane) return corrupt("the segment header contradicts itself");
  return header;
}

BatchHeader encode_descriptor(BatchHeader header, const std::vector<const Record*>& records,
                              MutableByteView descriptor) {
  CHECK(descriptor.size() == header.descriptor_bytes && is_block_aligned(descriptor.size()));
  CHECK(header.token != 0 && header.number != 0 && header.durable_up_to < header.number);
  size_t at = sizeof(BatchHeader);
  uint64_t payload_bytes = 0;
  for (const Record* record : records) {
    const RecordHeader& fields = record->header;
    CHECK(fields.head_bytes == record->head.size_bytes());
    CHECK(fields.payload_bytes == record->payload.size_bytes() && check_record(fields).ok());
    store(descriptor.subspan(at), fields);
    at += sizeof(RecordHeader);
    // An empty buffer's data is null, which memcpy does not take.
    if (fields.head_bytes > 0) {
      std::memcpy(descriptor.subspan(at, fields.head_bytes).data(), record->head.data(),
                  fields.head_bytes);
    }
    const size_t padded = round_up(fields.head_bytes, 8);
    std::ranges::fill(descriptor.subspan(at + fields.head_bytes, padded - fields.head_bytes),
                      std::byte{0});
    at += padded;
    payload_bytes += fields.payload_bytes;
  }
  std::ranges::fill(descriptor.subspan(at), std::byte{0});
  header.records_count = static_cast<uint32_t>(records.size());
  header.records_bytes = static_cast<uint32_t>(at - sizeof(BatchHeader));
  header.payload_bytes = static_cast<uint32_t>(payload_bytes);
  header.crc = 0;
  store(descriptor, header);
  header.crc = crc32c(descriptor, seed_of(header.sequence));
  store(descriptor, header);
  return header;
}

bool may_be_batch(ByteView bytes, uint64_t sequence) {
  if (bytes.size() < kBlockBytes) return false;
  const auto header = load<BatchHeader>(bytes);
  return header.magic == kBatchMagic && header.sequence == sequence;
}

Result<BatchView> decode_batch(ByteView bytes, uint64_t sequence, uint64_t token) {
  if (bytes.size() < kBlockBytes) return corrupt("a batch that is cut off");
  BatchView batch;
  batch.header = load<BatchHeader>(bytes);
  const BatchHeader& header = batch.header;
  if (header.magic != kBatchMagic) return corrupt("no batch");
  TRY(check_lengths(header, bytes.size()));
  const ByteView descriptor = bytes.first(header.descriptor_bytes);
  if (header.crc != crc_without(descriptor, offsetof(BatchHeader, crc), seed_of(sequence))) {
    return corrupt("a descriptor's checksum does not match");
  }
  if (header.version != kBatchVersion) {
    return error(Errc::kUnsupported,
                 "batch format version " + std::to_string(header.version) + "; this reads 1");
  }
  if (header.sequence != sequence) return corrupt("a batch of another segment");
  if (header.token == 0 || (token != 0 && header.token != token)) {
    return corrupt("a batch of another store");
  }
  if (header.number == 0 || header.number >= kBatchesMax || header.durable_up_to >= header.number ||
      header.oldest_sequence > sequence) {
    return corrupt("a batch with impossible numbers");
  }
  ByteView rest = descriptor.subspan(sizeof(BatchHeader), header.records_bytes);
  uint64_t payload_offset = header.descriptor_bytes;
  batch.records.reserve(header.records_count);
  for (uint32_t i = 0; i < header.records_count; ++i) {
    if (rest.size() < sizeof(RecordHeader)) return corrupt("a record that is cut off");
    RecordView record;
    record.header = load<RecordHeader>(rest);
    TRY(check_record(record.header));
    const uint64_t padded_bytes = round_up(record.header.head_bytes, 8);
    if (padded_bytes > rest.size() - sizeof(RecordHeader)) return corrupt("a head is cut off");
    record.head = rest.subspan(sizeof(RecordHeader), record.header.head_bytes);
    record.payload_offset = payload_offset;
    payload_offset += record.header.payload_bytes;
    rest = rest.subspan(sizeof(RecordHeader) + padded_bytes);
    batch.records.push_back(record);
  }
  if (!rest.empty() || payload_offset != header.total_bytes()) {
    return corrupt("records that do not add up to their batch");
  }
  return batch;
}

bool payload_is_sound(const RecordView& record, ByteView batch) {
  const uint64_t size_bytes = record.header.payload_bytes;
  if (size_bytes == 0) return true;
  if (record.payload_offset > batch.size() || size_bytes > batch.size() - record.payload_offset) {
    return false;
  }
  return crc32c(batch.subspan(record.payload_offset, size_bytes)) == record.header.payload_crc;
}

std::string segment_name(uint64_t sequence) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string name(kNamePrefix);
  for (int shift = 60; shift >= 0; shift -= 4) name += kDigits[(sequence >> shift) & 15];
  return name;
}

std::optional<uint64_t> parse_segment_name(std::string_view name) {
  if (!name.starts_with(kNamePrefix) || name.size() != kNamePrefix.size() + 16) return {};
  uint64_t sequence = 0;
  for (const char c : name.substr(kNamePrefix.size())) {
    const bool digit = c >= '0' && c <= '9';
    if (!digit && !(c >= 'a' && c <= 'f')) return {};
    sequence = sequence << 4 | static_cast<uint64_t>(digit ? c - '0' : c - 'a' + 10);
  }
  if (sequence == 0) return {};
  return sequence;
}

}  // namespace cairn::wal
