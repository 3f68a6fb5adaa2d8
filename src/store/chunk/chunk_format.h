/// The bytes of a chunk file: layout, marks, slots, and which slot to believe. Pure.
///
/// Source: docs/formats/chunk.md.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/units.h"

namespace cairn::chunk {

inline constexpr uint64_t kChunkMagic = 0x4b4e484e52494143;
inline constexpr uint32_t kChunkVersion = 1;
inline constexpr uint64_t kSlotHeaderBytes = kBlockBytes;
inline constexpr uint64_t kChunkBytesMin = 64 * kKiB;
inline constexpr uint64_t kChunkBytesMax = kGiB;

// ---- marks

/// What the table knows of a block.
using Mark = uint32_t;
inline constexpr Mark kHole = 0;
inline constexpr Mark kLost = 1;

/// The mark of a block with this content: never kHole, never kLost.
Mark mark_of(ByteView block);
inline bool is_written(Mark mark) {
  return mark > kLost;
}

// ---- layout

/// Where things are in a file of a chunk of `chunk_bytes`.
struct ChunkLayout {
  uint32_t chunk_bytes = 0;

  size_t blocks_count() const { return chunk_bytes / kBlockBytes; }
  uint64_t table_bytes() const { return blocks_count() * sizeof(Mark); }
  uint64_t slot_bytes() const { return kSlotHeaderBytes + round_up(table_bytes(), kBlockBytes); }
  uint64_t data_offset() const { return round_up(2 * slot_bytes(), 64 * kKiB); }
  uint64_t slot_offset(size_t slot) const { return slot == 0 ? 0 : data_offset() / 2; }
  uint64_t file_bytes() const { return data_offset() + chunk_bytes; }
  uint64_t block_offset(size_t block) const { return data_offset() + block * kBlockBytes; }
};
/// A power of two within the limits.
bool is_valid_chunk_bytes(uint64_t chunk_bytes);

// ---- slots

struct SlotHeader {
  uint64_t magic = kChunkMagic;
  uint32_t version = kChunkVersion;
  uint32_t crc32c = 0;  ///< of this struct with this field zero
  uint64_t generation = 0;
  uint64_t copyset = 0;
  uint64_t chunk = 0;
  uint32_t chunk_bytes = 0;
  uint32_t block_bytes = kBlockBytes;
  uint32_t table_bytes = 0;
  uint32_t table_crc32c = 0;
  uint64_t sequence = 0;            ///< reserved for snapshots
  uint64_t corrected_sequence = 0;  ///< reserved for snapshots
  std::array<uint8_t, 24> reserved{};
};
static_assert(sizeof(SlotHeader) == 96 && std::is_trivially_copyable_v<SlotHeader>);

struct ChunkIdentity {
  CopysetId copyset;
  ChunkId chunk;
  bool operator==(const ChunkIdentity&) const = default;
};

/// Fills `into` (layout.slot_bytes()) with header and table.
void encode_slot(const ChunkLayout& layout, ChunkIdentity identity, uint64_t generation,
                 std::span<const Mark> table, MutableByteView into);

enum class SlotState : uint8_t {
  kZero,     ///< the header is zeros: never written
  kInvalid,  ///< torn, rotten, of another version, size or chunk: `reason` says which
  kValid,
};
struct Slot {
  SlotState state = SlotState::kZero;
  SlotHeader header;
  std::vector<Mark> table;  ///< if valid
  std::string reason;       ///< if not valid
};
/// `identity` absent: any is right (the inspector).
Slot decode_slot(const ChunkLayout& layout, std::optional<ChunkIdentity> identity, ByteView bytes);

/// The slot to which a generation is written first.
constexpr size_t home_slot(uint64_t generation) {
  return generation % 2 == 1 ? 0 : 1;
}

/// What two slots say together.
struct SlotChoice {
  enum class Kind : uint8_t {
    kEmpty,  ///< never flushed: no block is written
    kTable,  ///< believe `slot`
    kLost,   ///< the table is gone
  };
  Kind kind = Kind::kEmpty;
  size_t slot = 0;
  uint64_t next_generation = 1;  ///< its home is never the only good slot
  /// The believed slot may not have reached the medium: sync before the other is overwritten.
  bool needs_sync_first = false;
};
SlotChoice choose_slot(const Slot& a, const Slot& b);

}  // namespace cairn::chunk
