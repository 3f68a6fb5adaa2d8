#include "store/chunk/chunk_format.h"

#include "base/crc32c.h"

namespace cairn::chunk {

namespace {

uint32_t header_crc(SlotHeader header) {
  header.crc32c = 0;
  return crc32c(bytes_of(header));
}

bool is_zero(ByteView bytes) {
  return std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; });
}

/// Why the header is not to be believed; empty: it is.
std::string fault_of(const SlotHeader& header, const ChunkLayout& layout,
                     std::optional<ChunkIdentity> identity) {
  if (header.magic != kChunkMagic) return "no chunk header";
  if (header.crc32c != header_crc(header)) return "the header's checksum does not match";
  if (header.version != kChunkVersion) {
    return "format version " + std::to_string(header.version) + " is not known here";
  }
  if (header.generation == 0) return "generation 0 is never written";
  if (header.copyset == 0 || header.chunk == 0) return "it belongs to no chunk";
  if (header.chunk_bytes != layout.chunk_bytes || header.block_bytes != kBlockBytes ||
      header.table_bytes != layout.table_bytes()) {
    return "it is of a chunk of " + std::to_string(header.chunk_bytes) + " bytes";
  }
  if (identity &&
      (header.copyset != identity->copyset.value() || header.chunk != identity->chunk.value())) {
    return "it belongs to chunk " + std::to_string(header.chunk) + " of copyset " +
           std::to_string(header.copyset);
  }
  return {};
}

}  // namespace

Mark mark_of(ByteView block) {
  DCHECK(block.size() == kBlockBytes);
  const uint32_t checksum = crc32c(block);
  return checksum <= kLost ? checksum + 2 : checksum;
}

bool is_valid_chunk_bytes(uint64_t chunk_bytes) {
  return std::has_single_bit(chunk_bytes) && chunk_bytes >= kChunkBytesMin &&
         chunk_bytes <= kChunkBytesMax;
}

void encode_slot(const ChunkLayout& layout, ChunkIdentity identity, uint64_t generation,
                 std::span<const Mark> table, MutableByteView into) {
  CHECK(into.size() == layout.slot_bytes());
  CHECK(table.size() == layout.blocks_count());
  CHECK(generation > 0);
  CHECK(!identity.chunk.is_none() && !identity.copyset.is_none());
  std::ranges::fill(into, std::byte{0});
  std::memcpy(into.data() + kSlotHeaderBytes, table.data(), table.size_bytes());
  SlotHeader header;
  header.generation = generation;
  header.copyset = identity.copyset.value();
  header.chunk = identity.chunk.value();
  header.chunk_bytes = layout.chunk_bytes;
  header.table_bytes = static_cast<uint32_t>(layout.table_bytes());
  header.table_crc32c = crc32c(into.subspan(kSlotHeaderBytes, layout.table_bytes()));
  header.crc32c = header_crc(header);
  store(into, header);
}

Slot decode_slot(const ChunkLayout& layout, std::optional<ChunkIdentity> identity, ByteView bytes) {
  CHECK(bytes.size() == layout.slot_bytes());
  Slot slot;
  slot.header = load<SlotHeader>(bytes);
  if (is_zero(bytes.first(kSlotHeaderBytes))) {
    slot.reason = "never written";
    return slot;
  }
  slot.state = SlotState::kInvalid;
  slot.reason = fault_of(slot.header, layout, identity);
  if (!slot.reason.empty()) return slot;
  const ByteView table = bytes.subspan(kSlotHeaderBytes, layout.table_bytes());
  if (crc32c(table) != slot.header.table_crc32c) {
    slot.reason = "the table's checksum does not match";
    return slot;
  }
  slot.table.resize(layout.blocks_count());
  std::memcpy(slot.table.data(), table.data(), table.size());
  slot.state = SlotState::kValid;
  return slot;
}

SlotChoice choose_slot(const Slot& a, const Slot& b) {
  SlotChoice choice;
  const bool a_valid = a.state == SlotState::kValid;
  const bool b_valid = b.state == SlotState::kValid;
  if (!a_valid && !b_valid) {
    // Slot B is first written after slot A was synced with generation 1.
    const bool never_flushed = b.state == SlotState::kZero;
    choice.kind = never_flushed ? SlotChoice::Kind::kEmpty : SlotChoice::Kind::kLost;
    return choice;
  }
  choice.kind = SlotChoice::Kind::kTable;
  const uint64_t generation_a = a_valid ? a.header.generation : 0;
  const uint64_t generation_b = b_valid ? b.header.generation : 0;
  const uint64_t newest = std::max(generation_a, generation_b);
  if (generation_a == generation_b) {
    // The copy was made after the home slot was synced.
    choice.slot = home_slot(newest);
  } else {
    choice.slot = generation_a > generation_b ? 0 : 1;
    choice.needs_sync_first = true;
  }
  choice.next_generation = newest + 1;
  if (home_slot(choice.next_generation) == choice.slot) ++choice.next_generation;
  CHECK(home_slot(choice.next_generation) != choice.slot);
  return choice;
}

}  // namespace cairn::chunk
