/// How the bytes of a volume lie in the chunks of its segments: pure. One truth for the MDS, which
/// checks it at creation, and for clients, which find their way by it.
///
/// A segment has segment_bytes / chunk_bytes chunks. Without stripes they follow one another. With
/// stripes, `stripe_count` chunks make a set: the volume's bytes go to the chunks of a set in turn,
/// `stripe_unit_bytes` to each, until all are full, and on to the next set. Sets fill a segment
/// exactly.
/// Units: bytes.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/check.h"
#include "base/units.h"

namespace cairn::wire {

inline constexpr uint32_t kStripeUnitBytesMin = 16 * kKiB;
inline constexpr uint32_t kStripeCountMax = 64;

struct Layout {
  uint64_t segment_bytes = 0;
  uint64_t chunk_bytes = 0;
  uint32_t stripe_unit_bytes = 0;  ///< 0: no stripes
  uint32_t stripe_count = 0;       ///< 0 where the unit is, else 2 or more

  bool operator==(const Layout&) const = default;
  bool has_stripes() const { return stripe_unit_bytes != 0; }
  /// Without stripes a set is one chunk, and its one unit fills it.
  uint64_t unit_bytes() const { return has_stripes() ? stripe_unit_bytes : chunk_bytes; }
  uint64_t columns() const { return has_stripes() ? stripe_count : 1; }
  uint64_t set_bytes() const { return chunk_bytes * columns(); }
};

/// Whether the numbers fit each other as described above.
constexpr bool is_sound(const Layout& layout) {
  const bool has_chunks = layout.chunk_bytes > 0 && layout.chunk_bytes <= UINT32_MAX &&
                          is_block_aligned(layout.chunk_bytes) && layout.segment_bytes > 0 &&
                          layout.segment_bytes % layout.chunk_bytes == 0;
  if (!has_chunks) return false;
  if (layout.stripe_unit_bytes == 0) return layout.stripe_count == 0;
  return layout.stripe_unit_bytes >= kStripeUnitBytesMin &&
         is_block_aligned(layout.stripe_unit_bytes) &&
         layout.chunk_bytes % layout.stripe_unit_bytes == 0 && layout.stripe_count >= 2 &&
         layout.stripe_count <= kStripeCountMax &&
         layout.segment_bytes / layout.chunk_bytes % layout.stripe_count == 0;
}

/// Where one byte of a volume lies.
struct Place {
  uint64_t segment_index = 0;
  uint32_t chunk_index = 0;  ///< within the segment
  uint32_t offset_in_chunk_bytes = 0;
  uint64_t contiguous_bytes = 0;  ///< from here on the volume's bytes are the chunk's, so many

  bool operator==(const Place&) const = default;
};

inline Place place_of(const Layout& layout, uint64_t offset_bytes) {
  DCHECK(is_sound(layout));
  const uint64_t in_segment = offset_bytes % layout.segment_bytes;
  const uint64_t in_set = in_segment % layout.set_bytes();
  const uint64_t unit = layout.unit_bytes();
  const uint64_t unit_index = in_set / unit;
  const uint64_t in_unit = in_set % unit;
  Place place;
  place.segment_index = offset_bytes / layout.segment_bytes;
  place.chunk_index = static_cast<uint32_t>(in_segment / layout.set_bytes() * layout.columns() +
                                            unit_index % layout.columns());
  place.offset_in_chunk_bytes =
      static_cast<uint32_t>(unit_index / layout.columns() * unit + in_unit);
  place.contiguous_bytes = unit - in_unit;
  return place;
}

/// How many of the first `in_set_bytes` of a set lie in its chunk of that column: they are the
/// chunk's first, so that a range of a set is one range of each of its chunks.
inline uint64_t column_bytes(const Layout& layout, uint64_t in_set_bytes, uint64_t column) {
  DCHECK(is_sound(layout) && in_set_bytes <= layout.set_bytes() && column < layout.columns());
  const uint64_t unit = layout.unit_bytes();
  const uint64_t row_bytes = unit * layout.columns();
  const uint64_t rest = in_set_bytes % row_bytes;
  const uint64_t before = column * unit;
  const uint64_t of_rest = rest > before ? std::min(rest - before, unit) : 0;
  return in_set_bytes / row_bytes * unit + of_rest;
}

}  // namespace cairn::wire
