#include "store/wal/reclaimer.h"

#include "base/crc32c.h"

namespace cairn::wal {

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

/// Entries are refused, and most of the log is dead. Those that hold the oldest segment may be
/// waiting for what is refused: it is for this log to make room. A round of moves leaves no more
/// than what is alive now, so it ends.
bool Reclaimer::is_choked() const {
  return writer_.used_bytes() > intake_limit_bytes(options_, Intake::kProposal) &&
         index_.live_bytes() <= files_.in_use_bytes() / 2;
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
      co_await step();
      descriptor_ = {};
    }
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
  for (const GroupId group : index_.groups_with_small_in(below - 1)) {
    const auto moved = co_await move_small(group, below);
    if (is_stopping_ || writer_.failed()) co_return false;
    if (!moved.ok()) {
      env_.logger.error("a segment of the log cannot be freed",
                        {{"group", group}, {"error", moved.error().describe()}});
    }
  }
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

io::Task<Status> Reclaimer::move_small(GroupId id, uint64_t below) {
  const GroupUse* group = index_.find(id);
  const auto stands_below = [below](const SmallRef& ref) {
    return ref.sequence != 0 && ref.sequence < below;
  };
  if (group && stands_below(group->hard_state_ref)) {
    const HardState state = *group->hard_state;
    const RecordHeader header{.kind = RecordKind::kHardState,
                              .group = id.value(),
                              .index = state.commit.value(),
                              .term = state.term.value(),
                              .extra = state.vote};
    index_.stage_hard_state(id, state, writer_.append({.header = header}));
    ++moved_count_;
  }
  if (group && stands_below(group->quarantine_ref)) {
    const RecordHeader header{.kind = RecordKind::kQuarantine, .group = id.value()};
    const std::string reason = group->quarantine_reason;
    const Lsn lsn = writer_.append({.header = header, .head = Buffer::copy_of(reason)});
    index_.stage_quarantine(id, reason, lsn);
    ++moved_count_;
  }
  if (group && stands_below(group->snapshot_ref)) CO_TRY(co_await move_snapshot(id));
  co_return co_await throttle();
}

io::Task<Status> Reclaimer::move_snapshot(GroupId id) {
  const SmallRef ref = index_.find(id)->snapshot_ref;
  CO_TRY(co_await read_descriptor(ref.sequence, ref.descriptor_block));
  const GroupUse* group = index_.find(id);
  const bool is_same = group && group->snapshot_ref.sequence == ref.sequence &&
                       group->snapshot_ref.descriptor_block == ref.descriptor_block;
  if (!is_same || writer_.failed()) co_return ok();  // a newer mark came, or the group went
  // The last one in the batch: an earlier one may have the same index.
  const RecordView* found = nullptr;
  for (const RecordView& record : descriptor_.view.records) {
    if (record.header.kind == RecordKind::kSnapshot && record.header.group == id.value()) {
      found = &record;
    }
  }
  if (!found || found->header.index != group->snapshot_index.value()) {
    co_return error(Errc::kCorrupt, "a snapshot mark is not where it was written");
  }
  // What it reset is in segments that go before this one or with it.
  RecordHeader header = found->header;
  header.flags = 0;
  const Lsn lsn = writer_.append({.header = header, .head = Buffer::copy_of(found->head)});
  index_.stage_snapshot(id, group->snapshot_index, group->snapshot_term, false, lsn);
  ++moved_count_;
  moved_bytes_ += header.head_bytes;
  co_return ok();
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
  const SegmentUse front = index_.segments().front();
  for (const LiveEntry& entry : index_.entries_in(front.sequence, kEntriesPerPass)) {
    const auto moved = co_await move_entry(entry);
    if (is_stopping_ || writer_.failed()) co_return false;
    if (!moved.ok()) {
      note_failed_move(entry, moved.error());
      co_return false;
    }
  }
  co_return true;
}

io::Task<Status> Reclaimer::move_entry(LiveEntry entry) {
  const SegmentFile* segment = files_.find(entry.ref.sequence);
  if (!segment || index_.find_entry(entry.group, entry.index) != entry.ref) co_return ok();
  const std::shared_ptr<io::File> file = segment->file;
  CO_TRY(co_await read_descriptor(entry.ref.sequence, entry.ref.descriptor_block));
  const uint32_t payload_bytes = entry.ref.payload_bytes;
  Buffer payload;
  if (payload_bytes > 0) {
    payload = env_.buffers.allocate(payload_bytes);
    CO_TRY(co_await file->read(entry.ref.payload_block * kBlockBytes, payload.mutable_view()));
    if (crc32c(payload.view()) != entry.ref.payload_crc) {
      co_return error(Errc::kCorrupt, "the payload is rotten; it was not moved");
    }
  }
  // It may have died meanwhile; a copy would bring it back.
  if (writer_.failed() || index_.find_entry(entry.group, entry.index) != entry.ref) co_return ok();
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
  Record copy{.header = found->header, .head = Buffer::copy_of(found->head), .payload = payload};
  copy.header.kind = RecordKind::kMovedEntry;
  const Lsn lsn = writer_.append(std::move(copy));
  CHECK(index_.stage_move(entry, lsn));
  ++moved_count_;
  moved_bytes_ += payload_bytes + entry.ref.head_bytes;
  co_return co_await throttle();
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

io::Task<Status> Reclaimer::throttle() {
  if (moved_bytes_ < kMovedBytesMax) co_return ok();
  moved_bytes_ = 0;
  const Lsn up_to = writer_.last_lsn();
  while (writer_.durable_lsn() < up_to && !writer_.failed() && !is_stopping_) {
    co_await writer_.progress().wait_next();
  }
  co_return ok();
}

}  // namespace cairn::wal
