/// Splits a range of a volume into parts that each lie in one chunk and fit into one RPC: pure.
#pragma once

#include <cstdint>

#include "base/check.h"

namespace cairn::client {

/// How a volume is laid out. Units: bytes.
struct Layout {
  uint64_t segment_bytes = 0;
  uint64_t chunk_bytes = 0;
};

/// A contiguous piece of a request.
struct Part {
  uint64_t offset_in_request_bytes = 0;
  uint64_t segment_index = 0;
  uint32_t chunk_index = 0;  ///< within the segment
  uint32_t offset_in_chunk_bytes = 0;
  uint32_t size_bytes = 0;
};

/// Walks over [offset, offset + size). With `part_bytes_max` > 0 a part also ends at the multiples
/// of it within the chunk, so that all but the first and the last are aligned.
class Splitter {
 public:
  Splitter(Layout layout, uint64_t offset_bytes, uint64_t size_bytes, uint32_t part_bytes_max)
      : layout_(layout),
        begin_(offset_bytes),
        at_(offset_bytes),
        end_(offset_bytes + size_bytes),
        unit_(part_bytes_max > 0 ? part_bytes_max : layout.chunk_bytes) {
    CHECK(layout.chunk_bytes > 0 && layout.chunk_bytes <= UINT32_MAX);
    CHECK(layout.segment_bytes > 0 && layout.segment_bytes % layout.chunk_bytes == 0);
    CHECK(end_ >= begin_, "a range wraps around");
  }

  bool done() const { return at_ == end_; }
  Part next();
  /// Whether what is left goes out as one part.
  bool is_last() const { return end_ - at_ <= step(); }

 private:
  uint64_t step() const {
    const uint64_t in_chunk = at_ % layout_.chunk_bytes;
    const uint64_t to_chunk_end = layout_.chunk_bytes - in_chunk;
    const uint64_t to_unit_end = unit_ - in_chunk % unit_;
    return to_unit_end < to_chunk_end ? to_unit_end : to_chunk_end;
  }

  Layout layout_;
  uint64_t begin_, at_, end_;
  uint64_t unit_;
};

inline Part Splitter::next() {
  CHECK(!done());
  const uint64_t left = end_ - at_;
  const uint64_t size = step() < left ? step() : left;
  Part part;
  part.offset_in_request_bytes = at_ - begin_;
  part.segment_index = at_ / layout_.segment_bytes;
  part.chunk_index = static_cast<uint32_t>(at_ % layout_.segment_bytes / layout_.chunk_bytes);
  part.offset_in_chunk_bytes = static_cast<uint32_t>(at_ % layout_.chunk_bytes);
  part.size_bytes = static_cast<uint32_t>(size);
  at_ += size;
  return part;
}

}  // namespace cairn::client
