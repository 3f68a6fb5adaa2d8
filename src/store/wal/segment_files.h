/// SegmentFiles: the files of the log: those in use, those prepared for use, those to be recycled.
///
/// A prepared segment has its final name, durably, and was written over its whole length once:
/// rolling on to it costs no operation of its own. Preparing runs in the background, and as long as
/// a segment is ready at a pace that leaves the device to the log: a little faster than the log
/// itself writes, and a trickle when it does not. When it fails for want of space it is tried
/// again, any other failure is fatal to the disk.
/// Threads: one reactor.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "io/clock.h"
#include "io/disk.h"
#include "io/env.h"
#include "io/sync.h"
#include "store/wal/wal.h"

namespace cairn::wal {

struct SegmentFile {
  uint64_t sequence = 0;
  uint64_t file_bytes = 0;
  /// Shared, so that a read or a write under way keeps the file open when the segment goes.
  std::shared_ptr<io::File> file;
};

class SegmentFiles {
 public:
  SegmentFiles(io::Env env, io::Disk& disk, const WalOptions& options);

  // ---- what recovery found
  void adopt(SegmentFile file);  ///< in use; ascending
  void add_idle(uint64_t sequence) { idle_.push_back(sequence); }
  void set_next_sequence(uint64_t sequence) { next_sequence_ = sequence; }

  // ---- in use
  const SegmentFile* find(uint64_t sequence) const;
  size_t in_use_count() const { return in_use_.size(); }
  uint64_t in_use_bytes() const { return in_use_bytes_; }
  bool has_ready() const { return !ready_.empty(); }
  /// The next prepared segment, which is in use from now on; has_ready().
  SegmentFile take_ready();
  /// The last attempt to make one found no space.
  bool is_starved() const { return is_starved_; }
  /// The log has written so many bytes: preparing keeps pace with it.
  void note_written(uint64_t bytes);
  /// These are no part of the log any more, durably.
  void retire_below(uint64_t sequence);

  // ---- background
  /// Prepares one more segment.
  io::Task<Status> prepare();
  /// Keeps enough segments ready until stop(). Calls back when one became ready or there is no
  /// space for one, and when the directory has failed.
  io::Task<void> run(std::function<void()> on_change, std::function<void(Error)> on_failed);
  void stop();

  uint64_t recycled_count() const { return recycled_count_; }
  uint64_t created_count() const { return created_count_; }
  std::string path(uint64_t sequence) const;

  /// Files with this prefix are being prepared and hold nothing.
  static constexpr std::string_view kPreparingPrefix = "preparing_";

 private:
  bool has_room_for_idle() const;
  io::Task<Status> create(std::string path);
  io::Task<Status> pace(uint64_t bytes);
  io::Task<Status> remove_surplus();

  io::Env env_;
  io::Disk& disk_;
  const WalOptions& options_;
  std::deque<SegmentFile> in_use_;  ///< ascending
  std::deque<SegmentFile> ready_;   ///< ascending, behind in_use_
  std::deque<uint64_t> idle_;       ///< files of the right size under names of the past; with all
                                    ///< others within wal_bytes_max
  std::deque<uint64_t> surplus_;    ///< files to delete
  uint64_t in_use_bytes_ = 0;
  uint64_t next_sequence_ = 1;
  uint64_t recycled_count_ = 0;
  uint64_t created_count_ = 0;
  bool is_stopping_ = false;
  bool is_starved_ = false;
  /// What may be written ahead now; at most kCreditBytesMax, so that a burst of the log does not
  /// become one of zeroes.
  uint64_t credit_bytes_ = 0;
  io::Event wanted_;
  io::Event paced_;
  io::Timer retry_;
  io::Timer trickle_;
  Gauge& in_use_gauge_;

  static constexpr Duration kRetryAfter = std::chrono::seconds(1);
  static constexpr uint64_t kZeroesBytes = kMiB;  ///< at once, while the log waits for it
  static constexpr uint64_t kPacedZeroesBytes =
      kMiB / 4;  ///< a write of the log may stand behind it
  static constexpr uint64_t kCreditBytesMax = kMiB;
  static constexpr Duration kTrickleEvery = std::chrono::milliseconds(8);  ///< 32 MiB a second
};

}  // namespace cairn::wal
