/// Segments: where the chunks of one volume lie.
///
/// What is allocated stays where it is, so it is kept for good (1 KiB for each GiB that is used).
/// That a segment is *not* allocated is never kept: another client may allocate it and write, and a
/// read that begins afterwards has to see that.
/// Threads: the reactor's.
#pragma once

#include <memory>
#include <unordered_map>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/units.h"
#include "client/split.h"
#include "io/sync.h"

namespace cairn::client {

struct Shared;

struct ChunkPlace {
  ChunkId chunk;
  CopysetId copyset;
};
using Segment = std::vector<ChunkPlace>;

class Segments {
 public:
  Segments(Shared& shared, VolumeId volume, Fence fence, Layout layout);
  ~Segments();
  Segments(const Segments&) = delete;
  Segments& operator=(const Segments&) = delete;

  /// Null: not known; ask fetch(). The pointer stays good.
  const Segment* find(uint64_t segment_index) const;
  /// Asks the MDS. Null where nothing is allocated and `allocate` is false. kStaleFence: the volume
  /// has a newer owner.
  io::Task<Result<const Segment*>> fetch(uint64_t segment_index, bool allocate, Instant deadline);

 private:
  io::Task<Result<const Segment*>> ask(uint64_t segment_index, bool allocate, Instant deadline);

  Shared& shared_;
  const VolumeId volume_;
  const Fence fence_;
  const Layout layout_;
  std::unordered_map<uint64_t, Segment> known_;
  /// Allocations under way: who needs the same one waits. At most one a segment.
  std::unordered_map<uint64_t, std::unique_ptr<io::Event>> allocating_;
};

}  // namespace cairn::client
