#include "wire/chunk_op.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "base/crc32c.h"

namespace cairn::wire {
namespace {

ChunkOp sample() {
  ChunkOp op;
  op.kind = ChunkOpKind::kWriteZeroes;
  op.chunk = ChunkId(7);
  op.volume = VolumeId(3);
  op.fence = Fence(9);
  op.offset_bytes = 8192;
  op.size_bytes = 4096;
  op.client = 0x1122334455667788;
  op.sequence = 42;
  op.oldest_unresolved_sequence = 40;
  return op;
}

TEST(ChunkOp, ReadsBackWhatWasWritten) {
  const Buffer bytes = encode(sample());
  auto op = decode_chunk_op(bytes.view());
  ASSERT_TRUE(op.ok());
  EXPECT_EQ(*op, sample());
}

TEST(ChunkOp, KnowsItsKindsAndNoOthers) {
  for (uint8_t kind = 0; kind < 9; ++kind) {
    ChunkOp op = sample();
    op.kind = static_cast<ChunkOpKind>(kind);
    const bool is_known = kind >= 1 && kind <= static_cast<uint8_t>(ChunkOpKind::kDiscard);
    EXPECT_EQ(decode_chunk_op(encode(op).view()).ok(), is_known) << int{kind};
  }
}

/// With its checksum made right again.
Buffer with_byte(Buffer image, size_t at, uint8_t value) {
  std::vector<std::byte> bytes(image.view().begin(), image.view().end());
  bytes[at] = std::byte{value};
  std::fill_n(bytes.begin() + 4, 4, std::byte{0});
  const uint32_t crc = crc32c(bytes);
  std::ranges::copy(bytes_of(crc), bytes.begin() + 4);
  return Buffer::copy_of(bytes);
}

TEST(ChunkOp, RefusesARangeThatIsNotOfWholeBlocks) {
  const Buffer sound = encode(sample());
  EXPECT_TRUE(decode_chunk_op(with_byte(sound, 33, 0x10).view()).ok());
  EXPECT_EQ(decode_chunk_op(with_byte(sound, 33, 0x02).view()).code(), Errc::kCorrupt);
  EXPECT_EQ(decode_chunk_op(with_byte(sound, 36, 0x01).view()).code(), Errc::kCorrupt);
}

TEST(ChunkOp, KeepsItsBytesFromReleaseToRelease) {
  std::string hex;
  const Buffer bytes = encode(sample());
  for (std::byte b : bytes.view()) {
    static constexpr char kDigits[] = "0123456789abcdef";
    hex += kDigits[static_cast<int>(b) >> 4];
    hex += kDigits[static_cast<int>(b) & 15];
  }
  EXPECT_EQ(hex.substr(0, 8), "9ac00102");
  EXPECT_EQ(hex.substr(16),
            "0700000000000000"
            "0300000000000000"
            "0900000000000000"
            "00200000"
            "00100000"
            "8877665544332211"
            "2a00000000000000"
            "2800000000000000");
}

TEST(ChunkOp, AnyFlippedBitIsFound) {
  const Buffer bytes = encode(sample());
  for (size_t bit = 0; bit < bytes.size_bytes() * 8; ++bit) {
    Buffer copy = Buffer::copy_of(bytes.view());
    copy.mutable_view()[bit / 8] ^= std::byte(1 << (bit % 8));
    EXPECT_FALSE(decode_chunk_op(copy.view()).ok()) << "bit " << bit;
  }
}

TEST(ChunkOp, ATruncatedOneIsRefused) {
  const Buffer bytes = encode(sample());
  EXPECT_EQ(decode_chunk_op(bytes.view().first(63)).code(), Errc::kCorrupt);
  EXPECT_EQ(decode_chunk_op({}).code(), Errc::kCorrupt);
}

}  // namespace
}  // namespace cairn::wire
