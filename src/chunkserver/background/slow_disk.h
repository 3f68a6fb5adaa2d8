/// SlowDiskJudge, SlowDiskWatch: a leader whose own disk holds up what its followers' disks do not.
///
/// The measure needs no clock of the device: what a quorum has committed, and this host's own log
/// has not made durable a whole sample later, was committed by the followers' acknowledgements
/// alone. Where the followers are as slow, or there are none, nothing is ever committed ahead of
/// this log. Threads: one reactor.
#pragma once

#include <deque>
#include <map>

#include "chunkserver/background/hand_over.h"
#include "io/env.h"
#include "multiraft/host.h"

namespace cairn::chunkserver {

struct SlowDiskOptions {
  Duration sample_interval = 50ms;
  /// Looked back on; the verdict needs samples spread over `sustained_min` of it.
  Duration window = 4s;
  Duration sustained_min = 2s;
  size_t samples_min = 10;
  double lagging_share_min = 0.6;
};

/// Pure. What was seen at the samples in which the groups led here were written to.
class SlowDiskJudge {
 public:
  explicit SlowDiskJudge(SlowDiskOptions options) : options_(options) {}
  void note(Instant now, bool lags);
  bool is_slow() const;
  void reset() { samples_.clear(); }

 private:
  struct Sample {
    Instant at;
    bool lags = false;
  };
  const SlowDiskOptions options_;
  std::deque<Sample> samples_;  ///< window / sample_interval of them
};

/// Samples the groups that are led here, and hands them over when the disk is slow.
class SlowDiskWatch {
 public:
  /// The host outlives it.
  SlowDiskWatch(io::Env env, multiraft::Host& host, NodeId self, SlowDiskOptions options = {});
  void start();
  io::Task<void> stop();

 private:
  void sample();
  io::Task<void> shed();

  io::Env env_;
  multiraft::Host& host_;
  const NodeId self_;
  const SlowDiskOptions options_;
  SlowDiskJudge judge_;
  io::Timer timer_;
  io::Gate gate_;
  bool is_shedding_ = false;
  wal::Lsn seen_;                          ///< of the log at the last sample
  std::map<GroupId, LogIndex> committed_;  ///< at the last sample, of groups led here
  Counter& sheds_total_;
};

}  // namespace cairn::chunkserver
