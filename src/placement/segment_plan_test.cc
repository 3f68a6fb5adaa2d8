#include "placement/segment_plan.h"

#include <gtest/gtest.h>

#include <map>

#include "base/units.h"

namespace cairn::placement {
namespace {

std::vector<CopysetSpace> copysets_of(size_t count, uint64_t capacity_bytes, uint64_t free_bytes) {
  std::vector<CopysetSpace> copysets;
  for (size_t i = 1; i <= count; ++i) {
    copysets.push_back({CopysetId(i), capacity_bytes, free_bytes});
  }
  return copysets;
}

std::map<CopysetId, int> count(const std::vector<CopysetId>& plan) {
  std::map<CopysetId, int> counts;
  for (CopysetId id : plan) ++counts[id];
  return counts;
}

TEST(SegmentPlan, ChunksSpreadOverDifferentCopysetsWhereThereAreEnough) {
  Rng rng(1);
  const auto plan = plan_segment(copysets_of(100, 1000 * kGiB, 900 * kGiB), {}, rng);
  ASSERT_TRUE(plan.ok());
  ASSERT_EQ(plan->size(), 64u);
  EXPECT_EQ(count(*plan).size(), 64u);
}

TEST(SegmentPlan, FewCopysetsTakeEqualNumbersOfChunks) {
  Rng rng(2);
  auto copysets = copysets_of(10, 1000 * kGiB, 900 * kGiB);
  copysets[3].free_bytes = 200 * kGiB;
  const auto plan = plan_segment(copysets, {}, rng);
  ASSERT_TRUE(plan.ok());
  const auto counts = count(*plan);
  EXPECT_EQ(counts.size(), 10u);
  for (const auto& [id, chunks] : counts) {
    EXPECT_GE(chunks, 6) << to_string(id);
    EXPECT_LE(chunks, 7) << to_string(id);
  }
}

TEST(SegmentPlan, FullDisksGetNothing) {
  Rng rng(3);
  auto copysets = copysets_of(80, 1000 * kGiB, 500 * kGiB);
  for (size_t i = 0; i < 40; ++i) copysets[i].free_bytes = 99 * kGiB;  // over 90 % used
  const auto plan =
      plan_segment(copysets, {.fill = {.fill_max = 0.9, .headroom_bytes_max = 500 * kGiB}}, rng);
  ASSERT_TRUE(plan.ok());
  for (CopysetId id : *plan) EXPECT_GT(id.value(), 40u);
}

TEST(SegmentPlan, NoSpaceAnywhereIsAnErrorThatSaysWhatToDo) {
  Rng rng(4);
  const auto full = plan_segment(copysets_of(5, 1000 * kGiB, 10 * kGiB), {}, rng);
  EXPECT_EQ(full.code(), Errc::kNoSpace);
  EXPECT_NE(full.error().message().find("add chunkservers"), std::string::npos);
  EXPECT_EQ(plan_segment({}, {}, rng).code(), Errc::kNoSpace);
}

TEST(SegmentPlan, TheHighWaterMarkIsAPartOfASmallDiskAndAnAmountOfALargeOne) {
  const FillLimits limits{.fill_max = 0.9, .headroom_bytes_max = 16 * kGiB};
  EXPECT_TRUE(is_full(10 * kGiB, kGiB - 1, limits));
  EXPECT_FALSE(is_full(10 * kGiB, kGiB, limits));
  EXPECT_TRUE(is_full(10'000 * kGiB, 16 * kGiB - 1, limits));
  EXPECT_FALSE(is_full(10'000 * kGiB, 16 * kGiB, limits));
  EXPECT_TRUE(is_full(0, 0, limits));
  EXPECT_TRUE(is_full(kGiB, 0, {.fill_max = 1, .headroom_bytes_max = 0}));
}

TEST(SegmentPlan, MoreFreeSpaceAttractsMoreChunks) {
  Rng rng(5);
  auto copysets = copysets_of(200, 1000 * kGiB, 200 * kGiB);
  for (size_t i = 0; i < 100; ++i) copysets[i].free_bytes = 800 * kGiB;
  int on_roomy = 0;
  for (int segment = 0; segment < 200; ++segment) {
    const auto plan = plan_segment(copysets, {.chunks_per_segment = 10}, rng);
    ASSERT_TRUE(plan.ok());
    for (CopysetId id : *plan) on_roomy += id.value() <= 100 ? 1 : 0;
  }
  // Four to one by weight: 1600 of 2000 on average, with a standard deviation under 20.
  EXPECT_GT(on_roomy, 1500);
  EXPECT_LT(on_roomy, 1700);
}

TEST(SegmentPlan, EveryRandomClusterGetsWholeSegmentsWithinItsLimits) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Rng rng(seed);
    std::vector<CopysetSpace> copysets;
    size_t usable = 0;
    const SegmentPlanLimits limits{
        .chunks_per_segment = static_cast<uint32_t>(rng.between(1, 128)),
        .fill = {.fill_max = 0.5 + rng.unit() / 2, .headroom_bytes_max = rng.below(4'000) * kGiB}};
    const uint64_t copysets_count = rng.between(1, 300);
    for (uint64_t i = 1; i <= copysets_count; ++i) {
      const uint64_t capacity = rng.below(10'000) * kGiB;
      copysets.push_back({CopysetId(i), capacity, capacity == 0 ? 0 : rng.below(capacity)});
      if (!is_full(capacity, copysets.back().free_bytes, limits.fill)) ++usable;
    }
    const auto plan = plan_segment(copysets, limits, rng);
    ASSERT_EQ(plan.ok(), usable > 0);
    if (!plan.ok()) continue;
    ASSERT_EQ(plan->size(), limits.chunks_per_segment);
    const auto counts = count(*plan);
    EXPECT_EQ(counts.size(), std::min<size_t>(usable, limits.chunks_per_segment));
    const auto most = static_cast<int>((limits.chunks_per_segment + usable - 1) / usable);
    for (const auto& [id, chunks] : counts) {
      const CopysetSpace& space = copysets[id.value() - 1];
      EXPECT_FALSE(is_full(space.capacity_bytes, space.free_bytes, limits.fill));
      EXPECT_LE(chunks, most);
    }
  }
}

}  // namespace
}  // namespace cairn::placement
