#include "store/wal/replay.h"

#include <algorithm>

#include "base/planted_bug.h"

namespace cairn::wal {

namespace {

std::string batches_text(uint64_t first, uint64_t last) {
  if (first == last) return "batch " + std::to_string(first);
  return "batches " + std::to_string(first) + " to " + std::to_string(last);
}

}  // namespace

void Replay::add_segment(const SegmentScan& scan, uint64_t limit) {
  CHECK(segments_.empty() || segments_.back().sequence < scan.sequence);
  segments_.push_back({scan.sequence, scan.file_bytes, scan.first_batch(), scan.unreadable_bytes});
  for (const ScannedBatch& batch : scan.batches) {
    if (batch.view.header.number >= limit) {
      ++batches_cut_;
      continue;
    }
    if (!has_begun_) begin(scan);
    switch (judge(batch)) {
      case Verdict::kAccept:
        accept(batch);
        break;
      case Verdict::kIgnore:
        break;
      case Verdict::kCut:
        ++batches_cut_;
        break;
    }
  }
}

/// The log's present beginning: everything before it has either left the log or is missing, which
/// the oldest sequence tells in the end.
void Replay::begin(const SegmentScan& scan) {
  has_begun_ = true;
  const uint64_t first_found = scan.batches.front().view.header.number;
  const uint64_t first = scan.first_batch().value_or(first_found);
  expected_ = std::min(first, first_found);
  if (expected_ > 1) {
    add_gap(1, expected_ - 1, batches_text(1, expected_ - 1) + " are missing");
  }
  if (scan.header) {
    last_hash_ = scan.header->previous_hash;
    is_chained_ = true;
  }
}

Replay::Verdict Replay::judge(const ScannedBatch& batch) {
  const BatchHeader& header = batch.view.header;
  if (is_cut_) return Verdict::kCut;
  if (header.number < expected_) return Verdict::kIgnore;
  const bool is_missing = header.number > expected_;
  const bool is_misplaced = !is_missing && is_chained_ && header.previous_hash != last_hash_;
  const bool is_torn = !batch.damaged.empty();
  const uint64_t doubtful_last = is_missing ? header.number - 1 : header.number;
  if (!is_missing && !is_misplaced && !is_torn) return Verdict::kAccept;
  if (is_planted(PlantedBug::kTornTailAccepted)) return Verdict::kAccept;

  if (expected_ > durable_up_to_) {
    is_cut_ = true;
    cut_reason_ = batches_text(expected_, expected_) + (is_missing ? " is torn or missing"
                                                        : is_torn  ? " is torn"
                                                                   : " is misplaced");
    return Verdict::kCut;
  }
  if (is_missing || is_misplaced) {
    add_gap(expected_, doubtful_last,
            batches_text(expected_, doubtful_last) +
                (is_missing ? " were durable and are missing or unreadable before "
                            : " does not follow its predecessor in ") +
                segment_name(header.sequence));
    // Some of the missing may lie beyond what is proven: then nothing behind them counts.
    if (is_missing && doubtful_last > durable_up_to_) {
      is_cut_ = true;
      cut_reason_ = gaps_.back().what;
      return Verdict::kCut;
    }
  }
  if (is_torn && header.number > durable_up_to_) {
    is_cut_ = true;
    cut_reason_ = batches_text(header.number, header.number) + " is torn";
    return Verdict::kCut;
  }
  return Verdict::kAccept;
}

void Replay::add_gap(uint64_t first_missing, uint64_t last_missing, std::string what) {
  CHECK(first_missing <= last_missing);
  gaps_.push_back({first_missing, last_missing, std::move(what)});
}

void Replay::accept(const ScannedBatch& batch) {
  const BatchHeader& header = batch.view.header;
  CHECK(header.number >= expected_);
  ++batches_count_;
  expected_ = header.number + 1;
  last_batch_ = header.number;
  last_hash_ = hash_of(header);
  is_chained_ = true;
  if (first_sequence_ == 0) first_sequence_ = header.sequence;
  last_sequence_ = header.sequence;
  last_end_bytes_ = batch.end_bytes();
  if (segments_.back().first_accepted == 0) segments_.back().first_accepted = header.number;
  oldest_sequence_ = std::max(oldest_sequence_, header.oldest_sequence);
  size_t damaged_at = 0;
  for (size_t i = 0; i < batch.view.records.size(); ++i) {
    const RecordView& record = batch.view.records[i];
    const bool is_damaged = damaged_at < batch.damaged.size() && batch.damaged[damaged_at] == i;
    if (is_damaged) ++damaged_at;
    const Place place{.sequence = header.sequence,
                      .descriptor_block = static_cast<uint16_t>(batch.offset_bytes / kBlockBytes),
                      .payload_block = static_cast<uint16_t>(
                          (batch.offset_bytes + record.payload_offset) / kBlockBytes)};
    apply(record, place, is_damaged);
    ++records_count_;
  }
}

ReplayedGroup& Replay::group(uint64_t id) {
  auto [it, is_new] = groups_.try_emplace(id);
  if (is_new) {
    const auto removed = removed_.find(id);
    if (removed != removed_.end()) it->second.clean_from = removed->second;
  }
  return it->second;
}

void Replay::apply(const RecordView& record, Place place, bool is_damaged) {
  const RecordHeader& header = record.header;
  switch (header.kind) {
    case RecordKind::kEntry:
    case RecordKind::kMovedEntry:
      apply_entry(record, place, is_damaged);
      break;
    case RecordKind::kHardState: {
      ReplayedGroup& of = group(header.group);
      of.hard_state = {Term(header.term), header.extra, LogIndex(header.index)};
      of.hard_state_place = place;
      break;
    }
    case RecordKind::kSnapshot:
      apply_snapshot(record, place);
      break;
    case RecordKind::kRemoveGroup:
      groups_.erase(header.group);
      if (!gaps_.empty()) removed_[header.group] = gaps_.size();
      break;
    case RecordKind::kQuarantine: {
      ReplayedGroup& of = group(header.group);
      of.quarantine_reason = as_text(record.head);
      of.quarantine_place = place;
      break;
    }
    case RecordKind::kKnownGap:
      for (Gap& gap : gaps_) {
        gap.is_known |= gap.first_missing == header.index && gap.last_missing == header.term;
      }
      break;
  }
}

void Replay::apply_entry(const RecordView& record, Place place, bool is_damaged) {
  const RecordHeader& header = record.header;
  ReplayedGroup& of = group(header.group);
  const bool is_moved = header.kind == RecordKind::kMovedEntry;
  if (!is_moved && !is_planted(PlantedBug::kTruncationForgotten)) {
    of.entries.erase(of.entries.lower_bound(header.index), of.entries.end());
  }
  if (of.snapshot && header.index <= of.snapshot->index.value()) return;
  const auto found = of.entries.find(header.index);
  if (found != of.entries.end() && found->second.header.term != header.term) return;
  of.entries.insert_or_assign(
      header.index, ReplayedEntry{header, Buffer::copy_of(record.head), place, is_damaged});
}

void Replay::apply_snapshot(const RecordView& record, Place place) {
  const RecordHeader& header = record.header;
  ReplayedGroup& of = group(header.group);
  if (header.flags & kSnapshotResetsLog) of.entries.clear();
  of.entries.erase(of.entries.begin(), of.entries.upper_bound(header.index));
  of.snapshot =
      SnapshotMark{LogIndex(header.index), Term(header.term), Buffer::copy_of(record.head)};
  of.snapshot_place = place;
}

void Replay::finish(uint64_t segment_bytes_min) {
  check_end(segment_bytes_min);
  drop_old_gaps();
  judge_groups();
}

/// What a torn write cannot do to the end of the log.
void Replay::check_end(uint64_t segment_bytes_min) {
  const bool is_told = !gaps_.empty() && gaps_.back().last_missing >= durable_up_to_;
  if (last_batch_ < durable_up_to_ && !is_told) {
    add_gap(
        last_batch_ + 1, durable_up_to_,
        batches_text(last_batch_ + 1, durable_up_to_) + " were durable and are missing at the end");
  }
  for (const SegmentFacts& segment : segments_) {
    if (segment.sequence < last_sequence_) continue;
    const uint64_t end_bytes = segment.sequence == last_sequence_ ? last_end_bytes_ : 0;
    std::string what;
    if (segment.file_bytes < segment_bytes_min) {
      what = segment_name(segment.sequence) + " has been truncated to " +
             std::to_string(segment.file_bytes) + " bytes";
    } else if (segment.unreadable_bytes && *segment.unreadable_bytes >= end_bytes) {
      what = segment_name(segment.sequence) + " is unreadable at its end";
    } else {
      continue;
    }
    // One stretch of missing batches is one gap, so that the next recovery finds the same one.
    if (!gaps_.empty() && gaps_.back().first_missing > last_batch_) {
      ++gaps_.back().last_missing;
      gaps_.back().what += "; " + what;
    } else {
      add_gap(last_batch_ + 1, last_batch_ + 1, what);
    }
    return;
  }
}

/// A segment below the oldest sequence may be gone, or half recycled: nothing in it counts.
void Replay::drop_old_gaps() {
  const auto oldest = std::ranges::find(segments_, oldest_sequence_, &SegmentFacts::sequence);
  uint64_t first_batch = oldest == segments_.end() ? 0 : oldest->first_batch.value_or(0);
  // A header that claims to begin behind what later segments hold cannot tell what was before it.
  for (auto later = oldest; later != segments_.end(); ++later) {
    if (later->first_accepted != 0 && later->first_accepted < first_batch) first_batch = 0;
  }
  // Ids of gaps are positions: those that are dropped stay as known ones until the groups are
  // judged.
  for (Gap& gap : gaps_) {
    if (gap.last_missing < first_batch) gap.first_missing = gap.last_missing = 0;
  }
}

void Replay::judge_groups() {
  for (auto& [id, of] : groups_) {
    for (size_t i = of.clean_from; i < gaps_.size() && of.quarantine_reason.empty(); ++i) {
      const bool counts = gaps_[i].last_missing != 0 && !gaps_[i].is_known;
      if (counts) of.quarantine_reason = "records may be lost: " + gaps_[i].what;
    }
    uint64_t next = of.snapshot ? of.snapshot->index.value() + 1
                                : (of.entries.empty() ? 1 : of.entries.begin()->first);
    auto at = of.entries.begin();
    for (; at != of.entries.end() && at->first == next; ++at, ++next) {
      if (at->second.is_damaged && of.quarantine_reason.empty()) {
        of.quarantine_reason = "the payload of entry " + std::to_string(at->first) + " in " +
                               segment_name(at->second.place.sequence) + " is rotten";
      }
    }
    if (at == of.entries.end()) continue;
    if (of.quarantine_reason.empty()) {
      of.quarantine_reason = "entries " + std::to_string(next) + " to " +
                             std::to_string(at->first - 1) + " are missing";
    }
    of.entries.erase(at, of.entries.end());
  }
  std::erase_if(gaps_, [](const Gap& gap) { return gap.last_missing == 0; });
}

}  // namespace cairn::wal
