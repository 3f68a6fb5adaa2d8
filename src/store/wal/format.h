/// The log's structures on the medium and their codec: pure, bytes to records and back.
///
/// Every decoder takes bytes that anybody may have written: it checks each length before it uses
/// it, never allocates more than the bytes it was given justify, and returns kCorrupt.
/// Source: docs/formats/wal.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/units.h"

namespace cairn::wal {

inline constexpr uint64_t kSegmentMagic = 0x4c41574e52494143;  // "CAIRNWAL"
inline constexpr uint32_t kBatchMagic = 0x54425743;            // "CWBT"
inline constexpr uint32_t kSegmentVersion = 1;
inline constexpr uint16_t kBatchVersion = 1;
inline constexpr uint16_t kBatchOpening = 1;
inline constexpr uint16_t kSnapshotResetsLog = 1;
inline constexpr uint64_t kDescriptorBytesMax = 4 * kMiB;
inline constexpr uint64_t kSegmentBytesMin = 256 * kKiB;
inline constexpr uint64_t kSegmentBytesMax = 64 * kMiB;  // block numbers fit 16 bits
static_assert(kSegmentBytesMax / kBlockBytes <= 65536);
inline constexpr uint64_t kBatchesMax = uint64_t{1} << 62;  ///< more than a disk can wear

struct SegmentHeader {
  uint64_t magic = kSegmentMagic;
  uint32_t version = kSegmentVersion;
  uint32_t crc = 0;
  uint64_t sequence = 0;
  uint64_t token = 0;
  uint64_t previous_sequence = 0;
  uint64_t first_batch = 0;
  uint64_t previous_hash = 0;
  uint64_t segment_bytes = 0;
};
static_assert(sizeof(SegmentHeader) == 64);

struct BatchHeader {
  uint32_t magic = kBatchMagic;
  uint16_t version = kBatchVersion;
  uint16_t flags = 0;
  uint32_t crc = 0;
  uint32_t records_count = 0;
  uint64_t sequence = 0;
  uint64_t token = 0;
  uint64_t number = 0;
  uint64_t previous_hash = 0;
  uint64_t durable_up_to = 0;
  uint64_t oldest_sequence = 0;
  uint32_t descriptor_bytes = 0;
  uint32_t payload_bytes = 0;
  uint32_t records_bytes = 0;
  uint32_t reserved = 0;

  uint64_t total_bytes() const { return uint64_t{descriptor_bytes} + payload_bytes; }
};
static_assert(sizeof(BatchHeader) == 80);

enum class RecordKind : uint8_t {
  kEntry = 1,
  kHardState = 2,
  kSnapshot = 3,
  kRemoveGroup = 4,
  kMovedEntry = 5,
  kQuarantine = 6,
  kKnownGap = 7,
};
std::string_view to_string(RecordKind kind);

struct RecordHeader {
  RecordKind kind = RecordKind::kEntry;
  uint8_t type = 0;
  uint16_t flags = 0;
  uint32_t head_bytes = 0;
  uint64_t group = 0;
  uint64_t index = 0;
  uint64_t term = 0;
  uint32_t payload_bytes = 0;
  uint32_t payload_crc = 0;
  uint64_t extra = 0;

  bool is_entry() const { return kind == RecordKind::kEntry || kind == RecordKind::kMovedEntry; }
};
static_assert(sizeof(RecordHeader) == 48);

/// A record as it is appended: on its way to the medium, or kept until it is durable.
struct Record {
  RecordHeader header;
  Buffer head = {};
  Buffer payload = {};  ///< aligned to a block, or empty

  /// What it takes up in a descriptor.
  uint64_t descriptor_bytes() const {
    return sizeof(RecordHeader) + round_up(header.head_bytes, 8);
  }
};

/// A record as it was found; `head` points into the bytes that were decoded.
struct RecordView {
  RecordHeader header;
  ByteView head;
  uint64_t payload_offset = 0;  ///< from the batch's first byte
};

struct BatchView {
  BatchHeader header;
  std::vector<RecordView> records;
};

/// What checksums of a segment continue from.
uint32_t seed_of(uint64_t sequence);
/// Of the batch with this header, whose crc is filled in.
uint64_t hash_of(const BatchHeader& header);

/// The header's whole block; `header.crc` is computed here. `block` has kBlockBytes.
void encode_segment_header(SegmentHeader header, MutableByteView block);
/// kCorrupt: not a header of the segment `sequence`. kUnsupported: sound, of another version.
Result<SegmentHeader> decode_segment_header(ByteView block, uint64_t sequence);

/// Encodes the records into `descriptor`, whose size is header.descriptor_bytes, and returns the
/// header with its counts and crc completed.
BatchHeader encode_descriptor(BatchHeader header, const std::vector<const Record*>& records,
                              MutableByteView descriptor);

/// Whether a batch of the segment may begin here: cheap, to skip what cannot be one.
bool may_be_batch(ByteView bytes, uint64_t sequence);
/// The batch whose descriptor begins at the front of `bytes`; the payloads need not be there.
/// Verifies the descriptor and all lengths in it, not the payloads. `token` 0: any.
Result<BatchView> decode_batch(ByteView bytes, uint64_t sequence, uint64_t token);
/// Whether the payload of `record` is in `batch` (the bytes from the batch's first on) unharmed.
bool payload_is_sound(const RecordView& record, ByteView batch);

std::string segment_name(uint64_t sequence);
/// The sequence in "segment_<16 hex digits>"; nothing for any other name.
std::optional<uint64_t> parse_segment_name(std::string_view name);

}  // namespace cairn::wal
