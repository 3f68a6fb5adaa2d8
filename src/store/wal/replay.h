/// Replay: from the batches found in the segments to the state of every group: pure.
///
/// Decides what is a torn tail (cut), what is lost (gaps) and which groups that concerns.
/// Usage:  Replay replay(D); add_segment() in ascending sequence; finish(); read the results.
/// Source: docs/formats/wal.md, "Reading it back".
#pragma once

#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "store/wal/scan.h"
#include "store/wal/wal.h"

namespace cairn::wal {

/// Where a record stands.
struct Place {
  uint64_t sequence = 0;  ///< 0: nowhere on the medium yet
  uint16_t descriptor_block = 0;
  uint16_t payload_block = 0;
};

struct ReplayedEntry {
  RecordHeader header;
  Buffer head;
  Place place;
  bool is_damaged = false;
};

struct ReplayedGroup {
  HardState hard_state;
  Place hard_state_place;
  std::optional<SnapshotMark> snapshot;
  Place snapshot_place;
  std::map<uint64_t, ReplayedEntry> entries;
  std::string quarantine_reason;
  Place quarantine_place;  ///< of the quarantine record; sequence 0: newly found
  size_t clean_from = 0;   ///< gaps with a smaller id came before the group's last removal
};

/// Batches that were durable once and are not there.
struct Gap {
  uint64_t first_missing = 0;
  uint64_t last_missing = 0;
  std::string what;
  bool is_known = false;  ///< an earlier recovery has put its quarantines into the log
};

class Replay {
 public:
  /// All batches up to `durable_up_to` were acknowledged once.
  explicit Replay(uint64_t durable_up_to) : durable_up_to_(durable_up_to) {}

  /// Batches of the segment numbered `limit` or above were discarded by an earlier recovery.
  void add_segment(const SegmentScan& scan, uint64_t limit);
  /// `segment_bytes_min`: a segment at the log's end with fewer bytes has been truncated.
  void finish(uint64_t segment_bytes_min);

  // The results, after finish():
  const std::map<uint64_t, ReplayedGroup>& groups() const { return groups_; }
  /// Those that count: no gap that lies wholly in segments that have left the log.
  const std::vector<Gap>& gaps() const { return gaps_; }
  uint64_t last_batch() const { return last_batch_; }  ///< 0: none was accepted
  uint64_t last_hash() const { return last_hash_; }
  uint64_t first_sequence() const { return first_sequence_; }  ///< of the first accepted batch
  uint64_t last_sequence() const { return last_sequence_; }    ///< of the last accepted batch
  uint64_t oldest_sequence() const { return oldest_sequence_; }
  uint64_t batches_count() const { return batches_count_; }
  uint64_t records_count() const { return records_count_; }
  uint64_t batches_cut() const { return batches_cut_; }
  /// Why the log ends where it does; empty: it ends cleanly.
  const std::string& cut_reason() const { return cut_reason_; }

 private:
  struct SegmentFacts {
    uint64_t sequence = 0;
    uint64_t file_bytes = 0;
    std::optional<uint64_t> first_batch;  ///< as its header says
    std::optional<uint64_t> unreadable_bytes;
    uint64_t first_accepted = 0;  ///< number of the first batch that counts; 0: none does
  };
  enum class Verdict : uint8_t { kAccept, kIgnore, kCut };

  Verdict judge(const ScannedBatch& batch);
  void begin(const SegmentScan& scan);
  void add_gap(uint64_t first_missing, uint64_t last_missing, std::string what);
  void accept(const ScannedBatch& batch);
  void apply(const RecordView& record, Place place, bool is_damaged);
  void apply_entry(const RecordView& record, Place place, bool is_damaged);
  void apply_snapshot(const RecordView& record, Place place);
  ReplayedGroup& group(uint64_t id);
  void check_end(uint64_t segment_bytes_min);
  void drop_old_gaps();
  void judge_groups();

  uint64_t durable_up_to_;
  std::map<uint64_t, ReplayedGroup> groups_;
  std::unordered_map<uint64_t, size_t> removed_;  ///< group -> gaps seen when it was removed
  std::vector<Gap> gaps_;
  std::vector<SegmentFacts> segments_;
  bool has_begun_ = false;
  bool is_cut_ = false;
  bool is_chained_ = false;  ///< last_hash_ is that of batch expected_ - 1
  uint64_t expected_ = 0;
  uint64_t last_batch_ = 0;
  uint64_t last_hash_ = 0;
  uint64_t first_sequence_ = 0;
  uint64_t last_sequence_ = 0;
  uint64_t last_end_bytes_ = 0;  ///< of the last accepted batch, in its segment
  uint64_t oldest_sequence_ = 0;
  uint64_t batches_count_ = 0;
  uint64_t records_count_ = 0;
  uint64_t batches_cut_ = 0;
  std::string cut_reason_;
};

}  // namespace cairn::wal
