#include "wire/chunk_op.h"

#include "base/crc32c.h"
#include "base/units.h"

namespace cairn::wire {

namespace {

constexpr uint16_t kMagic = 0xc09a;
constexpr uint8_t kVersion = 1;
constexpr auto kKindMax = static_cast<uint8_t>(ChunkOpKind::kDiscard);

struct ChunkOpImage {
  uint16_t magic;
  uint8_t version;
  uint8_t kind;
  uint32_t crc32c;  ///< of the whole image with this field zero
  uint64_t chunk;
  uint64_t volume;
  uint64_t fence;
  uint32_t offset_bytes;
  uint32_t size_bytes;
  uint64_t client;
  uint64_t sequence;
  uint64_t oldest_unresolved_sequence;
};
static_assert(sizeof(ChunkOpImage) == 64);

uint32_t checksum(ChunkOpImage image) {
  image.crc32c = 0;
  return crc32c(bytes_of(image));
}

}  // namespace

Buffer encode(const ChunkOp& op) {
  CHECK(is_block_aligned(op.offset_bytes) && is_block_aligned(op.size_bytes));
  ChunkOpImage image{};
  image.magic = kMagic;
  image.version = kVersion;
  image.kind = static_cast<uint8_t>(op.kind);
  image.chunk = op.chunk.value();
  image.volume = op.volume.value();
  image.fence = op.fence.value();
  image.offset_bytes = op.offset_bytes;
  image.size_bytes = op.size_bytes;
  image.client = op.client;
  image.sequence = op.sequence;
  image.oldest_unresolved_sequence = op.oldest_unresolved_sequence;
  image.crc32c = checksum(image);
  return Buffer::copy_of(bytes_of(image));
}

Result<ChunkOp> decode_chunk_op(ByteView bytes) {
  if (bytes.size() != sizeof(ChunkOpImage)) {
    return error(Errc::kCorrupt, "a chunk operation has " + std::to_string(bytes.size()) +
                                     " bytes instead of " + std::to_string(sizeof(ChunkOpImage)));
  }
  const auto image = load<ChunkOpImage>(bytes);
  if (image.magic != kMagic || image.crc32c != checksum(image)) {
    return error(Errc::kCorrupt, "a chunk operation's magic or checksum does not match");
  }
  if (image.version != kVersion) {
    return error(Errc::kUnsupported, "a chunk operation of version " +
                                         std::to_string(image.version) +
                                         "; this release knows version 1");
  }
  if (image.kind < 1 || image.kind > kKindMax) {
    return error(Errc::kCorrupt, "a chunk operation of unknown kind " + std::to_string(image.kind));
  }
  if (!is_block_aligned(image.offset_bytes) || !is_block_aligned(image.size_bytes)) {
    return error(Errc::kCorrupt, "a chunk operation's range is not of whole blocks");
  }
  const uint64_t ahead = image.sequence - image.oldest_unresolved_sequence;
  const bool in_window =
      image.sequence >= image.oldest_unresolved_sequence && ahead < kWriterWindow;
  if (image.client != 0 && !in_window) {
    return error(Errc::kCorrupt, "a chunk operation is outside its writer's window");
  }
  ChunkOp op;
  op.kind = static_cast<ChunkOpKind>(image.kind);
  op.chunk = ChunkId(image.chunk);
  op.volume = VolumeId(image.volume);
  op.fence = Fence(image.fence);
  op.offset_bytes = image.offset_bytes;
  op.size_bytes = image.size_bytes;
  op.client = image.client;
  op.sequence = image.sequence;
  op.oldest_unresolved_sequence = image.oldest_unresolved_sequence;
  return op;
}

}  // namespace cairn::wire
