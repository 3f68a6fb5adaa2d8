#include "base/planted_bug.h"
#include "raft/raft.h"

namespace cairn::raft {
namespace {

bool is_from_leader(MessageType type) {
  return type == MessageType::kAppend || type == MessageType::kHeartbeat ||
         type == MessageType::kSnapshot;
}

}  // namespace

Status Raft::step(Message message) {
  trace("receive", &message);
  Status outcome = step_term(message) ? step_in_term(std::move(message)) : ok();
  trace_commit();
  return outcome;
}

Status Raft::step_in_term(Message message) {
  switch (message.type) {
    case MessageType::kHup:
      hup(pre_vote_ ? Campaign::kPreElection : Campaign::kElection);
      return ok();
    case MessageType::kStorageAppendResponse:
      storage_appended(message);
      return ok();
    case MessageType::kStorageApplyResponse:
      if (!message.entries.empty()) {
        applied_to(message.entries.back().index, encoded_bytes(message.entries));
        reduce_uncommitted(payload_bytes(message.entries));
      }
      return ok();
    case MessageType::kVote:
    case MessageType::kPreVote:
      answer_vote(message);
      return ok();
    default:
      return step_by_role(std::move(message));
  }
}

Status Raft::step_by_role(Message message) {
  switch (role_) {
    case Role::kLeader:
      return step_leader(std::move(message));
    case Role::kFollower:
      return step_follower(std::move(message));
    case Role::kCandidate:
    case Role::kPreCandidate:
      return step_candidate(std::move(message));
  }
  check_failed("role", __FILE__, __LINE__);
}

// Whether to go on with the message after its term has been dealt with.
bool Raft::step_term(const Message& message) {
  if (message.term.is_zero() || message.term == term_) return true;  // zero: local
  if (message.term > term_) return step_newer_term(message);
  step_older_term(message);
  return false;
}

bool Raft::step_newer_term(const Message& message) {
  const bool vote = message.type == MessageType::kVote || message.type == MessageType::kPreVote;
  if (vote) {
    const bool forced = as_text(message.context.view()) == kTransferContext;
    const bool in_lease =
        check_quorum_ && !leader_.is_none() && election_elapsed_ < election_timeout_;
    if (!forced && in_lease) {
      // A leader was heard from within the election timeout: whoever asks was cut off or removed.
      // Answering would depose the leader; and the lease rests on nobody voting now.
      info(id_, " [vote: ", vote_, "] ignored a vote request from ", message.from, " at term ",
           term_, ": lease is not expired");
      return false;
    }
  }
  // A pre-vote asks about a term that nobody is in; so does the answer that grants it.
  if (message.type == MessageType::kPreVote) return true;
  if (message.type == MessageType::kPreVoteResponse && !message.reject) return true;
  info(id_, " [term: ", term_, "] received a message with higher term from ", message.from,
       " [term: ", message.term, "]");
  become_follower(message.term, is_from_leader(message.type) ? message.from : NodeId());
  return true;
}

void Raft::step_older_term(const Message& message) {
  if (is_overtaken_by_reset(message)) {
    info(id_, " [term: ", term_, "] ignored a message of ", message.from,
         " from before a reset [term: ", message.term, "]");
    return;
  }
  const bool is_ack = role_ == Role::kLeader && message.type == MessageType::kAppendResponse;
  if (is_ack && is_planted(PlantedBug::kStaleAppendAck)) {
    (void)step_leader(message);
    return;
  }
  const bool heartbeat_or_append =
      message.type == MessageType::kHeartbeat || message.type == MessageType::kAppend;
  if ((check_quorum_ || pre_vote_) && heartbeat_or_append) {
    // We were cut off and campaigned meanwhile; the others do not vote for us while they hear this
    // leader, and this leader is unaware. An answer with our term makes it step down, and ends the
    // stand-off. Without check-quorum and pre-vote our next campaign does that.
    send({.type = MessageType::kAppendResponse, .to = message.from});
  } else if (message.type == MessageType::kPreVote) {
    // Tell the candidate about our term: it may be stuck in an older one with a longer log.
    send(
        {.type = MessageType::kPreVoteResponse, .reject = true, .to = message.from, .term = term_});
  } else if (message.type == MessageType::kStorageAppendResponse) {
    // Entries acknowledged from an earlier term may have been replaced since at the same indexes;
    // the writes that replaced them will be acknowledged too. A snapshot is committed state, which
    // no term undoes.
    if (is_planted(PlantedBug::kStaleStorageAck)) return storage_appended(message);
    if (message.snapshot) snapshot_applied(*message.snapshot);
  } else {
    info(id_, " [term: ", term_, "] ignored a message with lower term from ", message.from,
         " [term: ", message.term, "]");
  }
}

Status Raft::step_leader(Message message) {
  switch (message.type) {
    case MessageType::kBeat:
      broadcast_heartbeat();
      return ok();
    case MessageType::kCheckQuorum:
      check_quorum_active();
      return ok();
    case MessageType::kPropose:
      return propose(std::move(message));
    case MessageType::kReadIndex:
      return read_index(std::move(message));
    case MessageType::kForgetLeader:
      return ok();
    default:
      break;
  }
  Progress* progress = tracker_.progress.find(message.from);
  if (!progress) {
    debug(id_, " no progress available for ", message.from);
    return ok();
  }
  switch (message.type) {
    case MessageType::kAppendResponse:
      take_append_response(message, *progress);
      break;
    case MessageType::kHeartbeatResponse:
      take_heartbeat_response(message, *progress);
      break;
    case MessageType::kSnapshotStatus:
      take_snapshot_status(message, *progress);
      break;
    case MessageType::kUnreachable:
      // A pipeline's appends were probably lost: find out what arrived.
      if (progress->state == ProgressState::kReplicate) progress->become_probe();
      break;
    case MessageType::kTransferLeader:
      transfer_leader(message, *progress);
      break;
    default:
      break;
  }
  return ok();
}

Status Raft::step_candidate(Message message) {
  // Late answers to the pre-vote do not count in the election that it led to.
  const MessageType own_response =
      role_ == Role::kPreCandidate ? MessageType::kPreVoteResponse : MessageType::kVoteResponse;
  switch (message.type) {
    case MessageType::kPropose:
      info(id_, " no leader at term ", term_, "; dropping proposal");
      return error(Errc::kUnavailable, "raft proposal dropped");
    case MessageType::kAppend:
    case MessageType::kHeartbeat:
    case MessageType::kSnapshot:
      // Its term is ours: somebody else has won.
      become_follower(message.term, message.from);
      return follow(std::move(message));
    case MessageType::kVoteResponse:
    case MessageType::kPreVoteResponse:
      if (message.type == own_response) take_vote(message);
      return ok();
    default:
      return ok();
  }
}

Status Raft::step_follower(Message message) {
  switch (message.type) {
    case MessageType::kPropose:
    case MessageType::kTransferLeader:
    case MessageType::kReadIndex:
      return forward(std::move(message));
    case MessageType::kAppend:
    case MessageType::kHeartbeat:
    case MessageType::kSnapshot:
      election_elapsed_ = 0;
      leader_ = message.from;
      return follow(std::move(message));
    case MessageType::kForgetLeader:
      forget_leader();
      return ok();
    case MessageType::kTimeoutNow:
      info(id_, " [term ", term_, "] received MsgTimeoutNow from ", message.from,
           " and starts an election to get leadership.");
      // Never with a pre-vote: the leader has chosen us, nobody returns from a partition.
      hup(Campaign::kTransfer);
      return ok();
    case MessageType::kReadIndexResponse:
      if (read_states_.size() >= kPendingReadsMax) {
        return error(Errc::kOverloaded, "too many reads wait to be taken");
      }
      read_states_.push_back({.index = message.index, .context = std::move(message.context)});
      return ok();
    default:
      return ok();
  }
}

void Raft::storage_appended(const Message& message) {
  if (!message.index.is_zero()) {
    const auto outcome = log_.stable_to({.term = message.log_term, .index = message.index});
    if (outcome != UnstableLog::StableOutcome::kDone) {
      info("entry at index ", message.index, " missing from unstable log; ignoring");
    }
  }
  if (message.snapshot) snapshot_applied(*message.snapshot);
}

void Raft::snapshot_applied(const Snapshot& snapshot) {
  log_.stable_snapshot_to(snapshot.metadata.index);
  applied_to(snapshot.metadata.index, 0);
}

void Raft::applied_to(LogIndex index, uint64_t bytes) {
  // A snapshot may have overtaken the entries that are acknowledged here.
  log_.applied_to(std::max(index, log_.applied()), bytes);
  trace("apply");
  leave_joint_if_due();
}

// Proposes to leave a joint configuration that asked for it, once it is applied. The proposal
// weighs nothing, so only a leadership transfer can stand in its way: then the next applied entry,
// or the next leader, tries again.
void Raft::leave_joint_if_due() {
  if (!tracker_.config.auto_leave || role_ != Role::kLeader ||
      log_.applied() < pending_conf_index_) {
    return;
  }
  Message message{.type = MessageType::kPropose};
  message.entries = Entries::of({.type = EntryType::kConfChangeV2});
  if (step(std::move(message)).ok()) {
    info("initiating automatic transition out of joint configuration ", tracker_.config);
  } else {
    debug("not initiating automatic transition out of joint configuration ", tracker_.config);
  }
}

}  // namespace cairn::raft
