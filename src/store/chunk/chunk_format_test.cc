#include "store/chunk/chunk_format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/buffer.h"
#include "base/crc32c.h"

namespace cairn::chunk {
namespace {

constexpr ChunkLayout kSmall{64 * kKiB};
constexpr ChunkIdentity kIdentity{CopysetId(7), ChunkId(1234567)};

Buffer slot_bytes(uint64_t generation, Mark first_mark = kHole,
                  ChunkIdentity identity = kIdentity) {
  std::vector<Mark> table(kSmall.blocks_count(), kHole);
  table[0] = first_mark;
  Buffer bytes = Buffer::allocate(kSmall.slot_bytes());
  encode_slot(kSmall, identity, generation, table, bytes.mutable_view());
  return bytes;
}
Slot valid(uint64_t generation) {
  return decode_slot(kSmall, kIdentity, slot_bytes(generation).view());
}
Slot torn() {
  Buffer bytes = slot_bytes(1);
  bytes.mutable_view()[40] ^= std::byte{1};
  return decode_slot(kSmall, kIdentity, bytes.view());
}
Slot zero() {
  Buffer bytes = Buffer::allocate(kSmall.slot_bytes());
  std::ranges::fill(bytes.mutable_view(), std::byte{0});
  return decode_slot(kSmall, kIdentity, bytes.view());
}

TEST(ChunkLayout, IsWhatTheFormatDocumentSays) {
  const ChunkLayout usual{16 * kMiB};
  EXPECT_EQ(usual.blocks_count(), 4096u);
  EXPECT_EQ(usual.slot_bytes(), 20 * kKiB);
  EXPECT_EQ(usual.slot_offset(1), 32 * kKiB);
  EXPECT_EQ(usual.data_offset(), 64 * kKiB);
  EXPECT_EQ(usual.file_bytes(), 16 * kMiB + 64 * kKiB);
  for (uint64_t bytes = kChunkBytesMin; bytes <= kChunkBytesMax; bytes *= 2) {
    const ChunkLayout layout{static_cast<uint32_t>(bytes)};
    EXPECT_GE(layout.slot_offset(1), layout.slot_bytes()) << bytes;
    EXPECT_GE(layout.data_offset(), layout.slot_offset(1) + layout.slot_bytes()) << bytes;
    EXPECT_TRUE(is_valid_chunk_bytes(bytes));
    EXPECT_FALSE(is_valid_chunk_bytes(bytes + 4096));
  }
  EXPECT_FALSE(is_valid_chunk_bytes(32 * kKiB));
  EXPECT_FALSE(is_valid_chunk_bytes(0));
}

TEST(ChunkMark, IsTheChecksumAndNeverTheMarkOfAHoleOrALostBlock) {
  const std::vector<std::byte> zeros(kBlockBytes);
  EXPECT_EQ(mark_of(zeros), 0x98f94189u) << "a block of zeros that was written is no hole";
  EXPECT_TRUE(is_written(mark_of(zeros)));
  EXPECT_FALSE(is_written(kHole));
  EXPECT_FALSE(is_written(kLost));
  // Blocks whose checksums are 0 and 1, found by solving for the last four bytes.
  for (const uint32_t wanted : {0u, 1u}) {
    std::vector<std::byte> block(kBlockBytes, std::byte{0x5a});
    const MutableByteView tail = MutableByteView(block).last(4);
    // CRC is affine in the last 32 bits: collect the effect of each bit, then eliminate.
    store(tail, uint32_t{0});
    const uint32_t base = crc32c(block);
    std::array<std::pair<uint32_t, uint32_t>, 32> rows;
    for (int bit = 0; bit < 32; ++bit) {
      store(tail, uint32_t{1} << bit);
      rows[static_cast<size_t>(bit)] = {crc32c(block) ^ base, uint32_t{1} << bit};
    }
    uint32_t left = wanted ^ base;
    uint32_t solution = 0;
    for (int bit = 31; bit >= 0; --bit) {
      const uint32_t top = uint32_t{1} << bit;
      auto pivot = std::ranges::find_if(rows, [&](auto& row) {
        return (row.first & top) != 0 && std::bit_floor(row.first) == top;
      });
      ASSERT_NE(pivot, rows.end());
      const auto chosen = *pivot;
      for (auto& row : rows) {
        if (&row == &*pivot || (row.first & top) == 0) continue;
        row = {row.first ^ chosen.first, row.second ^ chosen.second};
      }
      if ((left & top) != 0) {
        left ^= chosen.first;
        solution ^= chosen.second;
      }
    }
    store(tail, solution);
    ASSERT_EQ(crc32c(block), wanted);
    EXPECT_EQ(mark_of(block), wanted + 2);
  }
}

TEST(ChunkSlot, IsWhatTheFormatDocumentSays) {
  // Computed apart from this code, from the format document.
  const std::string golden =
      "434149524e484e4b01000000aa2898780300000000000000070000000000000087d612000000000000000100"
      "0010000040000000052a292200000000000000000000000000000000";
  const Buffer bytes = slot_bytes(3, 0x98f94189);
  std::string hex;
  for (const std::byte b : bytes.view().first(72)) {
    hex += "0123456789abcdef"[static_cast<int>(b) >> 4];
    hex += "0123456789abcdef"[static_cast<int>(b) & 15];
  }
  EXPECT_EQ(hex, golden);
  EXPECT_EQ(load<Mark>(bytes.view().subspan(4096)), 0x98f94189u);
}

TEST(ChunkSlot, ReadsBackWhatWasWritten) {
  const Buffer bytes = slot_bytes(9, 77);
  const Slot slot = decode_slot(kSmall, kIdentity, bytes.view());
  ASSERT_EQ(slot.state, SlotState::kValid) << slot.reason;
  EXPECT_EQ(slot.header.generation, 9u);
  EXPECT_EQ(slot.table.size(), 16u);
  EXPECT_EQ(slot.table[0], 77u);
}

TEST(ChunkSlot, EveryFlippedBitOfHeaderAndTableIsFound) {
  Buffer bytes = slot_bytes(3, 5);
  const size_t table_end = kSlotHeaderBytes + kSmall.table_bytes();
  for (size_t at = 0; at < table_end; ++at) {
    if (at == sizeof(SlotHeader)) at = kSlotHeaderBytes;  // between them nothing is stored
    for (int bit = 0; bit < 8; ++bit) {
      bytes.mutable_view()[at] ^= std::byte{1} << bit;
      const Slot slot = decode_slot(kSmall, kIdentity, bytes.view());
      EXPECT_EQ(slot.state, SlotState::kInvalid) << at << " " << bit;
      EXPECT_FALSE(slot.reason.empty());
      bytes.mutable_view()[at] ^= std::byte{1} << bit;
    }
  }
}

TEST(ChunkSlot, OfNoChunkIsNotBelieved) {
  Buffer bytes = slot_bytes(3);
  auto header = load<SlotHeader>(bytes.view());
  header.chunk = 0;
  header.crc32c = 0;
  header.crc32c = crc32c(bytes_of(header));
  store(bytes.mutable_view(), header);
  EXPECT_EQ(decode_slot(kSmall, std::nullopt, bytes.view()).reason, "it belongs to no chunk");
}

TEST(ChunkSlot, OfAnotherChunkOrCopysetIsNotBelieved) {
  const Buffer bytes = slot_bytes(3);
  for (const ChunkIdentity other :
       {ChunkIdentity{CopysetId(7), ChunkId(1)}, ChunkIdentity{CopysetId(8), ChunkId(1234567)}}) {
    const Slot slot = decode_slot(kSmall, other, bytes.view());
    EXPECT_EQ(slot.state, SlotState::kInvalid);
    EXPECT_THAT(slot.reason, testing::HasSubstr("belongs to chunk 1234567 of copyset 7"));
  }
  EXPECT_EQ(decode_slot(kSmall, std::nullopt, bytes.view()).state, SlotState::kValid);
}

TEST(ChooseSlot, NeverFlushedIsTheSecondSlotZeroAndNoFirst) {
  for (const Slot& a : {zero(), torn()}) {
    const SlotChoice choice = choose_slot(a, zero());
    EXPECT_EQ(choice.kind, SlotChoice::Kind::kEmpty);
    EXPECT_EQ(choice.next_generation, 1u);
  }
}

TEST(ChooseSlot, BothGoneIsALostTable) {
  EXPECT_EQ(choose_slot(torn(), torn()).kind, SlotChoice::Kind::kLost);
  EXPECT_EQ(choose_slot(zero(), torn()).kind, SlotChoice::Kind::kLost);
}

TEST(ChooseSlot, BelievesTheNewestAndNeverOverwritesIt) {
  struct Case {
    Slot a, b;
    size_t slot;
    uint64_t next;
    bool sync_first;
  };
  const std::vector<Case> cases = {
      {valid(1), zero(), 0, 2, true},     // killed in the first flush, or rot of the copy
      {valid(1), valid(1), 0, 2, false},  // at rest
      {valid(2), valid(2), 1, 3, false},
      {valid(1), valid(2), 1, 3, true},  // killed in the second
      {valid(3), valid(2), 0, 4, true},
      {torn(), valid(2), 1, 3, true},  // torn in the third
      {valid(1), torn(), 0, 2, true},
      {torn(), valid(1), 1, 3, true},  // the home slot of 1 is rotten: skip a generation
      {valid(2), torn(), 0, 4, true},
  };
  for (size_t i = 0; i < cases.size(); ++i) {
    const SlotChoice choice = choose_slot(cases[i].a, cases[i].b);
    EXPECT_EQ(choice.kind, SlotChoice::Kind::kTable) << i;
    EXPECT_EQ(choice.slot, cases[i].slot) << i;
    EXPECT_EQ(choice.next_generation, cases[i].next) << i;
    EXPECT_EQ(choice.needs_sync_first, cases[i].sync_first) << i;
    EXPECT_NE(home_slot(choice.next_generation), choice.slot) << i;
  }
}

}  // namespace
}  // namespace cairn::chunk
