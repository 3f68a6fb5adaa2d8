/// Splits a range of a volume into parts that each lie in one chunk and fit into one RPC: pure.
#pragma once

#include <cstdint>

#include "base/check.h"
#include "wire/stripes.h"

namespace cairn::client {

using wire::Layout;

/// A piece of a request that is one range of one chunk.
struct Part {
  uint64_t offset_in_request_bytes = 0;  ///< of a Splitter's part; a ChunkSplitter's has none
  uint64_t segment_index = 0;
  uint32_t chunk_index = 0;  ///< within the segment
  uint32_t offset_in_chunk_bytes = 0;
  uint32_t size_bytes = 0;
};

/// Walks over [offset, offset + size) in the volume's order: each part is contiguous there too, so
/// it can carry data. With `part_bytes_max` > 0 a part also ends at the multiples of it within the
/// chunk, so that all but the first and the last are aligned.
class Splitter {
 public:
  Splitter(Layout layout, uint64_t offset_bytes, uint64_t size_bytes, uint32_t part_bytes_max)
      : layout_(layout),
        begin_(offset_bytes),
        at_(offset_bytes),
        end_(offset_bytes + size_bytes),
        unit_(part_bytes_max > 0 ? part_bytes_max : layout.chunk_bytes) {
    CHECK(wire::is_sound(layout));
    CHECK(end_ >= begin_, "a range wraps around");
  }

  bool done() const { return at_ == end_; }
  Part next();
  /// No range of the size has more parts.
  uint64_t parts_max() const {
    return (end_ - begin_) / unit_ + (end_ - begin_) / layout_.unit_bytes() + 4;
  }

 private:
  Layout layout_;
  uint64_t begin_, at_, end_;
  uint64_t unit_;
};

inline Part Splitter::next() {
  CHECK(!done());
  const wire::Place place = wire::place_of(layout_, at_);
  const uint64_t to_unit_end = unit_ - place.offset_in_chunk_bytes % unit_;
  Part part;
  part.offset_in_request_bytes = at_ - begin_;
  part.segment_index = place.segment_index;
  part.chunk_index = place.chunk_index;
  part.offset_in_chunk_bytes = place.offset_in_chunk_bytes;
  part.size_bytes =
      static_cast<uint32_t>(std::min({end_ - at_, place.contiguous_bytes, to_unit_end}));
  at_ += part.size_bytes;
  return part;
}

/// Walks over the same range chunk by chunk: one part for each that the range touches, however many
/// stripes of it lie there. For what carries no data.
class ChunkSplitter {
 public:
  ChunkSplitter(Layout layout, uint64_t offset_bytes, uint64_t size_bytes)
      : layout_(layout), at_(offset_bytes), end_(offset_bytes + size_bytes) {
    CHECK(wire::is_sound(layout));
    CHECK(end_ >= at_, "a range wraps around");
    skip_empty_columns();
  }

  bool done() const { return at_ == end_; }
  Part next();

 private:
  uint64_t set_begin() const { return at_ / layout_.set_bytes() * layout_.set_bytes(); }
  /// Of the part of the range that lies in the present set.
  uint64_t piece_end() const { return std::min(end_, set_begin() + layout_.set_bytes()); }
  uint64_t column_begin() const { return wire::column_bytes(layout_, at_ - set_begin(), column_); }
  uint64_t column_end() const {
    return wire::column_bytes(layout_, piece_end() - set_begin(), column_);
  }
  void skip_empty_columns() {
    while (!done() && column_begin() == column_end()) go_on();
  }
  void go_on() {
    if (++column_ < layout_.columns()) return;
    at_ = piece_end();
    column_ = 0;
  }

  Layout layout_;
  uint64_t at_, end_;  ///< `at_` is where the range, or a set, begins
  uint64_t column_ = 0;
};

inline Part ChunkSplitter::next() {
  CHECK(!done());
  const uint64_t first_chunk = set_begin() % layout_.segment_bytes / layout_.chunk_bytes;
  Part part;
  part.segment_index = at_ / layout_.segment_bytes;
  part.chunk_index = static_cast<uint32_t>(first_chunk + column_);
  part.offset_in_chunk_bytes = static_cast<uint32_t>(column_begin());
  part.size_bytes = static_cast<uint32_t>(column_end() - column_begin());
  go_on();
  skip_empty_columns();
  return part;
}

}  // namespace cairn::client
