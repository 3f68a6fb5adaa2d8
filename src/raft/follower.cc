#include "base/planted_bug.h"
#include "raft/raft.h"

namespace cairn::raft {

// A message of the leader of our term.
Status Raft::follow(Message message) {
  switch (message.type) {
    case MessageType::kAppend:
      return handle_append(message);
    case MessageType::kHeartbeat:
      return handle_heartbeat(message);
    case MessageType::kSnapshot:
      handle_snapshot(message);
      return ok();
    default:
      check_failed("not a leader's message", __FILE__, __LINE__);
  }
}

Status Raft::handle_append(const Message& message) {
  const EntryId previous{.term = message.log_term, .index = message.index};
  if (message.index < log_.committed()) {
    // A late copy: what we have committed is in the leader's log. Unless one of us has lost it, or
    // an operator made another survivor's log the group's: then this member must not go on.
    if (log_.contradicts_committed(previous, message.entries)) {
      return error(Errc::kCorrupt,
                   "the leader's log differs from this member's before the committed entry " +
                       to_string(log_.committed()));
    }
    send({.type = MessageType::kAppendResponse, .to = message.from, .index = log_.committed()});
    return ok();
  }
  LogIndex conflict;
  if (log_.matches(previous) && is_reset_replaced(message.entries)) {
    return error(Errc::kCorrupt,
                 "the group was reset through another member too; this one's state is not its own");
  }
  const auto last = log_.maybe_append(previous, message.commit, message.entries, &conflict);
  if (last) {
    if (!conflict.is_zero()) info("replace the unstable entries from index ", conflict);
    send({.type = MessageType::kAppendResponse, .to = message.from, .index = *last});
    return ok();
  }
  debug(id_, " rejected MsgApp [logterm: ", message.log_term, ", index: ", message.index, "] from ",
        message.from);
  // Entries of ours with a greater term than the leader has at that place cannot match either, so
  // the hint skips them all.
  const LogIndex from = std::min(message.index, log_.last_index());
  const EntryId hint = log_.find_conflict_by_term(from, message.log_term);
  send({.type = MessageType::kAppendResponse,
        .reject = true,
        .to = message.from,
        .log_term = hint.term,
        .index = message.index,
        .reject_hint = hint.index});
  return ok();
}

Status Raft::handle_heartbeat(const Message& message) {
  if (message.commit > log_.last_index() && !is_planted(PlantedBug::kCommitWithHeartbeat)) {
    // We once acknowledged what is not there any more. The host must take this member out of
    // service: it may have helped to commit what it forgot.
    return error(Errc::kCorrupt, "the leader counts on entry " + to_string(message.commit) +
                                     ", but the log ends at " + to_string(log_.last_index()));
  }
  log_.commit_to(std::min(message.commit, log_.last_index()));
  Message answer{.type = MessageType::kHeartbeatResponse, .to = message.from};
  answer.context = message.context;
  send(std::move(answer));
  return ok();
}

void Raft::handle_snapshot(const Message& message) {
  // Without a snapshot it brings no news, and is answered like one that is old.
  const bool restored = message.snapshot && restore_snapshot(message.snapshot);
  if (message.snapshot) {
    const SnapshotMetadata& at = message.snapshot->metadata;
    info(id_, " [commit: ", log_.committed(), "] ", restored ? "restored" : "ignored",
         " snapshot [index: ", at.index, ", term: ", at.term, "]");
  }
  send({.type = MessageType::kAppendResponse,
        .to = message.from,
        .index = restored ? log_.last_index() : log_.committed()});
}

// False: the snapshot is not needed, or not for us; the log is unchanged except that the commit
// index may have moved up to it.
bool Raft::restore_snapshot(const SnapshotPtr& snapshot) {
  const SnapshotMetadata& at = snapshot->metadata;
  if (at.index <= log_.committed()) return false;
  CHECK(role_ == Role::kFollower, "only followers are sent snapshots");
  const auto contains = [this](const std::vector<NodeId>& members) {
    return std::ranges::find(members, id_) != members.end();
  };
  if (!contains(at.conf_state.voters) && !contains(at.conf_state.learners) &&
      !contains(at.conf_state.voters_outgoing)) {
    warn(id_, " attempted to restore snapshot but it is not in its configuration");
    return false;
  }
  if (log_.matches({.term = at.term, .index = at.index}) &&
      !is_planted(PlantedBug::kSnapshotOverLog)) {
    // The log has it all: keep what lies behind the snapshot instead of fetching it again.
    log_.commit_to(at.index);
    info(id_, " [commit: ", log_.committed(),
         "] fast-forwarded commit to snapshot [index: ", at.index, ", term: ", at.term, "]");
    return false;
  }
  auto outcome = restore_configuration(
      [this] {
        ProgressTracker empty = tracker_;
        empty.config = {};
        empty.progress = {};
        return empty;
      }(),
      at.index, at.conf_state);
  if (!outcome) {
    warn(id_, " attempted to restore a snapshot with an illegal configuration: ",
         outcome.error().message());
    return false;
  }
  log_.restore(snapshot);
  pending_reset_.reset();  // whatever it was: the snapshot says what is
  const ConfState installed = install(std::move(outcome).value());
  CHECK(equivalent(installed, at.conf_state), "a configuration was restored differently");
  CHECK(log_.last_index() == at.index);
  return true;
}

// Passes a client's request on to the leader.
Status Raft::forward(Message message) {
  const bool proposal = message.type == MessageType::kPropose;
  if (leader_.is_none() || (proposal && disable_proposal_forwarding_)) {
    info(id_, leader_.is_none() ? " no leader at term " : " not forwarding at term ", term_,
         "; dropping ", proposal ? "proposal" : "request");
    if (proposal) return error(Errc::kUnavailable, "raft proposal dropped");
    return ok();
  }
  message.to = leader_;
  message.term = Term(0);  // set anew if it was passed on before
  send(std::move(message));
  return ok();
}

void Raft::forget_leader() {
  // The leader's lease counts on our not voting until it has run out.
  if (read_only_option_ == ReadOnlyOption::kLeaseBased) {
    note(LogLevel::kError, "ignoring MsgForgetLeader due to ReadOnlyLeaseBased");
    return;
  }
  if (leader_.is_none()) return;
  info(id_, " forgetting leader ", leader_, " at term ", term_);
  leader_ = NodeId();
}

}  // namespace cairn::raft
