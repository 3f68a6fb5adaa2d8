#include "base/metrics.h"

#include <gtest/gtest.h>

namespace cairn {
namespace {

TEST(Histogram, QuantilesAreWithinABucket) {
  Histogram histogram;
  for (uint64_t value = 1; value <= 10'000; ++value) histogram.record(value);
  EXPECT_EQ(histogram.count(), 10'000u);
  EXPECT_NEAR(static_cast<double>(histogram.quantile(0.5)), 5000, 5000 * 0.07);
  EXPECT_NEAR(static_cast<double>(histogram.quantile(0.99)), 9900, 9900 * 0.07);
  EXPECT_EQ(histogram.quantile(1), 10'000u);
}

TEST(Histogram, HoldsAnyValue) {
  Histogram histogram;
  histogram.record(0);
  histogram.record(UINT64_MAX);
  EXPECT_EQ(histogram.max(), UINT64_MAX);
  EXPECT_EQ(histogram.buckets().size(), 2u);
  EXPECT_EQ(histogram.buckets().back().upper_bound, UINT64_MAX);
}

TEST(Registry, GivesTheSameMetricForAName) {
  Registry registry;
  registry.counter("cairn_a_total", "help").add(2);
  registry.counter("cairn_a_total", "help").add(3);
  EXPECT_EQ(registry.render(),
            "# HELP cairn_a_total help\n# TYPE cairn_a_total counter\ncairn_a_total 5\n");
}

TEST(Registry, RendersDurationsInSecondsWithBucketsThatDoNotChange) {
  Registry registry;
  Histogram& durations = registry.durations("cairn_write_seconds", "time of a write");
  const auto lines = [&] {
    const std::string text = registry.render();
    return std::count(text.begin(), text.end(), '\n');
  };
  const auto before = lines();
  durations.record(100);        // 128 us and above
  durations.record(1'000'000);  // 1.05 s and above
  EXPECT_EQ(lines(), before);
  const std::string text = registry.render();
  for (const char* line : {"cairn_write_seconds_bucket{le=\"6.4e-05\"} 0\n",
                           "cairn_write_seconds_bucket{le=\"0.000128\"} 1\n",
                           "cairn_write_seconds_bucket{le=\"0.524288\"} 1\n",
                           "cairn_write_seconds_bucket{le=\"1.048576\"} 2\n",
                           "cairn_write_seconds_bucket{le=\"+Inf\"} 2\n",
                           "cairn_write_seconds_sum 1.0001\n", "cairn_write_seconds_count 2\n"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << text;
  }
}

}  // namespace
}  // namespace cairn
