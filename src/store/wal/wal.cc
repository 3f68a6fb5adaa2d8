#include "store/wal/wal.h"

#include <algorithm>

#include "base/crc32c.h"
#include "io/sync.h"
#include "store/wal/incarnation.h"
#include "store/wal/live_index.h"
#include "store/wal/reclaimer.h"
#include "store/wal/recovery.h"
#include "store/wal/segment_files.h"
#include "store/wal/writer.h"

namespace cairn::wal {

struct Wal::Parts {
  Parts(io::Env e, io::Disk& d, WalOptions o, Listener& listener)
      : env(std::move(e)),
        disk(d),
        options(std::move(o)),
        files(env, d, options),
        writer(env, options, listener, index, files),
        reclaimer(env, options, index, files, writer),
        gate(env.executor) {}

  io::Task<Status> begin(RecoveredLog log, std::vector<RecoveredGroup>* recovered);
  void load(RecoveredLog& log, std::vector<RecoveredGroup>* recovered);
  uint64_t drop_old_segments(uint64_t oldest_sequence);
  io::Task<Status> write_opening(Replay replay);
  io::Task<Status> settle_incarnation(std::optional<Incarnation> found);
  void append_quarantines(const Replay& replay);
  static void start_background(const std::shared_ptr<Parts>& parts);
  static io::Task<void> keep_files(std::shared_ptr<Parts> parts);
  static io::Task<void> reclaim(std::shared_ptr<Parts> parts);
  static io::Task<void> close_gate(std::shared_ptr<Parts> parts);

