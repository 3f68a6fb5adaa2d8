/// Counters, gauges and histograms, rendered in Prometheus's text format.
///
/// A component asks the process's Registry for its metrics once, in its constructor, and keeps the
/// references; an update is an addition. Names follow cairn_<part>_<what>_<unit>[_total].
/// Threads: one reactor.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace cairn {

class Counter {
 public:
  void add(uint64_t n = 1) { value_ += n; }
  uint64_t value() const { return value_; }

 private:
  uint64_t value_ = 0;
};

class Gauge {
 public:
  void set(int64_t value) { value_ = value; }
  void add(int64_t n) { value_ += n; }
  int64_t value() const { return value_; }

 private:
  int64_t value_ = 0;
};

/// Log-linear buckets, 16 a power of two (within 6 % of the true value), over all of uint64_t.
/// Records in a few nanoseconds; nothing is allocated after construction.
class Histogram {
 public:
  Histogram();
  void record(uint64_t value);
  void merge(const Histogram& other);
  uint64_t count() const { return count_; }
  uint64_t sum() const { return sum_; }
  uint64_t max() const { return max_; }
  /// The value below which `fraction` of the recorded ones lie (the bucket's upper bound).
  uint64_t quantile(double fraction) const;
  struct Bucket {
    uint64_t upper_bound = 0;
    uint64_t count = 0;
  };
  std::vector<Bucket> buckets() const;  ///< those that are not empty, ascending

 private:
  static constexpr size_t kSubBuckets = 16;
  static constexpr size_t kBucketsCount = 61 * kSubBuckets;
  static size_t index_of(uint64_t value);
  static uint64_t upper_bound_of(size_t index);
  std::vector<uint64_t> counts_;
  uint64_t count_ = 0;
  uint64_t sum_ = 0;
  uint64_t max_ = 0;
};

/// Asking twice for a name gives the same object; a name keeps its kind.
class Registry {
 public:
  Counter& counter(std::string_view name, std::string_view help);
  Gauge& gauge(std::string_view name, std::string_view help);
  /// Durations, recorded in microseconds; `name` ends in _seconds, as which they are rendered, in
  /// buckets that are the same in every process: powers of two of a microsecond up to a minute.
  Histogram& durations(std::string_view name, std::string_view help);
  /// Prometheus's text exposition, ordered by name.
  std::string render() const;

 private:
  struct Metric {
    std::string help;
    std::unique_ptr<Counter> counter;
    std::unique_ptr<Gauge> gauge;
    std::unique_ptr<Histogram> histogram;
  };
  Metric& metric(std::string_view name, std::string_view help);
  std::map<std::string, Metric, std::less<>> metrics_;
};

}  // namespace cairn
