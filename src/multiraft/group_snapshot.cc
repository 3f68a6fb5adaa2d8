// Snapshots: taken here and cutting the log, or fetched from the leader.
#include "multiraft/group.h"

namespace cairn::multiraft {

bool Group::can_snapshot() const {
  return !failed_ && !stopping_ && !saving_ && !installing_ && !refusal_ &&
         (applied_ > log_.last_snapshot()->metadata.index || has_become_fuller());
}

bool Group::wants_snapshot() const {
  const HostOptions& options = host_.options();
  return can_snapshot() && ((is_leader() && log_.needs_newer_snapshot()) || has_become_fuller() ||
                            written_bytes_ >= options.snapshot_log_bytes ||
                            written_entries_ >= options.snapshot_log_entries);
}

// For a member that was added: the host's round of snapshots tries again if this fails.
io::Task<void> Group::take_wanted_snapshot() {
  (void)co_await take_snapshot();
}

// An entry of ours is rotten in the log. What it did is in the state machine: with a snapshot and
// without the entries, followers that lack it get that instead, and a restart does not find it.
io::Task<void> Group::replace_rotten_entries() {
  host_.env()
      .metrics
      .counter("cairn_raft_rotten_entries_total",
               "times that an entry could not be read back from the log as it was written")
      .add();
  if (Status taken = co_await take_snapshot(Keep::kNothing); !taken) {
    logger_.warn("rotten entries stay in the log",
                 {{"group", id_}, {"why", taken.error().message()}});
  }
}

io::Task<Status> Group::wait_between_batches() {
  save_waits_ = true;
  while (applying_batch_ && !failed_ && !stopping_ && !refusal_ &&
         !is_planted(PlantedBug::kSnapshotInBatch)) {
    co_await progress_.wait_next();
  }
  save_waits_ = false;
  progress_.notify_all();
  CO_TRY(check_in_service());
  // In the middle of a batch, for nobody knows how long.
  if (refusal_) co_return *refusal_;
  co_return ok();
}

io::Task<Status> Group::take_snapshot(Keep keep) {
  auto inside = CO_TRY(gate_.enter());
  CO_TRY(check_in_service());
  if (saving_ || installing_) {
    co_return error(Errc::kUnavailable, "a snapshot of the copyset is already under way");
  }
  const raft::SnapshotPtr last = log_.last_snapshot();
  if (applied_ <= last->metadata.index && !has_become_fuller()) {
    if (keep == Keep::kNothing && log_.base().index < last->metadata.index) cut_log(last, keep);
    co_return ok();
  }
  // Until the log is cut: two files of one index would be written through each other.
  saving_ = true;
  Status saved = co_await save_and_cut(keep);
  saving_ = false;
  progress_.notify_all();
  co_return saved;
}

io::Task<Status> Group::save_and_cut(Keep keep) {
  // In the middle of a batch the state machine is ahead of applied_: the commands would come again.
  CO_TRY(co_await wait_between_batches());
  if (is_overtaken()) {
    co_return error(Errc::kUnavailable, "the leader's snapshot is about to be installed");
  }
  auto snapshot = std::make_shared<raft::Snapshot>();
  snapshot->metadata.index = applied_;
  snapshot->metadata.term = log_.term(applied_).value();
  snapshot->metadata.conf_state = configuration_;
  const Epoch epoch = epoch_;
  const uint64_t bytes_before = written_bytes_, entries_before = written_entries_;

  const uint64_t missing_count = machine_.missing_count();
  auto saved = co_await machine_.on_snapshot_save();
  if (!saved && is_refusal(saved.code())) co_return saved.error();
  if (!saved) {
    // The log stays whole (pitfall 21). What could not be made durable must not be relied on.
    fail(saved.error().within("saving a snapshot"));
    co_return saved.error();
  }
  CO_TRY(check_in_service());
  // The leader's snapshot, which is newer, takes its place.
  if (installing_ || is_overtaken()) co_return ok();
  auto state = co_await keep_saved(snapshot->metadata.index, epoch, std::move(saved->data),
                                   missing_count > 0 ? Of::kPartialState : Of::kWholeState);
  if (!state) {
    if (!is_refusal(state.code())) fail(state.error().within("saving a snapshot"));
    co_return state.error();
  }
  CO_TRY(check_in_service());
  if (installing_ || is_overtaken()) co_return ok();
  snapshot->data = encode(*state);
  written_bytes_ -= std::min(written_bytes_, bytes_before);
  written_entries_ -= std::min(written_entries_, entries_before);
  log_.set_missing(missing_count);
  cut_log(std::move(snapshot), keep);
  if (raw_->is_partial()) CO_TRY(co_await count_again());
  co_return ok();
}

bool Group::has_become_fuller() const {
  const uint64_t missing_count = machine_.missing_count(), described_count = log_.missing_count();
  if (missing_count == 0) return described_count > 0;
  return missing_count + described_count / 8 + 1 <= described_count;
}

// What was missing is durable, and the mark says that nothing is: once that is durable as well,
// this member's acknowledgments count again.
io::Task<Status> Group::count_again() {
  if (log_.is_partial()) co_return ok();
  CO_TRY(co_await host_.wait_durable(last_written_));
  CO_TRY(check_in_service());
  if (log_.is_partial()) co_return ok();
  raw_->set_partial(false);
  host_.mark_ready(*this);
  co_return ok();
}

void Group::cut_log(raft::SnapshotPtr snapshot, Keep keep) {
  const HostOptions& options = host_.options();
  LogIndex cut = snapshot->metadata.index;
  if (keep == Keep::kRetainedLog) {
    cut = std::max(log_.base().index, log_.cut_that_keeps(cut, host_.retained_log_bytes(),
                                                          options.retained_log_entries));
  }
  wal::SnapshotMark mark;
  mark.index = cut;
  mark.term = log_.term(cut).value();
  mark.data = encode_mark(*snapshot);
  last_written_ = host_.wal().append_snapshot(id_, mark, /*reset_log=*/false);
  log_.set_snapshot(std::move(snapshot));
  log_.compact(cut);
  host_.env().executor.spawn(remove_old_files());
}

// A partial state may be described again before the log has grown, where a file of its own would be
// in the next one's way: it stands in the mark, as far as that takes it.
io::Task<Result<GroupState>> Group::keep_saved(LogIndex index, Epoch epoch, Buffer data, Of of) {
  GroupState state{.epoch = epoch, .machine = Buffer()};
  const size_t inline_bytes_max = of == Of::kPartialState
                                      ? wal::Wal::kMarkBytesMax / 2
                                      : host_.options().snapshot_inline_bytes_max;
  if (data.size_bytes() <= inline_bytes_max) {
    state.machine = std::move(data);
  } else if (names_file(index)) {
    co_return error(Errc::kUnavailable,
                    "the file of index " + to_string(index) + " is in use until the log grows");
  } else {
    state.file = CO_TRY(co_await host_.snapshot_files().save(id_, index, std::move(data)));
  }
  co_return state;
}

bool Group::names_file(LogIndex index) const {
  const auto state = decode_group_state(log_.last_snapshot()->data.view());
  return state && state->file && state->file->index == index;
}

// Once the mark that names a newer one is durable.
io::Task<void> Group::remove_old_files() {
  auto inside = gate_.enter();
  if (!inside) co_return;
  const LogIndex index = log_.last_snapshot()->metadata.index;
  if (!co_await host_.wait_durable(last_written_)) co_return;
  co_await host_.snapshot_files().remove_before(id_, index);
}

// A snapshot's file is fetched before the core hears of the snapshot: until it is here, whole, this
// member goes on with what it has, and a leader that gives up, or has a newer one, is no trouble.
bool Group::has_to_be_fetched(const raft::Message& message) {
  auto state = decode_group_state(message.snapshot->data.view());
  if (!state || !state->file || message.snapshot->metadata.index <= raw_->committed()) return false;
  if (host_.snapshot_files().contains(id_, state->file->index)) return false;
  const bool is_under_way = fetching_.has_value();
  const bool is_same =
      is_under_way && fetching_->snapshot->metadata.index == message.snapshot->metadata.index;
  if (!is_under_way || is_same) fetching_ = message;  // the same from a newer leader
  if (!is_under_way) host_.env().executor.spawn(fetch_snapshot(*state->file));
  return true;
}

io::Task<void> Group::fetch_snapshot(SnapshotFile file) {
  auto inside = gate_.enter();
  Status fetched = error(Errc::kClosed, "stopping");
  if (inside) fetched = co_await host_.snapshot_files().fetch(id_, file, fetching_->from);
  raft::Message message = std::move(*std::exchange(fetching_, std::nullopt));
  if (failed_ || stopping_) co_return;
  if (fetched) {
    step(std::move(message));
  } else if (fetched.code() == Errc::kIo) {
    fail(fetched.error().within("fetching a snapshot"));
  } else {
    // The leader asks again after a while.
    logger_.warn("a snapshot was not fetched",
                 {{"group", id_}, {"why", fetched.error().message()}});
  }
}

io::Task<void> Group::install_loop() {
  auto inside = gate_.enter();
  while (inside && !held_appends_.empty() && !failed_ && !stopping_) {
    raft::Message message = std::move(held_appends_.front());
    held_appends_.pop_front();
    if (message.snapshot && !message.snapshot->empty()) {
      if (auto installed = co_await install(std::move(message)); !installed) {
        if (!stopping_) fail(installed.error().within("installing a snapshot"));
        break;
      }
    } else {
      write(message);
      deliver_when_durable(std::move(message.responses));
    }
  }
  installing_ = false;
  progress_.notify_all();
}

io::Task<Status> Group::install(raft::Message message) {
  const raft::SnapshotPtr snapshot = message.snapshot;
  GroupState state = CO_TRY(decode_group_state(snapshot->data.view()));
  if (state.file) {
    state.machine = CO_TRY(co_await host_.snapshot_files().load(id_, *state.file));
  }
  logger_.info("installing a snapshot",
               {{"group", id_}, {"index", snapshot->metadata.index}, {"applied", applied_}});
  // The core hands out no entries while a snapshot is pending; what it had handed out is finished.
  while (applying_ || saving_) {
    co_await progress_.wait_next();
    CO_TRY(check_in_service());
  }
  uint64_t missing_count = 0;
  for (;;) {
    const NodeId source = leader().is_none() ? NodeId() : leader();
    Status loaded = error(Errc::kUnavailable, "no leader is known to fetch from");
    if (!source.is_none() && source != host_.self()) {
      loaded = co_await machine_.on_snapshot_load(state.machine, source);
    }
    CO_TRY(check_in_service());
    missing_count = machine_.missing_count();
    if (loaded && missing_count > 0) {
      loaded = co_await describe_partial(&message.snapshot, state.epoch);
      CO_TRY(check_in_service());
    }
    if (loaded) break;
    logger_.warn("a snapshot could not be fetched; trying again",
                 {{"group", id_}, {"source", source}, {"why", loaded.error().message()}});
    if (loaded.code() == Errc::kIo || loaded.code() == Errc::kCorrupt) co_return loaded;
    co_await host_.env().clock.sleep(host_.options().snapshot_retry_delay);
    CO_TRY(check_in_service());
  }
  adopt_snapshot(message, state.epoch, missing_count);
  co_return ok();
}

// What a restart finds in the log is what this member has, not what the leader has.
io::Task<Status> Group::describe_partial(raft::SnapshotPtr* snapshot, Epoch epoch) {
  auto saved = CO_TRY(co_await machine_.on_snapshot_save());
  CO_TRY(check_in_service());
  const LogIndex index = (*snapshot)->metadata.index;
  const GroupState state =
      CO_TRY(co_await keep_saved(index, epoch, std::move(saved.data), Of::kPartialState));
  CO_TRY(check_in_service());
  auto own = std::make_shared<raft::Snapshot>(**snapshot);
  own->data = encode(state);
  *snapshot = std::move(own);
  co_return ok();
}

void Group::adopt_snapshot(raft::Message& message, Epoch epoch, uint64_t missing_count) {
  const raft::SnapshotPtr snapshot = message.snapshot;
  CHECK(snapshot->metadata.index >= applied_);
  log_.reset(snapshot);
  log_.set_missing(missing_count);
  raw_->set_partial(missing_count > 0);
  applied_ = snapshot->metadata.index;
  epoch_ = epoch;
  configuration_ = snapshot->metadata.conf_state;
  written_bytes_ = written_entries_ = 0;
  wal::SnapshotMark mark;
  mark.index = snapshot->metadata.index;
  mark.term = snapshot->metadata.term;
  mark.data = encode_mark(*snapshot);
  last_written_ = host_.wal().append_snapshot(id_, mark, /*reset_log=*/true);
  write(message);
  deliver_when_durable(std::move(message.responses));
  host_.env().executor.spawn(remove_old_files());
  machine_.on_epoch(epoch_, applied_);
  machine_.on_configuration_committed(configuration_);
  greet_members();
  progress_.notify_all();
}

void Group::reprobe_snapshots() {
  // A follower that died while it installed never answers: after a while the leader asks again
  // where its log ends. One that is still installing takes no harm from the question.
  if (!is_leader()) {
    ticks_to_reprobe_ = 0;
    return;
  }
  if (++ticks_to_reprobe_ < host_.options().election_ticks * 5) return;
  ticks_to_reprobe_ = 0;
  const raft::TrackerConfig& config = raw_->config();
  for (const auto* members : {&config.voters.incoming, &config.voters.outgoing, &config.learners}) {
    for (NodeId peer : members->ids()) {
      const raft::Progress* progress = raw_->progress(peer);
      if (peer != host_.self() && progress && progress->state == raft::ProgressState::kSnapshot) {
        raw_->report_snapshot(peer, false);
      }
    }
  }
}

}  // namespace cairn::multiraft