  io::Env env;
  io::Disk& disk;
  const WalOptions options;
  LiveIndex index;
  SegmentFiles files;
  Writer writer;
  Reclaimer reclaimer;
  RecoverySummary summary;
  io::Gate gate;
};

namespace {

Status check_options(const WalOptions& options) {
  const bool sane = options.segment_bytes >= kSegmentBytesMin &&
                    options.segment_bytes <= kSegmentBytesMax &&
                    is_block_aligned(options.segment_bytes) && options.batch_bytes_max > 0 &&
                    options.batch_bytes_max <= kDescriptorBytesMax / 2 &&
                    options.writes_inflight_max > 0 && options.segments_ready_min > 0;
  if (!sane) return error(Errc::kInvalidArgument, "the log's options contradict its format");
  return ok();
}

uint64_t draw_token(io::Entropy& entropy) {
  uint64_t token = 0;
  while (token == 0) entropy.fill({reinterpret_cast<std::byte*>(&token), sizeof(token)});
  return token;
}

/// Holds what the identity file says to what the host expects, and tells the recovery about it.
io::Task<Result<std::optional<Incarnation>>> find_incarnation(io::Env env, io::Disk& disk,
                                                              WalOptions* options) {
  auto loaded = co_await load_incarnation(disk, options->directory);
  if (loaded.code() == Errc::kCorrupt) {
    // It was there, so there was a log; the log itself tells whose incarnation it is.
    env.logger.error("the log's identity file is rotten; it is written again if the log is there",
                     {{"why", loaded.error().message()}});
    options->must_exist = true;
    co_return std::optional<Incarnation>();
  }
  if (!loaded.ok()) co_return loaded.error();
  const std::optional<Incarnation> found = *loaded;
  if (!found) co_return found;
  if (options->owner != 0 && found->owner != 0 && found->owner != options->owner) {
    co_return error(Errc::kPreconditionFailed,
                    "the log in " + options->directory + " is that of node " +
                        std::to_string(found->owner) + ", and this is node " +
                        std::to_string(options->owner) +
                        ": was the directory copied? Nothing was changed");
  }
  if (options->store_token != 0 && options->store_token != found->token) {
    co_return error(Errc::kPreconditionFailed,
                    "the log in " + options->directory + " is incarnation " +
                        std::to_string(found->token) + ", expected was " +
                        std::to_string(options->store_token) + "; nothing was changed");
  }
  options->store_token = found->token;
  options->must_exist = true;
  co_return found;
}

RecoveredGroup public_view(uint64_t id, const ReplayedGroup& replayed) {
  RecoveredGroup group{.group = GroupId(id),
                       .hard_state = replayed.hard_state,
                       .snapshot = replayed.snapshot,
                       .entries = {},
                       .quarantine_reason = replayed.quarantine_reason};
  group.entries.reserve(replayed.entries.size());
  for (const auto& [index, entry] : replayed.entries) {
    group.entries.push_back({.term = Term(entry.header.term),
                             .index = LogIndex(index),
                             .type = entry.header.type,
                             .head = entry.head,
                             .payload_bytes = entry.header.payload_bytes});
  }
  return group;
}

}  // namespace

io::Task<Result<std::unique_ptr<Wal>>> Wal::open(io::Env env, io::Disk& disk, WalOptions options,
                                                 Listener& listener,
                                                 std::vector<RecoveredGroup>* recovered) {
  CHECK(recovered);
  CO_TRY(check_options(options));
  env.logger = env.logger.named("wal");
  CO_TRY(co_await disk.make_directory(options.directory));
  // The name of the directory has to be as durable as what is in it.
  const auto slash = options.directory.rfind('/');
  CO_TRY(co_await disk.sync_directory(
      slash == std::string::npos ? std::string(".") : options.directory.substr(0, slash)));
  const auto incarnation = CO_TRY(co_await find_incarnation(env, disk, &options));
  auto log = CO_TRY(co_await recover(env, disk, options));
  auto parts = std::make_shared<Parts>(env, disk, std::move(options), listener);
  CO_TRY(co_await parts->begin(std::move(log), recovered));
  CO_TRY(co_await parts->settle_incarnation(incarnation));
  parts->writer.unmute();
  Parts::start_background(parts);
  co_return std::unique_ptr<Wal>(new Wal(std::move(parts)));
}

io::Task<Status> Wal::Parts::begin(RecoveredLog log, std::vector<RecoveredGroup>* recovered) {
  load(log, recovered);
  // What was read may be what a killed process had in flight, in a cache that can still be lost:
  // it counts from now on, so it has to be durable before the opening says that it is.
  for (const SegmentUse& use : index.segments()) {
    const std::shared_ptr<io::File> file = files.find(use.sequence)->file;
    CO_TRY(co_await file->sync_data());
  }
  for (const std::string& path : log.garbage) CO_TRY(co_await disk.remove(path));
  const Replay& replay = log.replay;
  uint64_t last_number = replay.last_batch();
  for (const Gap& gap : replay.gaps()) last_number = std::max(last_number, gap.last_missing);
  LogEnd end{.token = log.token != 0 ? log.token : draw_token(env.entropy),
             .next_batch = last_number + 1,
             .previous_hash = replay.last_hash(),
             .previous_sequence = replay.last_sequence(),
             .oldest_sequence = drop_old_segments(replay.oldest_sequence())};
  writer.start(end);
  CO_TRY(co_await files.prepare());
  co_return co_await write_opening(std::move(log.replay));
}

void Wal::Parts::load(RecoveredLog& log, std::vector<RecoveredGroup>* recovered) {
  for (SegmentFile& file : log.log) {
    index.add_segment(file.sequence);
    files.adopt(std::move(file));
  }
  for (const uint64_t sequence : log.idle) files.add_idle(sequence);
  files.set_next_sequence(log.next_sequence);
  recovered->clear();
  for (const auto& [id, group] : log.replay.groups()) {
    index.load(id, group);
    recovered->push_back(public_view(id, group));
    for (const auto& [at, entry] : group.entries) summary.damaged_entries += entry.is_damaged;
  }
  summary.segments_count = index.segments().size();
  summary.batches_count = log.replay.batches_count();
  summary.records_count = log.replay.records_count();
  summary.batches_cut = log.replay.batches_cut();
  for (const Gap& gap : log.replay.gaps()) {
    summary.gaps.push_back(gap.what);
    env.logger.error("batches of the log are missing", {{"gap", gap.what}});
  }
  env.logger.info("the log was read back", {{"segments", summary.segments_count},
                                            {"batches", summary.batches_count},
                                            {"records", summary.records_count},
                                            {"last_batch", log.replay.last_batch()},
                                            {"groups", log.replay.groups().size()},
                                            {"oldest_segment", log.replay.oldest_sequence()}});
  if (!log.replay.cut_reason().empty()) {
    env.logger.info("a torn tail was cut",
                    {{"why", log.replay.cut_reason()}, {"batches_cut", summary.batches_cut}});
  }
}

/// Files of segments that had left the log may still be there. Something in them lives only if its
/// newer copy was lost (its group is quarantined then).
uint64_t Wal::Parts::drop_old_segments(uint64_t oldest_sequence) {
  for (const SegmentUse& use : index.segments()) {
    const bool is_live = use.live_entries > 0 || use.live_small > 0;
    if (is_live) oldest_sequence = std::min(oldest_sequence, use.sequence);
  }
  index.drop_segments_below(oldest_sequence);
  files.retire_below(oldest_sequence);
  return oldest_sequence;
}

/// Makes the cut and the quarantines durable before anybody acts on what was recovered.
io::Task<Status> Wal::Parts::write_opening(Replay replay) {
  append_quarantines(replay);
  writer.request_batch();
  // A batch holds what fits; the mark behind the last one ends the opening.
  auto drained = co_await writer.drain();
  if (!drained.ok()) co_return std::move(drained).error().within("opening the log");
  co_return ok();
}

/// Behind the opening, so that the file never tells of a log that was not begun; before any record
/// of a group, so that a log with groups is never without it.
io::Task<Status> Wal::Parts::settle_incarnation(std::optional<Incarnation> found) {
  Incarnation wanted{.token = writer.token(), .owner = options.owner};
  if (found && wanted.owner == 0) wanted.owner = found->owner;
  if (found == wanted) co_return ok();
  CHECK(!found || found->token == wanted.token, "a log keeps its token");
  co_return co_await save_incarnation(disk, options.directory, wanted);
}

void Wal::Parts::append_quarantines(const Replay& replay) {
  for (const auto& [id, group] : replay.groups()) {
    const bool is_new = !group.quarantine_reason.empty() && group.quarantine_place.sequence == 0;
    if (!is_new) continue;
    env.logger.error("a group is quarantined",
                     {{"group", id}, {"reason", group.quarantine_reason}});
    const RecordHeader header{.kind = RecordKind::kQuarantine, .group = id};
    const Lsn lsn =
        writer.append({.header = header, .head = Buffer::copy_of(group.quarantine_reason)});
    index.stage_quarantine(GroupId(id), group.quarantine_reason, lsn);
  }
  // Behind the quarantines: whoever reads this finds them, too.
  for (const Gap& gap : replay.gaps()) {
    if (gap.is_known) continue;
    const RecordHeader header{
        .kind = RecordKind::kKnownGap, .index = gap.first_missing, .term = gap.last_missing};
    writer.append({.header = header});
  }
}

void Wal::Parts::start_background(const std::shared_ptr<Parts>& parts) {
  Reclaimer& reclaimer = parts->reclaimer;
  parts->writer.on_progress([&reclaimer] { reclaimer.poke(); });
  parts->env.executor.spawn(keep_files(parts));
  parts->env.executor.spawn(reclaim(parts));
  reclaimer.poke();
}

io::Task<void> Wal::Parts::keep_files(std::shared_ptr<Parts> parts) {
  auto inside = parts->gate.enter();
  CHECK(inside.ok());
  Writer& writer = parts->writer;
  co_await parts->files.run(
      [&writer] {
        writer.poke();
        writer.progress().notify_all();
      },
      [&writer](Error reason) { writer.fail(reason.within("preparing a log segment")); });
}

io::Task<void> Wal::Parts::reclaim(std::shared_ptr<Parts> parts) {
  auto inside = parts->gate.enter();
  CHECK(inside.ok());
  co_await parts->reclaimer.run();
}

io::Task<void> Wal::Parts::close_gate(std::shared_ptr<Parts> parts) {
  co_await parts->gate.close();
}

Wal::Wal(std::shared_ptr<Parts> parts) : parts_(std::move(parts)) {}
Wal::~Wal() {
  parts_->writer.abandon();
  parts_->files.stop();
  parts_->reclaimer.stop();
}

Lsn Wal::append_entry(GroupId group, const Entry& entry) {
  CHECK(!group.is_none() && entry.head.size_bytes() <= kHeadBytesMax);
  CHECK(is_block_aligned(entry.payload.size_bytes()));
  Record record{.header = {.kind = RecordKind::kEntry,
                           .type = entry.type,
                           .head_bytes = static_cast<uint32_t>(entry.head.size_bytes()),
                           .group = group.value(),
                           .index = entry.index.value(),
                           .term = entry.term.value(),
                           .payload_bytes = static_cast<uint32_t>(entry.payload.size_bytes())},
                .head = entry.head,
                .payload = entry.payload};
  if (!entry.payload.empty()) record.header.payload_crc = crc32c(entry.payload.view());
  const RecordHeader header = record.header;
  const Lsn lsn = parts_->writer.append(std::move(record));
  if (!failed()) parts_->index.stage_entry(group, header, lsn);
  return lsn;
}

Lsn Wal::append_hard_state(GroupId group, const HardState& state) {
  CHECK(!group.is_none());
  const RecordHeader header{.kind = RecordKind::kHardState,
                            .group = group.value(),
                            .index = state.commit.value(),
                            .term = state.term.value(),
                            .extra = state.vote};
  const Lsn lsn = parts_->writer.append({.header = header});
  if (!failed()) parts_->index.stage_hard_state(group, state, lsn);
  return lsn;
}

Lsn Wal::append_snapshot(GroupId group, const SnapshotMark& mark, bool reset_log) {
  CHECK(!group.is_none() && mark.data.size_bytes() <= kMarkBytesMax);
  const RecordHeader header{.kind = RecordKind::kSnapshot,
                            .flags = reset_log ? kSnapshotResetsLog : uint16_t{0},
                            .group = group.value(),
                            .index = mark.index.value(),
                            .term = mark.term.value()};
  const Lsn lsn = parts_->writer.append({.header = header, .head = mark.data});
  if (!failed()) parts_->index.stage_snapshot(group, mark.index, mark.term, reset_log, lsn);
  return lsn;
}

Lsn Wal::append_remove_group(GroupId group) {
  CHECK(!group.is_none());
  const RecordHeader header{.kind = RecordKind::kRemoveGroup, .group = group.value()};
  const Lsn lsn = parts_->writer.append({.header = header});
  if (!failed()) parts_->index.remove_group(group);
  return lsn;
}

io::Task<Result<Buffer>> Wal::read_payload(GroupId group, LogIndex index) {
  const std::shared_ptr<Parts> held = parts_;
  auto inside = CO_TRY(held->gate.enter());
  Parts& parts = *held;
  const auto name = [&] { return "entry " + to_string(index) + " of group " + to_string(group); };
  // The entry may be moved to another segment while it is read: then it is read there.
  for (int attempt = 0; attempt < kReadAttemptsMax; ++attempt) {
    const auto ref = parts.index.find_entry(group, index);
    if (!ref) co_return error(Errc::kNotFound, name() + " is not alive");
    if (ref->payload_bytes == 0) co_return Buffer();
    if (!ref->is_placed()) co_return parts.writer.staged_payload(ref->staged_lsn);
    const SegmentFile* segment = parts.files.find(ref->sequence);
    CHECK(segment, "a live record stands in a segment of the log");
    const std::shared_ptr<io::File> file = segment->file;
    Buffer payload = parts.env.buffers.allocate(ref->payload_bytes);
    const auto read = co_await file->read(ref->payload_block * kBlockBytes, payload.mutable_view());
    const bool is_sound = read.ok() && crc32c(payload.view()) == ref->payload_crc;
    if (is_sound) co_return payload;
    if (parts.index.find_entry(group, index) != ref) continue;
    if (!read.ok()) co_return read.error().within(name());
    co_return error(Errc::kCorrupt, name() + " is rotten in " + segment_name(ref->sequence));
  }
  co_return error(Errc::kUnavailable, name() + " moved each time it was read");
}

Lsn Wal::last_lsn() const {
  return parts_->writer.last_lsn();
}
Lsn Wal::durable_lsn() const {
  return parts_->writer.durable_lsn();
}
bool Wal::failed() const {
  return parts_->writer.failed();
}
Status Wal::admit(Intake intake) const {
  const Writer& writer = parts_->writer;
  const WalOptions& options = parts_->options;
  if (failed()) return error(Errc::kIo, "the log of this disk has failed");
  if (writer.waits_for_segment() && parts_->files.is_starved()) {
    return error(Errc::kNoSpace, "this disk has no space for another segment of its log");
  }
  if (intake == Intake::kProposal && writer.pending_bytes() > options.pending_bytes_max) {
    return error(Errc::kOverloaded, "the log of this disk is behind");
  }
  const uint64_t used_bytes = writer.used_bytes();
  if (used_bytes > intake_limit_bytes(options, intake)) {
    return error(Errc::kOverloaded, "the log of this disk is as large as it may be (" +
                                        std::to_string(used_bytes) + " of " +
                                        std::to_string(options.wal_bytes_max) +
                                        " bytes): copysets have to take snapshots first");
  }
  return ok();
}
uint64_t Wal::live_bytes() const {
  return parts_->index.live_bytes();
}
uint64_t Wal::log_bytes() const {
  return parts_->files.in_use_bytes();
}
bool Wal::over_limit() const {
  return log_bytes() > soft_limit_bytes(parts_->options);
}

uint64_t Wal::bytes_since_snapshot(GroupId group) const {
  const GroupUse* use = parts_->index.find(group);
  return use ? use->live_bytes : 0;
}

std::vector<GroupId> Wal::groups_pinning_oldest(size_t count) const {
  const auto& segments = parts_->index.segments();
  if (segments.empty()) return {};
  uint64_t over_bytes = log_bytes() - std::min(log_bytes(), soft_limit_bytes(parts_->options));
  uint64_t sequence_max = segments.front().sequence;
  for (const SegmentUse& use : segments) {
    sequence_max = use.sequence;
    const uint64_t file_bytes = parts_->files.find(use.sequence)->file_bytes;
    if (over_bytes <= file_bytes) break;
    over_bytes -= file_bytes;
  }
  return parts_->index.groups_in(sequence_max, count);
}

WalStats Wal::stats() const {
  WalStats stats = parts_->writer.stats();
  stats.moved_records = parts_->reclaimer.moved_count();
  stats.segments_recycled = parts_->files.recycled_count();
  stats.segments_created = parts_->files.created_count();
  return stats;
}

const RecoverySummary& Wal::recovery() const {
  return parts_->summary;
}
uint64_t Wal::store_token() const {
  return parts_->writer.token();
}

io::Task<void> Wal::stop() {
  const auto drained = co_await parts_->writer.drain();
  if (!drained.ok()) {
    parts_->env.logger.warn("the log is closed unfinished",
                            {{"error", drained.error().describe()}});
  }
  parts_->reclaimer.stop();
  parts_->files.stop();
  parts_->writer.progress().notify_all();
  if (failed()) {
    parts_->env.executor.spawn(Parts::close_gate(parts_));
    const Instant until = parts_->env.clock.now() + kStopWaitMax;
    while (parts_->gate.holders_count() > 0 && parts_->env.clock.now() < until) {
      co_await parts_->env.clock.sleep(kStopWaitMax / 100);
    }
    co_return;
  }
  co_await parts_->gate.close();
  parts_->index.check_invariants();
}

}  // namespace cairn::wal
