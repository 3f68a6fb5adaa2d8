#include "wire/stripes.h"

#include <gtest/gtest.h>

#include <vector>

namespace cairn::wire {
namespace {

/// Small numbers, so that every byte can be looked at in the units that matter.
constexpr uint32_t kUnit = kStripeUnitBytesMin;

Layout striped(uint64_t chunks_per_segment, uint64_t units_per_chunk, uint32_t count) {
  Layout layout{.segment_bytes = chunks_per_segment * units_per_chunk * kUnit,
                .chunk_bytes = units_per_chunk * kUnit,
                .stripe_unit_bytes = kUnit,
                .stripe_count = count};
  EXPECT_TRUE(is_sound(layout));
  return layout;
}

std::vector<Layout> layouts() {
  return {striped(2, 1, 2),   striped(4, 3, 2),
          striped(6, 2, 3),   striped(8, 5, 4),
          striped(12, 4, 12), {.segment_bytes = 16 * kBlockBytes, .chunk_bytes = 4 * kBlockBytes}};
}

TEST(Stripes, FillTheChunksOfASetInTurnAndThenTheNextSet) {
  const Layout layout = striped(4, 2, 2);
  const auto at = [&](uint64_t unit) { return place_of(layout, unit * kUnit); };
  EXPECT_EQ(at(0), (Place{0, 0, 0, kUnit}));
  EXPECT_EQ(at(1), (Place{0, 1, 0, kUnit}));
  EXPECT_EQ(at(2), (Place{0, 0, kUnit, kUnit}));
  EXPECT_EQ(at(3), (Place{0, 1, kUnit, kUnit}));
  EXPECT_EQ(at(4), (Place{0, 2, 0, kUnit}));
  EXPECT_EQ(at(7), (Place{0, 3, kUnit, kUnit}));
  EXPECT_EQ(at(8), (Place{1, 0, 0, kUnit}));
  EXPECT_EQ(place_of(layout, 3 * kUnit + 5), (Place{0, 1, kUnit + 5, kUnit - 5}));
}

TEST(Stripes, EveryByteHasOnePlaceAndEveryPlaceOneByte) {
  for (const Layout& layout : layouts()) {
    const uint64_t step = kBlockBytes / 2;  // whatever lies between follows contiguous_bytes
    const uint64_t chunks = layout.segment_bytes / layout.chunk_bytes;
    std::vector<std::vector<bool>> taken(2 * chunks,
                                         std::vector<bool>(layout.chunk_bytes / step, false));
    for (uint64_t offset = 0; offset < 2 * layout.segment_bytes; offset += step) {
      const Place place = place_of(layout, offset);
      ASSERT_EQ(place.segment_index, offset / layout.segment_bytes);
      ASSERT_LT(place.chunk_index, chunks);
      ASSERT_EQ(place.offset_in_chunk_bytes % step, 0u);
      ASSERT_LT(place.offset_in_chunk_bytes, layout.chunk_bytes);
      auto slot = taken[place.segment_index * chunks + place.chunk_index].begin() +
                  place.offset_in_chunk_bytes / step;
      ASSERT_FALSE(*slot) << "two bytes in one place, at " << offset;
      *slot = true;
    }
    for (const auto& chunk : taken) {
      for (const bool is_taken : chunk) ASSERT_TRUE(is_taken);
    }
  }
}

TEST(Stripes, WhatIsCalledContiguousIs) {
  for (const Layout& layout : layouts()) {
    for (uint64_t offset = 0; offset < 2 * layout.segment_bytes; offset += 1021) {
      const Place here = place_of(layout, offset);
      ASSERT_GT(here.contiguous_bytes, 0u);
      const Place last = place_of(layout, offset + here.contiguous_bytes - 1);
      ASSERT_EQ(last.segment_index, here.segment_index);
      ASSERT_EQ(last.chunk_index, here.chunk_index);
      ASSERT_EQ(last.offset_in_chunk_bytes, here.offset_in_chunk_bytes + here.contiguous_bytes - 1);
      ASSERT_EQ(last.contiguous_bytes, 1u);
    }
  }
}

TEST(Stripes, TheFirstBytesOfASetAreTheFirstBytesOfItsChunks) {
  for (const Layout& layout : layouts()) {
    const uint64_t step = kBlockBytes / 2;
    std::vector<uint64_t> counted(layout.columns(), 0);
    for (uint64_t in_set = 0; in_set <= layout.set_bytes(); in_set += step) {
      for (uint64_t column = 0; column < layout.columns(); ++column) {
        ASSERT_EQ(column_bytes(layout, in_set, column), counted[column]) << in_set;
      }
      if (in_set == layout.set_bytes()) break;
      const Place place = place_of(layout, in_set);
      ASSERT_EQ(place.offset_in_chunk_bytes, counted[place.chunk_index]);
      counted[place.chunk_index] += step;
    }
  }
}

TEST(Stripes, OnlyNumbersThatFitEachOtherAreSound) {
  const Layout good = striped(8, 4, 4);
  EXPECT_TRUE(is_sound({.segment_bytes = kGiB, .chunk_bytes = 16 * kMiB}));
  const auto with = [&](auto change) {
    Layout layout = good;
    change(layout);
    return is_sound(layout);
  };
  EXPECT_FALSE(is_sound(Layout()));
  EXPECT_FALSE(with([](Layout& l) { l.stripe_count = 3; })) << "sets do not fill the segment";
  EXPECT_FALSE(with([](Layout& l) { l.stripe_count = 1; }));
  EXPECT_FALSE(with([](Layout& l) { l.stripe_count = 0; }));
  EXPECT_FALSE(with([](Layout& l) { l.stripe_unit_bytes = 0; }));
  EXPECT_FALSE(with([](Layout& l) { l.stripe_unit_bytes = kUnit / 2; })) << "too small";
  EXPECT_FALSE(with([](Layout& l) { l.stripe_unit_bytes = kUnit + 512; }));
  EXPECT_FALSE(with([](Layout& l) { l.stripe_unit_bytes = 3 * kUnit; })) << "does not fill a chunk";
  EXPECT_TRUE(with([](Layout& l) { l.stripe_unit_bytes = 2 * kUnit; }));
  EXPECT_TRUE(with([](Layout& l) { l.stripe_count = 8; }));
  EXPECT_FALSE(with([](Layout& l) { l.stripe_count = 16; })) << "more than a segment has";
}

}  // namespace
}  // namespace cairn::wire
