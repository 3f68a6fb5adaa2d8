#include "raft/raw_node.h"

namespace cairn::raft {
namespace {

// What only other members send. Of the rest, a member's own promises come back to it from its
// storage, and what is passed on for a client may come back by way of an old leader.
bool is_from_other(MessageType type) {
  switch (type) {
    case MessageType::kAppend:
    case MessageType::kHeartbeat:
    case MessageType::kHeartbeatResponse:
    case MessageType::kSnapshot:
    case MessageType::kVote:
    case MessageType::kPreVote:
    case MessageType::kTimeoutNow:
    case MessageType::kReadIndexResponse:
      return true;
    default:
      return false;
  }
}

// Whether a message from a member is one that Raft can have sent. Others are refused before they
// reach a CHECK: a peer's bug must not take this process down.
Status check_form(const Message& message, NodeId own_id) {
  const auto malformed = [](const char* why) { return error(Errc::kProtocol, why); };
  switch (message.type) {
    case MessageType::kPropose:
      if (message.entries.empty()) return malformed("a proposal without entries");
      return ok();
    case MessageType::kReadIndex:
    case MessageType::kTransferLeader:
    case MessageType::kForgetLeader:
    case MessageType::kStorageApplyResponse:
    case MessageType::kStorageAppendResponse:
      return ok();
    default:
      break;
  }
  if (message.term.is_zero()) return malformed("a message without a term");
  if (message.from == own_id && is_from_other(message.type)) {
    return malformed("a message of another member in this one's name");
  }
  if (message.type != MessageType::kAppend) return ok();
  LogIndex index = message.index;
  Term term = message.log_term;
  for (const Entry& entry : message.entries) {
    if (entry.index != ++index) return malformed("an append with a hole");
    if (entry.term < term || entry.term > message.term) return malformed("terms out of order");
    term = entry.term;
  }
  return ok();
}

}  // namespace

RawNode::RawNode(std::unique_ptr<Raft> raft, bool async_storage_writes)
    : raft_(std::move(raft)),
      async_storage_writes_(async_storage_writes),
      previous_soft_state_(raft_->soft_state()),
      previous_hard_state_(raft_->hard_state()) {}

Result<std::unique_ptr<RawNode>> RawNode::create(Config config) {
  config = TRY(validated(std::move(config)));
  std::unique_ptr<Raft> raft = TRY(Raft::create(config));
  return std::unique_ptr<RawNode>(new RawNode(std::move(raft), config.async_storage_writes));
}

Status RawNode::bootstrap(const std::vector<NodeId>& peers) {
  if (peers.empty()) return error(Errc::kInvalidArgument, "a group needs a member");
  if (!raft_->log_.last_index().is_zero()) {
    return error(Errc::kPreconditionFailed, "the log is not empty: this is no new group");
  }
  raft_->become_follower(Term(1), NodeId());
  Entries entries;
  for (NodeId peer : NodeSet(peers)) {
    Entry entry{.term = Term(1), .index = LogIndex(entries.size() + 1), .head = {}, .payload = {}};
    entry.type = EntryType::kConfChange;
    entry.head = encode(ConfChangeV2(ConfChange{.node = peer, .context = {}}));
    entries.push_back(std::move(entry));
  }
  raft_->log_.commit_to(raft_->log_.append(std::move(entries)));
  // In force here already, so that messages of the peers are taken from the start; applying the
  // committed entries again changes nothing.
  for (NodeId peer : NodeSet(peers)) {
    TRY(raft_->apply_conf_change(ConfChangeV2(ConfChange{.node = peer, .context = {}})));
  }
  previous_hard_state_ = {};  // all of it is news to storage
  return ok();
}

void RawNode::send_heartbeats() {
  if (is_leader()) (void)raft_->step({.type = MessageType::kBeat, .from = raft_->id()});
}

void RawNode::campaign() {
  (void)raft_->step({.type = MessageType::kHup});
}

Status RawNode::propose(Entries entries) {
  if (entries.empty()) return error(Errc::kInvalidArgument, "a proposal without entries");
  Message message{.type = MessageType::kPropose, .from = raft_->id()};
  message.entries = std::move(entries);
  return raft_->step(std::move(message));
}

Status RawNode::propose(Buffer head) {
  return propose(Entries::of({.head = std::move(head), .payload = {}}));
}

Status RawNode::propose_conf_change(const ConfChangeV2& change) {
  return propose(
      Entries::of({.type = EntryType::kConfChangeV2, .head = encode(change), .payload = {}}));
}

Status RawNode::propose_conf_change(const ConfChange& change) {
  return propose(Entries::of(
      {.type = EntryType::kConfChange, .head = encode(ConfChangeV2(change)), .payload = {}}));
}

bool RawNode::is_caught_up(NodeId member, uint64_t lag_entries_max) const {
  const Progress* progress = is_leader() ? raft_->tracker().progress.find(member) : nullptr;
  return progress && progress->recent_active && progress->state == ProgressState::kReplicate &&
         !progress->is_partial() && progress->match + lag_entries_max >= last_index();
}

Status RawNode::promote(NodeId learner, uint64_t lag_entries_max) {
  if (!is_leader()) return error(Errc::kNotLeader, "only the leader knows who has caught up");
  if (!config().learners.contains(learner)) return error(Errc::kNotFound, "no such learner");
  if (!is_caught_up(learner, lag_entries_max)) {
    return error(Errc::kPreconditionFailed, "the learner has not caught up; nothing was proposed");
  }
  const ConfChangeV2 change(ConfChange{.node = learner, .context = {}});
  TRY(check_conf_change(change));
  return propose_conf_change(change);
}

Status RawNode::demote(NodeId voter) {
  if (!is_leader()) return error(Errc::kNotLeader, "only the leader changes the configuration");
  if (!config().voters.incoming.contains(voter)) return error(Errc::kNotFound, "no such voter");
  const ConfChangeV2 change(
      ConfChange{.type = ConfChangeType::kAddLearner, .node = voter, .context = {}});
  TRY(check_conf_change(change));
  return propose_conf_change(change);
}

Status RawNode::reset_configuration(const std::vector<NodeId>& voters,
                                    const std::vector<NodeId>& learners) {
  const NodeSet voting(voters);
  const NodeSet learning(learners);
  if (voting.count() != voters.size() || learning.count() != learners.size()) {
    return error(Errc::kInvalidArgument, "a member is named twice");
  }
  return raft_->reset_configuration(voting, learning);
}

Status RawNode::step(Message message) {
  const bool from_host = is_local_target(message.from);
  if (is_local(message.type) && !from_host) {
    return error(Errc::kInvalidArgument, "raft: cannot step raft local message");
  }
  if (is_response(message.type) && !from_host && !raft_->tracker_.progress.find(message.from)) {
    return error(Errc::kNotFound, "raft: cannot step as peer not found");
  }
  TRY(check_form(message, raft_->id()));
  return raft_->step(std::move(message));
}

bool RawNode::has_ready() const {
  const Raft& raft = *raft_;
  if (!raft.messages_.empty() || !raft.messages_after_append_.empty()) return true;
  if (raft.appends_due_) return true;
  if (raft.soft_state() != previous_soft_state_) return true;
  const HardState hard_state = raft.hard_state();
  if (!hard_state.empty() && hard_state != previous_hard_state_) return true;
  const Log& log = raft.log_;
  return log.next_unstable_snapshot() || log.has_next_unstable_entries() ||
         log.has_next_committed_entries(allow_unstable_apply()) || !raft.read_states_.empty();
}

Ready RawNode::ready() {
  Raft& raft = *raft_;
  Log& log = raft.log_;
  CHECK(steps_on_advance_.empty(), "advance() comes between two ready()");
  raft.send_due_appends();
  Ready ready;
  ready.entries = log.next_unstable_entries();
  ready.committed_entries = log.next_committed_entries(allow_unstable_apply());
  ready.messages = std::exchange(raft.messages_, {});
  ready.read_states = std::exchange(raft.read_states_, {});
  ready.snapshot = log.next_unstable_snapshot();
  if (raft.soft_state() != previous_soft_state_) {
    ready.soft_state = previous_soft_state_ = raft.soft_state();
  }
  const HardState hard_state = raft.hard_state();
  ready.must_sync = !ready.entries.empty() || hard_state.term != previous_hard_state_.term ||
                    hard_state.vote != previous_hard_state_.vote;
  if (hard_state != previous_hard_state_) {
    ready.hard_state = previous_hard_state_ = hard_state;
  }
  if (async_storage_writes_) {
    hand_out_asynchronously(ready);
  } else {
    hand_out_synchronously(ready);
  }
  CHECK(raft.messages_after_append_.empty());
  log.accept_unstable();
  if (!ready.committed_entries.empty()) {
    log.accept_applying(ready.committed_entries.back().index,
                        encoded_bytes(ready.committed_entries), allow_unstable_apply());
  }
  return ready;
}

// Storage's work and the state machine's become messages, which carry what follows from them.
void RawNode::hand_out_asynchronously(Ready& ready) {
  std::vector<Message> promises = std::exchange(raft_->messages_after_append_, {});
  const bool needs_append =
      !ready.entries.empty() || !ready.hard_state.empty() || ready.snapshot || !promises.empty();
  if (needs_append) {
    Message append{.type = MessageType::kStorageAppend, .to = kAppendThread, .from = raft_->id()};
    append.term = ready.hard_state.term;
    append.vote = ready.hard_state.vote;
    append.commit = ready.hard_state.commit;
    append.entries = ready.entries;
    append.snapshot = ready.snapshot;
    append.responses = std::move(promises);
    // Last, so that the leader takes its own acknowledgment while the entries' terms are at hand.
    if (needs_append_response(ready)) append.responses.push_back(append_response(ready));
    ready.messages.push_back(std::move(append));
  }
  if (!ready.committed_entries.empty()) {
    Message apply{.type = MessageType::kStorageApply, .to = kApplyThread, .from = raft_->id()};
    apply.entries = ready.committed_entries;
    apply.responses.push_back(apply_response(ready));
    ready.messages.push_back(std::move(apply));
  }
}

void RawNode::hand_out_synchronously(Ready& ready) {
  for (Message& promise : std::exchange(raft_->messages_after_append_, {})) {
    auto& queue = promise.to == raft_->id() ? steps_on_advance_ : ready.messages;
    queue.push_back(std::move(promise));
  }
  if (needs_append_response(ready)) steps_on_advance_.push_back(append_response(ready));
  if (!ready.committed_entries.empty()) steps_on_advance_.push_back(apply_response(ready));
}

// Also when the entries were handed out before: see append_response().
bool RawNode::needs_append_response(const Ready& ready) const {
  return raft_->log_.has_unstable_entries() || ready.snapshot;
}

// Acknowledges the log's end, whatever part of it this Ready carries. Had the acknowledgment of an
// earlier write to be ignored because the term moved on meanwhile, this one, of the new term,
// covers the same entries; without it they would stay unstable for ever.
Message RawNode::append_response(const Ready& ready) const {
  Message response{.type = MessageType::kStorageAppendResponse,
                   .to = raft_->id(),
                   .from = kAppendThread,
                   .term = raft_->term()};
  if (raft_->log_.has_unstable_entries()) {
    const EntryId last = raft_->log_.last_entry_id();
    response.index = last.index;
    response.log_term = last.term;
  }
  response.snapshot = ready.snapshot;
  return response;
}

Message RawNode::apply_response(const Ready& ready) const {
  // Without a term: what is committed is so in any term.
  Message response{
      .type = MessageType::kStorageApplyResponse, .to = raft_->id(), .from = kApplyThread};
  response.entries = ready.committed_entries;
  return response;
}

void RawNode::advance() {
  CHECK(!async_storage_writes_, "with asynchronous storage, responses take advance()'s place");
  for (Message& message : std::exchange(steps_on_advance_, {})) {
    (void)raft_->step(std::move(message));
  }
}

void RawNode::report_unreachable(NodeId id) {
  (void)raft_->step({.type = MessageType::kUnreachable, .from = id});
}

void RawNode::report_snapshot(NodeId id, bool delivered) {
  (void)raft_->step({.type = MessageType::kSnapshotStatus, .reject = !delivered, .from = id});
}

void RawNode::transfer_leader(NodeId to) {
  (void)raft_->step({.type = MessageType::kTransferLeader, .from = to});
}

void RawNode::forget_leader() {
  (void)raft_->step({.type = MessageType::kForgetLeader});
}

Status RawNode::read_index(Buffer context) {
  Message message{.type = MessageType::kReadIndex};
  message.context = std::move(context);
  return raft_->step(std::move(message));
}

RaftStatus RawNode::status() const {
  RaftStatus status{.id = raft_->id(),
                    .hard_state = raft_->hard_state(),
                    .soft_state = raft_->soft_state(),
                    .applied = applied(),
                    .transferee = transferee(),
                    .config = config(),
                    .progress = {}};
  if (is_leader()) status.progress = raft_->tracker().progress;
  return status;
}

}  // namespace cairn::raft
