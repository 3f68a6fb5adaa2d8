/// ChunkOp: the head of a copyset's log entry: what to do to which chunk. The bytes to write are
/// the entry's payload. Source: docs/formats/chunk-op.md.
#pragma once

#include <cstdint>

#include "base/buffer.h"
#include "base/ids.h"
#include "base/result.h"

namespace cairn::wire {

/// How far a client's writes to a copyset may be ahead of its oldest unresolved one.
inline constexpr uint64_t kWriterWindow = 1024;

enum class ChunkOpKind : uint8_t {
  kWrite = 1,        ///< the payload replaces [offset, offset + size)
  kWriteZeroes = 2,  ///< the range reads as zeros
  kDelete = 3,       ///< the chunk is gone; deleting an absent one changes nothing
  kRaiseFence = 4,   ///< the volume's fence is at least this one from here on; no chunk
  kScan = 5,         ///< changes nothing: every replica keeps its marks of the chunk as of here
  kDiscard = 6,      ///< a client's write of zeros over a whole chunk, which is gone until it is
                     ///< written again; discarding an absent one changes nothing
};

struct ChunkOp {
  ChunkOpKind kind = ChunkOpKind::kWrite;
  ChunkId chunk;
  VolumeId volume;
  Fence fence;
  uint32_t offset_bytes = 0;  ///< in the chunk; a multiple of 4096, and so is the size
  uint32_t size_bytes = 0;
  uint64_t client = 0;    ///< who wrote, and
  uint64_t sequence = 0;  ///< which of its writes this is: what a late duplicate is known by
  uint64_t oldest_unresolved_sequence = 0;

  bool operator==(const ChunkOp&) const = default;
};

/// 64 bytes, with a checksum of its own.
Buffer encode(const ChunkOp& op);
/// kCorrupt: wrong size, magic, checksum, kind or range. kUnsupported: a version of the future.
Result<ChunkOp> decode_chunk_op(ByteView bytes);

}  // namespace cairn::wire
