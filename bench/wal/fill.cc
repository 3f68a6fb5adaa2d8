// A log that grows on a fresh disk: the longest wait of an append, and what it waited for. Alone,
// and beside a neighbour that writes files through the page cache and flushes them, as a chunk
// store does at a snapshot: its flushes commit the file system's journal.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <vector>

#include "bench/wal/load.h"

namespace cairn::bench {
namespace {

constexpr size_t kDepth = 128;
// Late enough that the log grows by a segment after the other before any is recycled.
constexpr uint64_t kEntriesPerMark = 512;
constexpr uint64_t kNeighbourFileBytes = 16 * kMiB;
constexpr int kNeighbourFiles = 32;
/// Between two rounds: a neighbour that uses the disk in bursts, not all the time.
constexpr useconds_t kNeighbourPauseUs = 100'000;

/// Writes many new files through the page cache and then flushes one after the other.
[[noreturn]] void be_neighbour(const std::string& directory) {
  const std::vector<char> bytes(kMiB, 'n');
  for (;;) {
    std::vector<int> files;
    for (int i = 0; i < kNeighbourFiles; ++i) {
      const std::string path = directory + "/" + kLogName + "_neighbour_" + std::to_string(i);
      unlink(path.c_str());
      files.push_back(open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
      if (files.back() < 0) _exit(1);
      for (uint64_t at = 0; at < kNeighbourFileBytes; at += bytes.size()) {
        const ssize_t put = write(files.back(), bytes.data(), bytes.size());
        if (put != static_cast<ssize_t>(bytes.size())) _exit(1);
      }
    }
    for (const int file : files) {
      fsync(file);
      close(file);
    }
    usleep(kNeighbourPauseUs);
  }
}

void fill(const std::string& directory, double seconds, bool has_neighbour) {
  remove_log(directory);
  const pid_t neighbour = has_neighbour ? fork() : 0;
  CHECK(neighbour >= 0, "cannot fork");
  if (has_neighbour && neighbour == 0) be_neighbour(directory);
  {
    BenchLog log(directory, kDepth, kEntriesPerMark);
    log.open({});
    const auto before = log.wal().stats();
    log.run_for(seconds);
    const auto after = log.wal().stats();
    const auto us = [&log](double fraction) {
      return static_cast<double>(log.load().latency_ns().quantile(fraction)) / 1e3;
    };
    const Histogram& waits = log.metrics().durations("cairn_wal_segment_wait_seconds", "");
    const Histogram& writes = log.metrics().durations("cairn_wal_write_seconds", "");
    std::printf("%-10s %9.0f %8.0f %8.0f %9.0f %9lu %6lu %9lu %9lu %8lu\n",
                has_neighbour ? "neighbour" : "alone",
                static_cast<double>(log.load().done()) / seconds, us(0.5), us(0.999), us(1),
                writes.max(), waits.count(), waits.max(), waits.sum(),
                after.segments_created - before.segments_created);
    std::fflush(stdout);
  }
  if (has_neighbour) {
    kill(neighbour, SIGKILL);
    waitpid(neighbour, nullptr, 0);
    remove_log(directory);
  }
}

}  // namespace

void bench_fill(const std::string& directory, double seconds) {
  std::printf("a log that grows on a fresh disk, depth %zu; times in us\n", kDepth);
  std::printf("%-10s %9s %8s %8s %9s %9s %6s %9s %9s %8s\n", "", "records/s", "p50", "p99.9", "max",
              "write max", "waits", "wait max", "wait sum", "segments");
  fill(directory, seconds, false);
  fill(directory, seconds, true);
}

}  // namespace cairn::bench
