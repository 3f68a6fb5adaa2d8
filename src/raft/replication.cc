#include "base/planted_bug.h"
#include "raft/raft.h"

namespace cairn::raft {

void Raft::broadcast_append() {
  for (auto& [id, progress] : tracker_.progress) {
    if (id != id_) send_append(id, progress);
  }
}

// With batch_appends, before a Ready.
void Raft::send_due_appends() {
  if (!std::exchange(appends_due_, false) || role_ != Role::kLeader) return;
  for (auto& [id, progress] : tracker_.progress) {
    if (id != id_) send_what_is_due(id, progress);
  }
}

void Raft::send_what_is_due(NodeId to, Progress& progress) {
  // Without entries only for news of what is committed.
  bool is_wanted = progress.can_bump_commit(log_.committed());
  while (maybe_send_append(to, progress, is_wanted)) is_wanted = false;
}

void Raft::broadcast_heartbeat() {
  broadcast_heartbeat(reads_.last_pending());
}

// `read_sequence`: the round that answers confirm for waiting reads; 0 if none.
void Raft::broadcast_heartbeat(uint64_t read_sequence) {
  Buffer context;
  if (read_sequence != 0) {
    context = Buffer::allocate(sizeof read_sequence);
    store(context.mutable_view(), read_sequence);
  }
  for (auto& [id, progress] : tracker_.progress) {
    if (id != id_) send_heartbeat(id, progress, context);
  }
}

// A follower that may not have all that is committed is told only what it has acknowledged.
void Raft::send_heartbeat(NodeId to, Progress& progress, const Buffer& context) {
  const bool is_bounded = !is_planted(PlantedBug::kCommitWithHeartbeat);
  const LogIndex commit =
      is_bounded ? std::min(progress.match, log_.committed()) : log_.committed();
  Message message{.type = MessageType::kHeartbeat, .to = to, .commit = commit};
  message.context = context;
  send(std::move(message));
  progress.sent_commit = commit;
}

// Sends entries from progress.next on, or a snapshot if they are gone; `send_if_empty`: also with
// nothing to send, which carries the commit index and probes. False: nothing was sent.
bool Raft::maybe_send_append(NodeId to, Progress& progress, bool send_if_empty) {
  if (progress.is_paused()) return false;
  const LogIndex previous = progress.next - 1;
  const std::optional<Term> previous_term = log_.term(previous);
  if (!previous_term) return maybe_send_snapshot(to, progress);
  // With a full window only an empty append passes: if all that fills it was lost, its refusal is
  // what gets replication going again.
  std::optional<Entries> entries(std::in_place);
  if (progress.state != ProgressState::kReplicate || !progress.inflights.full()) {
    entries = log_.entries_from(progress.next, size_per_message_max_);
  }
  if ((!entries || entries->empty()) && !send_if_empty) return false;
  if (!entries) return maybe_send_snapshot(to, progress);

  const uint64_t count = entries->size();
  const uint64_t bytes = payload_bytes(*entries);
  Message message{.type = MessageType::kAppend,
                  .to = to,
                  .log_term = *previous_term,
                  .index = previous,
                  .commit = log_.committed()};
  message.entries = *std::move(entries);
  send(std::move(message));
  progress.sent_entries(count, bytes);
  progress.sent_commit = log_.committed();
  return true;
}

bool Raft::maybe_send_snapshot(NodeId to, Progress& progress) {
  if (!progress.recent_active) {
    debug("ignore sending snapshot to ", to, " since it is not recently active");
    return false;
  }
  auto snapshot = log_.snapshot();
  if (!snapshot) {
    CHECK(snapshot.code() == kSnapshotTemporarilyUnavailable, "storage failed");
    debug(id_, " failed to send snapshot to ", to, " because it is temporarily unavailable");
    return false;
  }
  CHECK(*snapshot && !(*snapshot)->empty(), "entries were compacted without a snapshot");
  const SnapshotMetadata& at = (*snapshot)->metadata;
  debug(id_, " [firstindex: ", log_.first_index(), ", commit: ", log_.committed(),
        "] sent snapshot[index: ", at.index, ", term: ", at.term, "] to ", to, " [", progress, "]");
  progress.become_snapshot(at.index);
  debug(id_, " paused sending replication messages to ", to, " [", progress, "]");
  Message message{.type = MessageType::kSnapshot, .to = to};
  message.snapshot = *snapshot;
  send(std::move(message));
  return true;
}

// A refusal carries a hint: where the follower's log may meet ours (`reject_hint`) and the term it
// has there. Skipping what cannot match turns a probe for each entry into one for each term.
void Raft::take_append_rejection(const Message& message, Progress& progress) {
  debug(id_, " received MsgAppResp(rejected, hint: (index ", message.reject_hint, ", term ",
        message.log_term, ")) from ", message.from, " for index ", message.index);
  LogIndex probe = message.reject_hint;
  if (!message.log_term.is_zero()) {
    probe = log_.find_conflict_by_term(message.reject_hint, message.log_term).index;
  }
  if (!progress.maybe_decrease_to(message.index, probe)) return;
  debug(id_, " decreased progress of ", message.from, " to [", progress, "]");
  if (progress.state == ProgressState::kReplicate) progress.become_probe();
  send_append(message.from, progress);
}

void Raft::take_append_response(const Message& message, Progress& progress) {
  progress.recent_active = true;
  if (message.reject) return take_append_rejection(message, progress);
  // What was never sent cannot be acknowledged: believing it would commit what nobody has.
  if (message.index > log_.last_index()) return;
  if (!take_acknowledgment(message, progress)) return;
  const LogIndex known = message.is_partial ? std::min(message.commit, message.index) : LogIndex();
  const bool learns = known > log_.committed();
  if (learns) log_.commit_to(known);  // the logs match up to there
  if (maybe_commit() || learns) {
    announce_commit();
  } else if (!batch_appends_ && message.from != id_ && progress.can_bump_commit(log_.committed())) {
    // Not waiting for the heartbeat to tell it what is committed.
    send_append(message.from, progress);
  }
  if (batch_appends_) appends_due_ = true;
  // The window has opened: fill it.
  if (message.from != id_ && !batch_appends_) {
    while (maybe_send_append(message.from, progress, false)) {
    }
  }
  if (message.from == transferee_ && progress.match == log_.last_index()) {
    info(id_, " sent MsgTimeoutNow to ", message.from, " after received MsgAppResp");
    send_timeout_now(message.from);
  }
}

// False: there is nothing new in it.
bool Raft::take_acknowledgment(const Message& message, Progress& progress) {
  // A probe that is answered without news (after an unreachable peer came back, say) still shows
  // that the logs meet.
  const bool probed = progress.match == message.index && progress.state == ProgressState::kProbe;
  const bool matches_more = progress.maybe_update(message.index);
  const bool is_partial = message.from == id_ ? is_partial_ : message.is_partial;
  const bool counts_more = !is_partial && progress.count_up_to(message.index);
  if (!matches_more && !probed) return counts_more || message.commit > log_.committed();
  switch (progress.state) {
    case ProgressState::kProbe:
      progress.become_replicate();
      break;
    case ProgressState::kSnapshot:
      // Whatever snapshot brought it here: if the log goes on from there, snapshots are over.
      if (progress.match + 1 >= log_.first_index()) {
        debug(id_, " recovered from needing snapshot, resumed sending replication messages to ",
              message.from, " [", progress, "]");
        progress.become_probe();
        progress.become_replicate();
      }
      break;
    case ProgressState::kReplicate:
      progress.inflights.free_up_to(message.index);
      break;
  }
  return true;
}

// The commit index has moved.
void Raft::announce_commit() {
  release_early_reads();
  if (batch_appends_) {
    appends_due_ = true;
  } else {
    broadcast_append();
  }
}

void Raft::set_partial(bool is_partial) {
  if (std::exchange(is_partial_, is_partial) == is_partial || is_partial) return;
  Progress* own = role_ == Role::kLeader ? tracker_.progress.find(id_) : nullptr;
  if (own && own->count_up_to(own->match) && maybe_commit()) announce_commit();
}

void Raft::take_heartbeat_response(const Message& message, Progress& progress) {
  progress.recent_active = true;
  progress.paused = false;
  // One append may pass, even into a full window; and a probe that was answered needs an append to
  // get back to replicating although there is nothing to send.
  // One whose state was partial is asked whether it counts by now.
  if (progress.match < log_.last_index() || progress.state == ProgressState::kProbe ||
      progress.is_partial()) {
    send_append(message.from, progress);
  }
  if (is_planted(PlantedBug::kReadAckOfAnyRound)) {
    reads_.acknowledge(message.from, reads_.last_pending());
    return release_confirmed_reads();
  }
  if (message.context.size_bytes() != sizeof(uint64_t)) return;
  reads_.acknowledge(message.from, load<uint64_t>(message.context.view()));
  release_confirmed_reads();
}

void Raft::take_snapshot_status(const Message& message, Progress& progress) {
  if (progress.state != ProgressState::kSnapshot) return;
  if (message.reject) {
    progress.pending_snapshot = LogIndex(0);  // else the probe would start behind it
    debug(id_, " snapshot failed, resumed sending replication messages to ", message.from);
  } else {
    debug(id_, " snapshot succeeded, resumed sending replication messages to ", message.from);
  }
  progress.become_probe();
  // Sent: its acknowledgment will come. Failed: the next heartbeat's answer lets us try again.
  progress.paused = true;
}

void Raft::check_quorum_active() {
  if (!tracker_.quorum_active()) {
    warn(id_, " stepped down to follower since quorum is not active");
    become_follower(term_, NodeId());
  }
  for (auto& [id, progress] : tracker_.progress) {
    if (id != id_) progress.recent_active = false;
  }
}

}  // namespace cairn::raft
