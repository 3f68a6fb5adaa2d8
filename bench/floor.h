/// The floor: what this machine's network and disk take at best, measured in the same run as what
/// is compared with it. Plain system calls, nothing of Cairn's runtime.
///
/// A durable write to three replicas cannot take less than two round trips (client to leader,
/// leader to followers) and one durable write while two others write to the same disk; a read no
/// less than one round trip and one read past the page cache.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/result.h"

namespace cairn::bench {

struct Latency {
  double median_us = 0;
  double p99_us = 0;
  size_t samples_count = 0;
};

struct Floor {
  Latency echo;         ///< 4 KiB there and back over loopback TCP, two processes
  Latency dsync3;       ///< 4 KiB O_DIRECT | O_DSYNC write while two others do the same
  Latency direct_read;  ///< 4 KiB O_DIRECT read at random

  double write_us() const { return 2 * echo.median_us + dsync3.median_us; }
  double read_us() const { return echo.median_us + direct_read.median_us; }
  std::string to_json() const;
};

struct FloorOptions {
  std::string directory;         ///< on the disk in question; its files are removed afterwards
  double seconds_each = 2;       ///< for each of the three measurements
  size_t file_bytes = 64 << 20;  ///< of each writer; written once before the measurement
};

/// Forks: call it while the process has one thread.
Result<Floor> measure_floor(FloorOptions options);

}  // namespace cairn::bench
