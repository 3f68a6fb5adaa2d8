/// Writer: the head of the log: records in, batches out, durability by contiguous prefix.
///
/// What was appended during a turn is sent at its end, up to writes_inflight_max writes at once;
/// with all of them busy, records gather for the next batch. See wal.h for what a failure means.
/// Threads: one reactor.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "base/metrics.h"
#include "io/clock.h"
#include "io/executor.h"
#include "io/sync.h"
#include "store/wal/live_index.h"
#include "store/wal/segment_files.h"

namespace cairn::wal {

/// Where the log goes on.
struct LogEnd {
  uint64_t token = 0;
  uint64_t next_batch = 1;
  uint64_t previous_hash = 0;
  uint64_t previous_sequence = 0;
  uint64_t oldest_sequence = 0;  ///< 0: the segment that is begun first
};

class Writer : public io::TurnHook {
 public:
  Writer(io::Env env, const WalOptions& options, Listener& listener, LiveIndex& index,
         SegmentFiles& files);
  ~Writer() override;

  /// Before the first append; the first batch is marked as an opening.
  void start(const LogEnd& end);
  /// Its Wal is gone: whatever is still under way has no effect and tells nobody.
  void abandon();
  /// From now on the listener is told.
  void unmute() { is_muted_ = false; }

  /// Queues the record; its payload is aligned here, its checksum is the caller's. The caller
  /// stages it in the index under the lsn that is returned. Ignored once failed.
  Lsn append(Record record);
  /// A batch at the end of this turn even if there is nothing to put into it.
  void request_batch();
  /// Once everything appended so far is durable and a batch behind it says so, the segments below
  /// `sequence` leave the log.
  void set_oldest(uint64_t sequence);

  Lsn last_lsn() const { return last_lsn_; }
  Lsn durable_lsn() const { return durable_lsn_; }
  bool failed() const { return failure_.has_value(); }
  const std::optional<Error>& failure() const { return failure_; }
  uint64_t pending_bytes() const { return pending_bytes_; }
  /// Of the segment that is written to now.
  uint64_t room_bytes() const { return active_.file_bytes - active_.used_bytes; }
  /// Of the log's segments, with what is not durable yet.
  uint64_t used_bytes() const { return files_.in_use_bytes() - room_bytes() + pending_bytes_; }
  bool waits_for_segment() const { return segment_wanted_since_.has_value(); }
  /// Segments below it take no more records, and none is under way to them.
  uint64_t lowest_busy_sequence() const;
  uint64_t durable_oldest() const { return durable_oldest_; }
  uint64_t last_batch() const { return next_batch_ - 1; }
  uint64_t token() const { return end_.token; }
  const WalStats& stats() const { return stats_; }
  /// The payload of a staged record; the record is not durable yet.
  Buffer staged_payload(uint32_t staged_lsn) const;

  /// Ends the log for good; the first call tells the listener.
  void fail(Error reason);
  /// Wakes those who wait at each advance of durability and at the failure.
  io::Event& progress() { return progress_; }
  /// Called after each advance of durability and at the failure.
  void on_progress(std::function<void()> callback) { progress_callback_ = std::move(callback); }
  /// Everything appended, and a mark behind it, is durable; the error that latched the log if not.
  io::Task<Status> drain();
  /// A segment became ready, or there may be something to send.
  void poke() { env_.executor.at_turn_end(*this); }

  void on_turn_end() override;

 private:
  struct Batch {
    uint64_t number = 0;
    uint64_t sequence = 0;
    uint64_t offset_bytes = 0;
    uint64_t oldest_sequence = 0;
    uint64_t durable_up_to = 0;
    uint32_t descriptor_bytes = 0;
    size_t records_count = 0;
    uint64_t payload_bytes = 0;
    Instant started;
    uint32_t ticks_seen = 0;  ///< of the watchdog
    bool is_done = false;
  };
  /// What a write needs to outlive the Writer; `writer` is null once that is gone.
  struct Life {
    Writer* writer = nullptr;
  };
  struct Flight {
    Buffer descriptor;
    std::vector<Buffer> payloads;
    std::vector<ByteView> parts;
  };
  struct Active {
    uint64_t sequence = 0;
    uint64_t file_bytes = 0;
    std::shared_ptr<io::File> file;
    uint64_t used_bytes = 0;  ///< 0: its header is still to be written
  };

  bool has_unsent() const { return sent_count_ < records_.size(); }
  bool send_batch();
  Batch plan(uint64_t room_bytes) const;
  bool roll();
  void note_segment_wait();
  Flight encode(Batch& batch);
  static io::Task<void> run_write(std::shared_ptr<Life> life, std::shared_ptr<io::File> file,
                                  uint64_t offset_bytes, Flight flight, uint64_t number);
  void on_written(uint64_t number, Status status);
  void settle(const Batch& batch);
  bool needs_mark() const { return last_records_batch_ > covered_batch_; }
  void on_watchdog();
  void on_idle();

  io::Env env_;
  const WalOptions& options_;
  Listener& listener_;
  LiveIndex& index_;
  SegmentFiles& files_;
  LogEnd end_;

  std::deque<Record> records_;  ///< not durable, by lsn: records_[i] has durable_lsn_ + 1 + i
  size_t sent_count_ = 0;       ///< of records_, those in a batch under way
  std::deque<Batch> inflight_;
  Active active_;
  Lsn last_lsn_;
  Lsn durable_lsn_;
  uint64_t pending_bytes_ = 0;
  uint64_t next_batch_ = 1;
  uint64_t previous_hash_ = 0;
  uint64_t durable_batch_ = 0;
  uint64_t covered_batch_ = 0;       ///< durable_up_to of the last durable batch
  uint64_t last_records_batch_ = 0;  ///< the last one that is not empty
  uint64_t durable_oldest_ = 0;
  uint64_t oldest_ = 0;         ///< what the next batches say
  uint64_t wanted_oldest_ = 0;  ///< for a batch that reaches wanted_oldest_after_
  Lsn wanted_oldest_after_;
  bool is_opening_ = false;
  bool is_batch_requested_ = false;
  bool is_muted_ = true;
  std::optional<Error> failure_;
  Instant last_activity_;
  std::optional<Instant> segment_wanted_since_;  ///< no segment was ready then
  std::shared_ptr<Life> life_;
  io::Event progress_;
  std::function<void()> progress_callback_;
  io::Timer watchdog_;
  io::Timer idle_;
  WalStats stats_;
  Counter& batches_total_;
  Counter& flushes_total_;
  Counter& records_total_;
  Counter& payload_bytes_total_;
  Counter& written_bytes_total_;
  Histogram& write_us_;
  Histogram& segment_wait_us_;

  static constexpr uint32_t kWatchdogTicks = 4;
};

}  // namespace cairn::wal
