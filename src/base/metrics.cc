#include "base/metrics.h"

#include <algorithm>
#include <bit>
#include <cstdio>

#include "base/check.h"

namespace cairn {

Histogram::Histogram() : counts_(kBucketsCount) {}

size_t Histogram::index_of(uint64_t value) {
  if (value < kSubBuckets) return value;
  const int exponent = std::bit_width(value) - 5;  // the top five bits choose the bucket
  return static_cast<size_t>(exponent + 1) * kSubBuckets + ((value >> exponent) - kSubBuckets);
}

uint64_t Histogram::upper_bound_of(size_t index) {
  if (index < kSubBuckets) return index;
  const size_t exponent = index / kSubBuckets - 1;
  const uint64_t first = (kSubBuckets + index % kSubBuckets) << exponent;
  return first + ((uint64_t{1} << exponent) - 1);
}

void Histogram::record(uint64_t value) {
  ++counts_[index_of(value)];
  ++count_;
  sum_ += value;
  max_ = std::max(max_, value);
}

void Histogram::merge(const Histogram& other) {
  for (size_t i = 0; i < kBucketsCount; ++i) counts_[i] += other.counts_[i];
  count_ += other.count_;
  sum_ += other.sum_;
  max_ = std::max(max_, other.max_);
}

uint64_t Histogram::quantile(double fraction) const {
  CHECK(fraction >= 0 && fraction <= 1);
  if (count_ == 0) return 0;
  const auto rank = static_cast<uint64_t>(fraction * static_cast<double>(count_ - 1)) + 1;
  uint64_t seen = 0;
  for (size_t i = 0; i < kBucketsCount; ++i) {
    seen += counts_[i];
    if (seen >= rank) return std::min(upper_bound_of(i), max_);
  }
  return max_;
}

std::vector<Histogram::Bucket> Histogram::buckets() const {
  std::vector<Bucket> filled;
  for (size_t i = 0; i < kBucketsCount; ++i) {
    if (counts_[i] > 0) filled.push_back({upper_bound_of(i), counts_[i]});
  }
  return filled;
}

Registry::Metric& Registry::metric(std::string_view name, std::string_view help) {
  auto found = metrics_.find(name);
  if (found == metrics_.end()) {
    found = metrics_.emplace(std::string(name), Metric{}).first;
    found->second.help = help;
  }
  return found->second;
}

Counter& Registry::counter(std::string_view name, std::string_view help) {
  Metric& m = metric(name, help);
  CHECK(!m.gauge && !m.histogram, name);
  if (!m.counter) m.counter = std::make_unique<Counter>();
  return *m.counter;
}

Gauge& Registry::gauge(std::string_view name, std::string_view help) {
  Metric& m = metric(name, help);
  CHECK(!m.counter && !m.histogram, name);
  if (!m.gauge) m.gauge = std::make_unique<Gauge>();
  return *m.gauge;
}

Histogram& Registry::durations(std::string_view name, std::string_view help) {
  CHECK(name.ends_with("_seconds"), name);
  Metric& m = metric(name, help);
  CHECK(!m.counter && !m.gauge, name);
  if (!m.histogram) m.histogram = std::make_unique<Histogram>();
  return *m.histogram;
}

namespace {

std::string seconds(uint64_t microseconds) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.9g", static_cast<double>(microseconds) / 1e6);
  return text;
}

void render_durations(const std::string& name, const Histogram& durations, std::string* text) {
  constexpr int kBoundsCount = 27;  // 1 us, 2 us, ..., 67 s
  const auto buckets = durations.buckets();
  auto next = buckets.begin();
  uint64_t below = 0;
  for (int i = 0; i < kBoundsCount; ++i) {
    const uint64_t bound = uint64_t{1} << i;
    while (next != buckets.end() && next->upper_bound <= bound) below += (next++)->count;
    *text += name + "_bucket{le=\"" + seconds(bound) + "\"} " + std::to_string(below) + "\n";
  }
  const std::string count = std::to_string(durations.count());
  *text += name + "_bucket{le=\"+Inf\"} " + count + "\n";
  *text += name + "_sum " + seconds(durations.sum()) + "\n" + name + "_count " + count + "\n";
}

}  // namespace

std::string Registry::render() const {
  std::string text;
  for (const auto& [name, m] : metrics_) {
    text += "# HELP " + name + " " + m.help + "\n";
    text += "# TYPE " + name;
    if (m.counter) {
      text += " counter\n" + name + " " + std::to_string(m.counter->value()) + "\n";
    } else if (m.gauge) {
      text += " gauge\n" + name + " " + std::to_string(m.gauge->value()) + "\n";
    } else {
      text += " histogram\n";
      render_durations(name, *m.histogram, &text);
    }
  }
  return text;
}

}  // namespace cairn
