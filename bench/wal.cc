/// What the write-ahead log costs: durable appends of 4 KiB entries over 1,000 groups, against one
/// plain stream of O_DIRECT | O_DSYNC writes that carry the same bytes in batches of the same size,
/// in the same run.
///
///   cairn_bench_wal DIRECTORY [SECONDS]     per measurement, 2 unless told; medians of three
///   rounds
/// The plain stream writes no record but what the log's batches came to, so 1.00 means that the log
/// costs nothing beside the device; several writes in flight can pass it.
#include "store/wal/wal.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

#include "io/real/reactor.h"

namespace cairn::bench {
namespace {

constexpr uint64_t kPayloadBytes = 4096;
constexpr uint64_t kGroupsCount = 1000;
constexpr uint64_t kEntriesPerMark = 32;
constexpr uint64_t kFloorFileBytes = 256 * kMiB;
constexpr int kRoundsCount = 3;

double seconds_of(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
}

struct Measured {
  double rate = 0;       ///< records a second
  double cpu_us = 0;     ///< a record
  double median_us = 0;  ///< from append to durable
  double records_per_flush = 0;
  double flushes_per_batch = 0;
  double amplification = 0;  ///< bytes written for a byte of payload
  double bytes_per_flush = 0;
};

/// Keeps `depth` appends under way until a time.
class Load : public wal::Listener {
 public:
  Load(io::real::Reactor& reactor, BufferPool& buffers, size_t depth)
      : reactor_(reactor), depth_(depth), last_(kGroupsCount) {
    payload_ = buffers.allocate_zeroed(kPayloadBytes);
    head_ = Buffer::copy_of(std::string(64, 'h'));
  }
  void run(wal::Wal& log, Instant until) {
    wal_ = &log;
    until_ = until;
    fill();
    reactor_.run();
  }
  void on_durable(wal::Lsn up_to) override {
    const Instant now = reactor_.clock().now();
    while (!under_way_.empty() && under_way_.front().lsn <= up_to) {
      latency_ns_.record(static_cast<uint64_t>((now - under_way_.front().begun).count()));
      under_way_.pop_front();
      ++done_;
    }
    if (now < until_) {
      fill();
    } else if (under_way_.empty()) {
      reactor_.stop();
    }
  }
  void on_failed(Error reason) override { check_failed(reason.message().c_str(), __FILE__, 0); }

  uint64_t done() const { return done_; }
  const Histogram& latency_ns() const { return latency_ns_; }

 private:
  struct Append {
    wal::Lsn lsn;
    Instant begun;
  };
  void fill() {
    const Instant now = reactor_.clock().now();
    while (under_way_.size() < depth_) {
      const uint64_t group = next_++ % kGroupsCount;
      const uint64_t index = ++last_[group];
      const GroupId id(group + 1);
      const wal::Entry entry{
          .term = Term(1), .index = LogIndex(index), .type = 1, .head = head_, .payload = payload_};
      under_way_.push_back({wal_->append_entry(id, entry), now});
      if (index % kEntriesPerMark == 0) {
        wal_->append_snapshot(id, {.index = LogIndex(index - 1), .term = Term(1), .data = {}},
                              false);
      }
    }
  }

  io::real::Reactor& reactor_;
  const size_t depth_;
  wal::Wal* wal_ = nullptr;
  Instant until_;
  Buffer payload_;
  Buffer head_;
  std::vector<uint64_t> last_;
  uint64_t next_ = 0;
  uint64_t done_ = 0;
  std::deque<Append> under_way_;
  Histogram latency_ns_;
};

void remove_log(const std::string& directory) {
  const std::string command = "rm -rf '" + directory + "/wal_bench'";
  CHECK(std::system(command.c_str()) == 0);
}

Measured run_wal(const std::string& directory, size_t depth, double seconds) {
  remove_log(directory);
  io::real::Reactor reactor;
  BufferPool buffers;
  Rng rng(1);
  Registry metrics;
  const io::Env env{reactor,  reactor.clock(), reactor.network(), reactor.entropy(), buffers, rng,
                    Logger(), metrics};
  auto disk = reactor.open_disk(directory);
  CHECK(disk.ok(), disk.ok() ? "" : disk.error().message());
  Load load(reactor, buffers, depth);
  wal::WalOptions options;
  options.directory = "wal_bench";
  options.segments_ready_min = 4;
  std::vector<wal::RecoveredGroup> recovered;
  auto opened = reactor.run_until_done(wal::Wal::open(env, **disk, options, load, &recovered));
  CHECK(opened.ok(), opened.ok() ? "" : opened.error().message());
  auto& log = **opened;
  // The segments that the run will turn over are written once before it begins.
  load.run(log, reactor.clock().now() + std::chrono::seconds(1));
  const auto before = log.stats();
  const uint64_t done_before = load.done();
  const double cpu_before = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
  const double begun = seconds_of(CLOCK_MONOTONIC);
  load.run(log, reactor.clock().now() + Duration(static_cast<int64_t>(seconds * 1e9)));
  const double taken = seconds_of(CLOCK_MONOTONIC) - begun;
  const double cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu_before;
  const auto after = log.stats();
  const auto done = static_cast<double>(load.done() - done_before);
  const auto flushes = static_cast<double>(after.flushes_count - before.flushes_count);
  const auto written = static_cast<double>(after.written_bytes - before.written_bytes);
  Measured measured{
      .rate = done / taken,
      .cpu_us = cpu * 1e6 / done,
      .median_us = static_cast<double>(load.latency_ns().quantile(0.5)) / 1e3,
      .records_per_flush = done / flushes,
      .flushes_per_batch =
          flushes / static_cast<double>(after.batches_count - before.batches_count),
      .amplification = written / static_cast<double>(after.payload_bytes - before.payload_bytes),
      .bytes_per_flush = written / flushes};
  reactor.run_until_done(log.stop());
  opened->reset();
  disk->reset();
  remove_log(directory);
  return measured;
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
}  // namespace cairn::bench

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3) {
    std::fprintf(stderr, "usage: cairn_bench_wal DIRECTORY [SECONDS]\n");
    return 2;
  }
  const double seconds = argc > 2 ? std::atof(argv[2]) : 2;
  std::printf("4 KiB entries of 1,000 groups; floor: one stream of O_DIRECT|O_DSYNC writes\n");
  std::printf("%6s %10s %10s %7s %9s %7s %9s %8s %8s\n", "depth", "records/s", "floor/s", "ratio",
              "p50 us", "cpu us", "rec/flush", "fl/batch", "amplif.");
  for (const size_t depth : std::array<size_t, 4>{1, 32, 128, 512}) {
    cairn::bench::compare(argv[1], depth, seconds);
  }
}
