#include "store/wal/reclaimer.h"

#include <algorithm>

#include "base/crc32c.h"

namespace cairn::wal {

namespace {

bool stands_below(const SmallRef& ref, uint64_t sequence) {
  return ref.sequence != 0 && ref.sequence < sequence;
}

bool stands_at(const SmallRef& ref, const SmallRef& place) {
  return ref.sequence == place.sequence && ref.descriptor_block == place.descriptor_block;
}

}  // namespace

Reclaimer::Reclaimer(io::Env env, const WalOptions& options, LiveIndex& index, SegmentFiles& files,
                     Writer& writer)
    : env_(env),
      options_(options),
      index_(index),
      files_(files),
      writer_(writer),
      wanted_(env.executor) {}

bool Reclaimer::has_work() const {
  const auto& segments = index_.segments();
  if (is_stopping_ || writer_.failed() || segments.size() < 2) return false;
  if (segments.front().sequence >= writer_.lowest_busy_sequence()) return false;
  const uint64_t newest = segments.back().sequence;
  if (segments.front().live_entries == 0) return newest != release_given_up_at_;
  if (is_move_hopeless()) return false;
  return (is_over_limit() && newest != move_given_up_at_) || is_choked();
}

/// Entries are refused, and much of the log is dead: those that hold the oldest segment may be
/// waiting for what is refused, so it is for this log to make room. It is begun while there is
/// still room for what a segment has alive. A round of moves leaves no more than what is alive now
/// and what packs badly; one that has not helped is not repeated.
bool Reclaimer::is_choked() const {
  if (writer_.used_bytes() <= intake_limit_bytes(options_, Intake::kProposal)) return false;
  const uint64_t live = index_.live_bytes(), in_use = files_.in_use_bytes();
  if (live >= fruitless_live_bytes_ - std::min(fruitless_live_bytes_, options_.segment_bytes)) {
    return false;
  }
  if (live <= in_use / 2) return true;
  const uint64_t gain_min = std::max(kGainSegmentsMin * options_.segment_bytes, in_use / 5);
  return live + gain_min <= in_use && has_room_to_move();
}

/// For what the oldest segment has alive, below the bound: it is let go only behind the copies.
bool Reclaimer::has_room_to_move() const {
  const uint64_t copies_bytes = index_.segments().front().live_bytes / 8 * 9 + kBlockBytes;
  return writer_.used_bytes() + copies_bytes <= options_.wal_bytes_max;
}

void Reclaimer::begin_round() {
  if (round_end_ != 0 || !is_choked()) return;
  round_end_ = index_.segments().back().sequence;
  round_live_bytes_ = index_.live_bytes();
  fruitless_live_bytes_ = UINT64_MAX;
}

/// All that was alive when the round began has been moved. What has died since may stand behind.
void Reclaimer::note_round() {
  if (round_end_ == 0 || index_.segments().front().sequence <= round_end_) return;
  round_end_ = 0;
  if (is_choked()) fruitless_live_bytes_ = round_live_bytes_;
}

void Reclaimer::poke() {
  if (!wanted_.is_set() && has_work()) wanted_.set();
}

void Reclaimer::stop() {
  is_stopping_ = true;
  wanted_.set();
}

io::Task<void> Reclaimer::run() {
  while (!is_stopping_) {
    co_await wanted_.wait();
    wanted_.reset();
    while (has_work()) {
      begin_round();
      co_await step();
      descriptor_ = {};
      note_round();
    }
    if (!is_choked()) round_end_ = 0;
  }
}

uint64_t Reclaimer::first_held() const {
  const uint64_t busy = writer_.lowest_busy_sequence();
  for (const SegmentUse& use : index_.segments()) {
    if (use.live_entries > 0 || use.sequence >= busy) return use.sequence;
  }
  return busy;
}

io::Task<void> Reclaimer::step() {
  const uint64_t below = first_held();
  if (below > index_.segments().front().sequence) {
    const bool released = co_await release_segments(below);
    if (!released) release_given_up_at_ = index_.segments().back().sequence;
  } else {
    const bool moved = co_await move_entries();
    if (!moved) move_given_up_at_ = index_.segments().back().sequence;
  }
}

io::Task<bool> Reclaimer::release_segments(uint64_t below) {
  if (!co_await move_small(below)) co_return false;
  uint64_t oldest = index_.segments().front().sequence;
  for (const SegmentUse& use : index_.segments()) {
    oldest = use.sequence;
    if (use.sequence >= below || use.live_entries > 0 || use.live_small > 0) break;
  }
  if (oldest == index_.segments().front().sequence) co_return false;
  writer_.set_oldest(oldest);
  while (writer_.durable_oldest() < oldest && !writer_.failed() && !is_stopping_) {
    co_await writer_.progress().wait_next();
  }
  co_return true;
}

/// False if the end has come meanwhile.
io::Task<bool> Reclaimer::move_small(uint64_t below) {
  std::vector<SmallCopy> copies;
  uint64_t bytes = 0;
  for (const GroupId group : index_.groups_with_small_in(below - 1)) {
    auto copy = co_await read_small(group, below);
    if (is_stopping_ || writer_.failed()) co_return false;
    if (!copy.ok()) {
      env_.logger.error("a segment of the log cannot be freed",
                        {{"group", group}, {"error", copy.error().describe()}});
      continue;
    }
    bytes += copy->mark ? copy->mark->head.size_bytes() : 0;
    copies.push_back(std::move(*copy));
    if (bytes < kMovedBytesMax && copies.size() < kCopiesPerPass) continue;
    append_small(std::exchange(copies, {}), below);
    moved_bytes_ += std::exchange(bytes, 0);
    co_await throttle();
  }
  append_small(std::move(copies), below);
  moved_bytes_ += bytes;
  co_await throttle();
  co_return !is_stopping_ && !writer_.failed();
}

io::Task<Result<Reclaimer::SmallCopy>> Reclaimer::read_small(GroupId id, uint64_t below) {
  SmallCopy copy{.group = id, .mark_ref = {}, .mark = {}};
  const GroupUse* group = index_.find(id);
  if (!group || !stands_below(group->snapshot_ref, below)) co_return copy;
  copy.mark_ref = group->snapshot_ref;
  const LogIndex index = group->snapshot_index;
  CO_TRY(co_await read_descriptor(copy.mark_ref.sequence, copy.mark_ref.descriptor_block));
  // The last one in the batch: an earlier one may have the same index.
  const RecordView* found = nullptr;
  for (const RecordView& record : descriptor_.view.records) {
    if (record.header.kind == RecordKind::kSnapshot && record.header.group == id.value()) {
      found = &record;
    }
  }
  if (!found || found->header.index != index.value()) {
    co_return error(Errc::kCorrupt, "a snapshot mark is not where it was written");
  }
  copy.mark = Record{.header = found->header, .head = Buffer::copy_of(found->head), .payload = {}};
  // What it reset is in segments that go before this one or with it.
  copy.mark->header.flags = 0;
  co_return copy;
}

/// In one turn. What is newer by now, or gone with its group, stays as it is.
void Reclaimer::append_small(std::vector<SmallCopy> copies, uint64_t below) {
  for (SmallCopy& copy : copies) {
    const GroupUse* group = index_.find(copy.group);
    if (!group) continue;
    if (stands_below(group->hard_state_ref, below)) {
      const HardState state = *group->hard_state;
      const RecordHeader header{.kind = RecordKind::kHardState,
                                .group = copy.group.value(),
                                .index = state.commit.value(),
                                .term = state.term.value(),
                                .extra = state.vote};
      index_.stage_hard_state(copy.group, state, writer_.append({.header = header}));
      ++moved_count_;
    }
    if (stands_below(group->quarantine_ref, below)) {
      const RecordHeader header{.kind = RecordKind::kQuarantine, .group = copy.group.value()};
      const std::string reason = group->quarantine_reason;
      const Lsn lsn = writer_.append({.header = header, .head = Buffer::copy_of(reason)});
      index_.stage_quarantine(copy.group, reason, lsn);
      ++moved_count_;
    }
    if (copy.mark && stands_at(group->snapshot_ref, copy.mark_ref)) {
      const LogIndex index = group->snapshot_index;
      const Term term = group->snapshot_term;
      index_.stage_snapshot(copy.group, index, term, false, writer_.append(std::move(*copy.mark)));
      ++moved_count_;
    }
  }
}

/// Until it has died, with its group's removal or by a snapshot, or there is a newer segment.
bool Reclaimer::is_move_hopeless() const {
  return unmovable_ && move_failures_count_ >= kMoveFailuresMax &&
         move_failed_at_ == index_.segments().back().sequence &&
         index_.find_entry(unmovable_->group, unmovable_->index) == unmovable_->ref;
}

void Reclaimer::note_failed_move(const LiveEntry& entry, const Error& why) {
  const bool is_same = unmovable_ && unmovable_->ref == entry.ref;
  move_failures_count_ = is_same ? move_failures_count_ + 1 : 1;
  if (why.code() == Errc::kCorrupt) move_failures_count_ = kMoveFailuresMax;
  unmovable_ = entry;
  move_failed_at_ = index_.segments().back().sequence;
  env_.logger.error("a segment of the log cannot be freed",
                    {{"group", entry.group}, {"index", entry.index}, {"error", why.describe()}});
}

bool Reclaimer::is_worth_moving() const {
  const SegmentUse& front = index_.segments().front();
  const auto file = files_.find(front.sequence);
  CHECK(file && front.live_entries > 0);
  if (is_choked()) return true;
  const auto share_bytes = static_cast<double>(file->file_bytes) * options_.move_live_share_max;
  if (static_cast<double>(front.live_bytes) > share_bytes) return false;
  const size_t groups_count = index_.groups_in(front.sequence, options_.move_groups_max + 1).size();
  return groups_count <= options_.move_groups_max;
}

io::Task<bool> Reclaimer::move_entries() {
  if (!is_worth_moving()) co_return false;
  std::vector<EntryCopy> copies;
  std::optional<Error> failure;
  uint64_t bytes = 0;
  const uint64_t oldest = index_.segments().front().sequence;
  for (const LiveEntry& entry : index_.entries_in(oldest, kCopiesPerPass)) {
    auto record = co_await read_entry(entry);
    if (is_stopping_ || writer_.failed()) co_return false;
    if (!record.ok()) {
      if (record.code() == Errc::kNotFound) continue;
      note_failed_move(entry, record.error());
      failure = record.error();
      break;
    }
    bytes += entry.ref.payload_bytes + entry.ref.head_bytes;
    copies.push_back({.from = entry, .record = std::move(*record)});
    if (bytes >= kMovedBytesMax) break;
  }
  append_entries(std::move(copies));
  moved_bytes_ += bytes;
  co_await throttle();
  co_return !failure && !is_stopping_ && !writer_.failed();
}

/// kNotFound: it has died meanwhile.
io::Task<Result<Record>> Reclaimer::read_entry(LiveEntry entry) {
  const auto died = error(Errc::kNotFound, "the entry is not alive any more");
  const SegmentFile* segment = files_.find(entry.ref.sequence);
  if (!segment || index_.find_entry(entry.group, entry.index) != entry.ref) co_return died;
  const std::shared_ptr<io::File> file = segment->file;
  CO_TRY(co_await read_descriptor(entry.ref.sequence, entry.ref.descriptor_block));
  const RecordView* found = nullptr;
  for (const RecordView& record : descriptor_.view.records) {
    const RecordHeader& header = record.header;
    if (header.is_entry() && header.group == entry.group.value() &&
        header.index == entry.index.value()) {
      found = &record;  // the last one: it ended the log before the others
    }
  }
  if (!found || found->header.term != entry.ref.term ||
      found->header.payload_crc != entry.ref.payload_crc) {
    co_return error(Errc::kCorrupt, "an entry is not where it was written");
  }
  Record copy{.header = found->header, .head = Buffer::copy_of(found->head), .payload = {}};
  copy.header.kind = RecordKind::kMovedEntry;
  if (entry.ref.payload_bytes > 0) {
    copy.payload = env_.buffers.allocate(entry.ref.payload_bytes);
    const uint64_t at = entry.ref.payload_block * kBlockBytes;
    CO_TRY(co_await file->read(at, copy.payload.mutable_view()));
    if (crc32c(copy.payload.view()) != entry.ref.payload_crc) {
      co_return error(Errc::kCorrupt, "the payload is rotten; it was not moved");
    }
  }
  co_return copy;
}

/// In one turn. A copy of what has died meanwhile would bring it back.
void Reclaimer::append_entries(std::vector<EntryCopy> copies) {
  for (EntryCopy& copy : copies) {
    if (index_.find_entry(copy.from.group, copy.from.index) != copy.from.ref) continue;
    CHECK(index_.stage_move(copy.from, writer_.append(std::move(copy.record))));
    ++moved_count_;
  }
}

io::Task<Status> Reclaimer::read_descriptor(uint64_t sequence, uint16_t block) {
  if (descriptor_.sequence == sequence && descriptor_.block == block) co_return ok();
  const SegmentFile* segment = files_.find(sequence);
  CHECK(segment, "a live record stands in a segment of the log");
  const std::shared_ptr<io::File> file = segment->file;
  const uint64_t offset_bytes = block * kBlockBytes;
  Descriptor fresh{.sequence = sequence, .block = block, .bytes = {}, .view = {}};
  fresh.bytes = env_.buffers.allocate(kBlockBytes);
  CO_TRY(co_await file->read(offset_bytes, fresh.bytes.mutable_view()));
  const auto header = load<BatchHeader>(fresh.bytes.view());
  if (header.magic != kBatchMagic || header.descriptor_bytes > kDescriptorBytesMax) {
    co_return error(Errc::kCorrupt, "a descriptor in " + segment_name(sequence) + " is rotten");
  }
  if (header.descriptor_bytes > kBlockBytes) {
    fresh.bytes = env_.buffers.allocate(round_up(header.descriptor_bytes, kBlockBytes));
    CO_TRY(co_await file->read(offset_bytes, fresh.bytes.mutable_view()));
  }
  fresh.view = CO_TRY(decode_batch(fresh.bytes.view(), sequence, writer_.token()));
  descriptor_ = std::move(fresh);
  co_return ok();
}

io::Task<void> Reclaimer::throttle() {
  if (moved_bytes_ < kMovedBytesMax) co_return;
  moved_bytes_ = 0;
  const Lsn up_to = writer_.last_lsn();
  while (writer_.durable_lsn() < up_to && !writer_.failed() && !is_stopping_) {
    co_await writer_.progress().wait_next();
  }
}

}  // namespace cairn::wal
