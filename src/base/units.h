/// Sizes and times. A name ends with its unit: size_bytes, timeout_ms; a Duration needs none.
#pragma once

#include <chrono>
#include <cstdint>

namespace cairn {

inline constexpr uint64_t kKiB = 1024;
inline constexpr uint64_t kMiB = 1024 * kKiB;
inline constexpr uint64_t kGiB = 1024 * kMiB;

/// The unit of checksums, of linearizability and of direct I/O.
inline constexpr uint64_t kBlockBytes = 4 * kKiB;

constexpr bool is_block_aligned(uint64_t bytes) {
  return bytes % kBlockBytes == 0;
}
constexpr uint64_t round_up(uint64_t value, uint64_t unit) {
  return (value + unit - 1) / unit * unit;
}

using Duration = std::chrono::nanoseconds;
using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""us;
using std::chrono_literals::operator""ns;
using std::chrono_literals::operator""s;

/// The time line of io::Clock: monotonic, goes on while the machine sleeps, means nothing
/// elsewhere.
struct MonotonicClock {
  using duration = Duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<MonotonicClock>;
  static constexpr bool is_steady = true;
};
using Instant = MonotonicClock::time_point;

inline int64_t to_ms(Duration d) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(d).count();
}
inline int64_t to_us(Duration d) {
  return std::chrono::duration_cast<std::chrono::microseconds>(d).count();
}

}  // namespace cairn
