// A restart: how long it takes to read back a log of so many bytes of 1,000 groups, and how much
// memory that needs.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <ctime>
#include <string>

#include "bench/wal/load.h"

namespace cairn::bench {
namespace {

constexpr size_t kDepth = 512;

uint64_t peak_bytes() {
  rusage usage{};
  CHECK(getrusage(RUSAGE_SELF, &usage) == 0);
  return static_cast<uint64_t>(usage.ru_maxrss) * kKiB;
}

/// The restart shall not share the device with what was written before it. (The log itself is read
/// past the page cache.)
void settle_disk(const std::string& directory) {
  const int fd = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  CHECK(fd >= 0, "cannot open the directory");
  CHECK(syncfs(fd) == 0);
  close(fd);
}

/// In a process of its own, so that the restart's memory is its own, too.
void make_log(const std::string& directory, const wal::WalOptions& options, uint64_t log_bytes) {
  BenchLog log(directory, kDepth, UINT64_MAX);
  log.keep();
  log.open(options);
  while (log.wal().log_bytes() < log_bytes) log.run_for(0.05);
}

void restart(const std::string& directory, const wal::WalOptions& options) {
  BenchLog log(directory, 1, UINT64_MAX);
  const uint64_t peak_before = peak_bytes();
  const double cpu_begun = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
  const double begun = seconds_of(CLOCK_MONOTONIC);
  log.open(options);
  const double taken = seconds_of(CLOCK_MONOTONIC) - begun;
  const double cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu_begun;
  const uint64_t peak = peak_bytes() - peak_before;
  uint64_t entries_count = 0;
  for (const wal::RecoveredGroup& group : log.recovered()) {
    CHECK(group.quarantine_reason.empty());
    entries_count += group.entries.size();
  }
  CHECK(log.recovered().size() == kGroupsCount);
  std::printf(
      "restart: %.2f s (%.2f s of CPU) for %.2f GiB in %lu segments: %lu entries of %lu "
      "groups; peak memory %.0f MiB, %.0f bytes an entry\n",
      taken, cpu, static_cast<double>(log.wal().log_bytes()) / static_cast<double>(kGiB),
      log.wal().recovery().segments_count, entries_count, log.recovered().size(),
      static_cast<double>(peak) / static_cast<double>(kMiB),
      static_cast<double>(peak) / static_cast<double>(entries_count));
}

}  // namespace

void bench_recover(const std::string& directory, uint64_t log_bytes) {
  remove_log(directory);
  const wal::WalOptions options{.wal_bytes_max = 4 * log_bytes};
  const pid_t maker = fork();
  CHECK(maker >= 0, "cannot fork");
  if (maker == 0) {
    make_log(directory, options, log_bytes);
    _exit(0);
  }
  int status = 0;
  CHECK(waitpid(maker, &status, 0) == maker && status == 0, "the log was not made");
  settle_disk(directory);
  restart(directory, options);
}

}  // namespace cairn::bench
