/// ChunkSource: where a replica gets from other replicas what it lacks, or what has rotted.
#pragma once

#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "io/task.h"
#include "store/chunk/chunk_store.h"

namespace cairn::chunkserver {

/// The mark of a block that cannot be read (docs/formats/chunk.md).
inline constexpr uint32_t kLostMark = 1;

class ChunkSource {
 public:
  struct Request {
    CopysetId copyset;
    ChunkId chunk;
    uint32_t offset_bytes = 0;  ///< multiples of 4096, within the chunk
    uint32_t size_bytes = 0;
    LogIndex applied_min;        ///< the answer holds all that was applied up to here
    std::vector<uint32_t> have;  ///< marks; blocks that have the same there are not sent
    bool is_repair = false;  ///< of blocks that have rotted or differ: any replica may give them
  };
  struct Piece {
    chunk::ChunkImage image;
    LogIndex committed;      ///< the image is not newer than this
    bool is_absent = false;  ///< the source has no such chunk, and there is no image
  };

  virtual ~ChunkSource() = default;
  /// Errors: kCorrupt: the source's blocks have rotted as well (of a repair only). kUnavailable: it
  /// gives nothing, whatever its trouble is.
  virtual io::Task<Result<Piece>> fetch(Request request, NodeId source) = 0;
};

}  // namespace cairn::chunkserver
