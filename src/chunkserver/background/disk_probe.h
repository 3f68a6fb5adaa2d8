/// DiskProbe: notices a disk that does not answer although nobody writes to it.
///
/// The log's watchdog sees a write that hangs; a server that is only read from, or idle, has none.
/// The probe writes one block durably now and then, and tells when that fails or does not end, and
/// how long it takes.
/// Threads:  one reactor.
/// Lifetime: the disk and the host outlive the probe. A write that hangs outlives it: what that
/// needs
///           is shared.
#pragma once

#include <deque>
#include <memory>

#include "io/disk.h"
#include "io/env.h"
#include "multiraft/host.h"

namespace cairn::chunkserver {

struct DiskProbeOptions {
  Duration interval = 2s;
  Duration hang_max = 5s;
};

class DiskProbe {
 public:
  DiskProbe(io::Env env, io::Disk& disk, multiraft::Host& host, DiskProbeOptions options = {});
  ~DiskProbe();
  DiskProbe(const DiskProbe&) = delete;
  DiskProbe& operator=(const DiskProbe&) = delete;

  void start();
  /// No write begins from now on; one that is under way is not waited for.
  void stop();
  /// The median of the last times that a probe's write took; zero: too few were made yet.
  Duration typical_write() const;

 private:
  /// Null once its probe is gone.
  struct Life {
    DiskProbe* probe = nullptr;
  };
  void on_timer();
  static io::Task<void> write_once(std::shared_ptr<Life> life, io::Env env, io::Disk* disk);
  void on_written(const Result<Duration>& took);

  io::Env env_;
  io::Disk& disk_;
  multiraft::Host& host_;
  const DiskProbeOptions options_;
  std::shared_ptr<Life> life_;
  io::Timer timer_;
  uint32_t ticks_waited_ = 0;  ///< of the watchdog, while a write is under way
  bool is_writing_ = false;
  std::deque<Duration> times_;  ///< kTimesMax of them

  static constexpr size_t kTimesMin = 3;
  static constexpr size_t kTimesMax = 5;
  static constexpr int kWatchdogTicks = 4;
};

}  // namespace cairn::chunkserver
