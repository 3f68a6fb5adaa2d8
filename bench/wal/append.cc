// Durable appends of 4 KiB entries over 1,000 groups, against one plain stream of O_DIRECT|O_DSYNC
// writes that carry the same bytes in batches of the same size, in the same run. The plain stream
// writes no record but what the log's batches came to, so 1.00 means that the log costs nothing
// beside the device; several writes in flight can pass it.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>
#include <string>
#include <vector>

#include "bench/wal/load.h"

namespace cairn::bench {
namespace {

constexpr uint64_t kEntriesPerMark = 32;
constexpr uint64_t kFloorFileBytes = 256 * kMiB;
constexpr int kRoundsCount = 3;
constexpr int kWarmUpRoundsMax = 16;

struct Measured {
  double rate = 0;       ///< records a second
  double cpu_us = 0;     ///< a record
  double median_us = 0;  ///< from append to durable
  double records_per_flush = 0;
  double flushes_per_batch = 0;
  double amplification = 0;  ///< bytes written for a byte of payload
  double bytes_per_flush = 0;
};

/// Until the log turns over segments that it has: those were written once before.
void warm_up(BenchLog& log) {
  uint64_t created = 0;
  for (int round = 0; round < kWarmUpRoundsMax; ++round) {
    log.run_for(0.5);
    const auto stats = log.wal().stats();
    if (stats.segments_created == created && stats.segments_recycled > 0) return;
    created = stats.segments_created;
  }
}

Measured run_wal(const std::string& directory, size_t depth, double seconds) {
  remove_log(directory);
  BenchLog log(directory, depth, kEntriesPerMark);
  log.open({});
  warm_up(log);
  const auto before = log.wal().stats();
  const uint64_t done_before = log.load().done();
  const double cpu_before = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
  const double begun = seconds_of(CLOCK_MONOTONIC);
  log.run_for(seconds);
  const double taken = seconds_of(CLOCK_MONOTONIC) - begun;
  const double cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu_before;
  const auto after = log.wal().stats();
  const auto done = static_cast<double>(log.load().done() - done_before);
  const auto flushes = static_cast<double>(after.flushes_count - before.flushes_count);
  const auto written = static_cast<double>(after.written_bytes - before.written_bytes);
  return {
      .rate = done / taken,
      .cpu_us = cpu * 1e6 / done,
      .median_us = static_cast<double>(log.load().latency_ns().quantile(0.5)) / 1e3,
      .records_per_flush = done / flushes,
      .flushes_per_batch =
          flushes / static_cast<double>(after.batches_count - before.batches_count),
      .amplification = written / static_cast<double>(after.payload_bytes - before.payload_bytes),
      .bytes_per_flush = written / flushes};
}

/// Records a second if each write of `batch_bytes` carries `records_per_flush` of them.
double run_floor(const std::string& directory, double batch_bytes, double records_per_flush,
                 double seconds) {
  const std::string path = directory + "/wal_bench_floor";
  const int file = open(path.c_str(), O_CREAT | O_RDWR | O_DIRECT | O_DSYNC | O_CLOEXEC, 0600);
  CHECK(file >= 0, "cannot make the floor's file");
  BufferPool buffers;
  const Buffer zeroes = buffers.allocate_zeroed(4 * kMiB);
  for (uint64_t at = 0; at < kFloorFileBytes; at += zeroes.size_bytes()) {
    const ssize_t put = pwrite(file, zeroes.data(), zeroes.size_bytes(), static_cast<off_t>(at));
    CHECK(put == static_cast<ssize_t>(zeroes.size_bytes()));
  }
  const uint64_t size_bytes =
      std::clamp(round_up(static_cast<uint64_t>(batch_bytes), kBlockBytes), kBlockBytes, 4 * kMiB);
  uint64_t writes = 0;
  uint64_t at = 0;
  const double begun = seconds_of(CLOCK_MONOTONIC);
  double now = begun;
  while (now - begun < seconds) {
    const ssize_t put = pwrite(file, zeroes.data(), size_bytes, static_cast<off_t>(at));
    CHECK(put == static_cast<ssize_t>(size_bytes));
    ++writes;
    at += size_bytes;
    if (at + size_bytes > kFloorFileBytes) at = 0;
    now = seconds_of(CLOCK_MONOTONIC);
  }
  close(file);
  unlink(path.c_str());
  return static_cast<double>(writes) * records_per_flush / (now - begun);
}

void compare(const std::string& directory, size_t depth, double seconds) {
  std::vector<Measured> rounds;
  std::vector<double> ratios;
  std::vector<double> floors;
  for (int round = 0; round < kRoundsCount; ++round) {
    rounds.push_back(run_wal(directory, depth, seconds));
    const Measured& last = rounds.back();
    floors.push_back(run_floor(directory, last.bytes_per_flush, last.records_per_flush, seconds));
    ratios.push_back(last.rate / floors.back());
  }
  std::ranges::sort(rounds, {}, &Measured::rate);
  std::ranges::sort(ratios);
  std::ranges::sort(floors);
  const Measured& median = rounds[kRoundsCount / 2];
  std::printf("%6zu %10.0f %10.0f %7.2f %9.0f %7.2f %9.1f %8.2f %8.2f\n", depth, median.rate,
              floors[kRoundsCount / 2], ratios[kRoundsCount / 2], median.median_us, median.cpu_us,
              median.records_per_flush, median.flushes_per_batch, median.amplification);
  std::fflush(stdout);
}

}  // namespace

void bench_append(const std::string& directory, double seconds) {
  std::printf("4 KiB entries of 1,000 groups; floor: one stream of O_DIRECT|O_DSYNC writes\n");
  std::printf("%6s %10s %10s %7s %9s %7s %9s %8s %8s\n", "depth", "records/s", "floor/s", "ratio",
              "p50 us", "cpu us", "rec/flush", "fl/batch", "amplif.");
  for (const size_t depth : std::array<size_t, 4>{1, 32, 128, 512}) {
    compare(directory, depth, seconds);
  }
}

}  // namespace cairn::bench
