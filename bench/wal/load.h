/// What the log's benchmarks share: a log with all that it needs, and a load upon it.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "io/real/reactor.h"
#include "store/wal/wal.h"

namespace cairn::bench {

inline constexpr uint64_t kPayloadBytes = 4096;
inline constexpr uint64_t kGroupsCount = 1000;

/// Keeps `depth` appends of 4 KiB under way, spread over the groups, until a time. Each group takes
/// a snapshot mark after so many entries of its own, so that the log does not grow for ever.
class Load : public wal::Listener {
 public:
  Load(io::real::Reactor& reactor, BufferPool& buffers, size_t depth, uint64_t entries_per_mark);
  void run(wal::Wal& log, Instant until);
  void on_durable(wal::Lsn up_to) override;
  void on_failed(Error reason) override;

  uint64_t done() const { return done_; }
  const Histogram& latency_ns() const { return latency_ns_; }

 private:
  struct Append {
    wal::Lsn lsn;
    Instant begun;
  };
  void fill();

  io::real::Reactor& reactor_;
  const size_t depth_;
  const uint64_t entries_per_mark_;
  wal::Wal* wal_ = nullptr;
  Instant until_;
  Buffer payload_;
  Buffer head_;
  std::vector<uint64_t> last_;  ///< index, by group
  uint64_t next_ = 0;
  uint64_t done_ = 0;
  std::deque<Append> under_way_;
  Histogram latency_ns_;
};

/// A log on a directory of its own, which is removed with it unless it is kept.
class BenchLog {
 public:
  BenchLog(const std::string& directory, size_t depth, uint64_t entries_per_mark);
  ~BenchLog();
  BenchLog(const BenchLog&) = delete;
  BenchLog& operator=(const BenchLog&) = delete;

  void open(const wal::WalOptions& options);
  void close();
  void keep() { is_kept_ = true; }
  void run_for(double seconds);

  io::real::Reactor& reactor() { return reactor_; }
  wal::Wal& wal() { return *wal_; }
  Load& load() { return load_; }
  Registry& metrics() { return metrics_; }
  const std::vector<wal::RecoveredGroup>& recovered() const { return recovered_; }
  void forget_recovered() { recovered_ = {}; }

 private:
  const std::string directory_;
  io::real::Reactor reactor_;
  BufferPool buffers_;
  Rng rng_{1};
  Registry metrics_;
  Load load_;
  std::unique_ptr<io::Disk> disk_;
  std::unique_ptr<wal::Wal> wal_;
  std::vector<wal::RecoveredGroup> recovered_;
  bool is_kept_ = false;
};

inline constexpr char kLogName[] = "wal_bench";
void remove_log(const std::string& directory);
double seconds_of(clockid_t clock);

/// Appends at several depths against one plain stream of the same bytes.
void bench_append(const std::string& directory, double seconds);
/// The longest waits while a log grows on a fresh disk, alone and beside a neighbour who flushes.
void bench_fill(const std::string& directory, double seconds);
/// A restart with so much log.
void bench_recover(const std::string& directory, uint64_t log_bytes);

}  // namespace cairn::bench
