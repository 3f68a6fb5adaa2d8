#include "multiraft/group.h"

#include "multiraft/proposal.h"

namespace cairn::multiraft {

namespace {

raft::Config core_config(const GroupHost& host, const HostOptions& options, io::Env& env,
                         GroupLog& log, LogIndex applied) {
  raft::Config config;
  config.id = host.self();
  config.election_tick = options.election_ticks;
  // The host beats for all its groups at once; the core's own beat would come too late to matter.
  config.heartbeat_tick = options.election_ticks - 1;
  config.storage = &log;
  config.rng = &env.rng;
  config.applied = applied;
  config.async_storage_writes = true;
  config.size_per_message_max = options.message_bytes_max;
  config.committed_size_per_ready_max = options.apply_bytes_max;
  config.uncommitted_entries_size_max = options.uncommitted_bytes_max;
  config.inflight_messages_max = options.inflight_messages_max;
  config.inflight_bytes_max = options.inflight_bytes_max;
  config.check_quorum = true;
  config.pre_vote = true;
  // A proposal that is passed on could be applied after its client was told to retry elsewhere.
  config.disable_proposal_forwarding = true;
  config.step_down_on_removal = true;
  config.hold_proposals_on_removal = true;
  config.batch_appends = true;
  return config;
}

LeaseOptions lease_options(const HostOptions& options) {
  return {.election_timeout = options.election_timeout(),
          .usable_fraction = options.lease_usable_fraction};
}

}  // namespace

Result<std::unique_ptr<Group>> Group::create(GroupHost& host, GroupId id, StateMachine& machine,
                                             wal::RecoveredGroup recovered) {
  const std::string name = "group " + to_string(id);
  if (!recovered.quarantine_reason.empty() && !is_planted(PlantedBug::kQuarantineIgnored)) {
    return error(Errc::kCorrupt, name + ": " + recovered.quarantine_reason);
  }
  if (!recovered.snapshot) {
    return error(Errc::kCorrupt, name +
                                     " has no snapshot mark in the log, so its members are not "
                                     "known");
  }
  raft::SnapshotPtr snapshot = TRY(decode_mark(recovered.snapshot->data.view()));
  GroupState state = TRY(decode_group_state(snapshot->data.view()));
  const raft::EntryId base{recovered.snapshot->term, recovered.snapshot->index};
  raft::HardState hard_state{.term = recovered.hard_state.term,
                             .vote = NodeId(recovered.hard_state.vote),
                             .commit = recovered.hard_state.commit};
  hard_state.commit = std::max(hard_state.commit, snapshot->metadata.index);
  hard_state.term = std::max(hard_state.term, snapshot->metadata.term);
  if (is_planted(PlantedBug::kVoteNotRestored)) hard_state.vote = NodeId();
  if (snapshot->metadata.index < base.index) {
    return error(Errc::kCorrupt, name + " has a snapshot that is older than its log");
  }
  if (!recovered.entries.empty() && recovered.entries.back().term > hard_state.term) {
    hard_state.term = recovered.entries.back().term;  // whom it voted for then is not known
    hard_state.vote = NodeId();
  }
  const LogIndex last = base.index + recovered.entries.size();
  if (hard_state.commit > last) {
    return error(Errc::kCorrupt, name + " has lost entries that were committed: its log ends at " +
                                     to_string(last) + ", and " + to_string(hard_state.commit) +
                                     " was reached");
  }

  std::unique_ptr<Group> group(
      new Group(host, id, machine, hard_state, base, snapshot, std::move(state)));
  for (wal::RecoveredEntry& entry : recovered.entries) {
    raft::Entry e;
    e.term = entry.term;
    e.index = entry.index;
    e.type = static_cast<raft::EntryType>(entry.type);
    e.head = std::move(entry.head);
    e.payload.size_bytes = entry.payload_bytes;
    if (e.index > snapshot->metadata.index) {
      group->written_bytes_ += raft::encoded_bytes(e);
      ++group->written_entries_;
    }
    if (e.type != raft::EntryType::kNormal) group->written_change_ = e.index;
    group->log_.append_recovered(std::move(e));
  }
  group->written_commit_ = recovered.hard_state.commit;
  group->raw_ = TRY(raft::RawNode::create(
      core_config(host, host.options(), host.env(), group->log_, snapshot->metadata.index)));
  return group;
}

Group::Group(GroupHost& host, GroupId id, StateMachine& machine, raft::HardState hard_state,
             raft::EntryId base, raft::SnapshotPtr snapshot, GroupState state)
    : host_(host),
      id_(id),
      machine_(machine),
      logger_(host.env().logger.named("raft")),
      node_(*this),
      gate_(host.env().executor),
      log_(hard_state, base, snapshot),
      recovered_state_(std::move(state)),
      written_term_(hard_state.term),
      written_vote_(hard_state.vote),
      applied_(snapshot->metadata.index),
      epoch_(recovered_state_.epoch),
      configuration_(snapshot->metadata.conf_state),
      progress_(host.env().executor),
      lease_(host.self(), lease_options(host.options())),
      guard_(host.options().election_timeout(),
             is_planted(PlantedBug::kVoteGuardForgotten) ? Instant() : host.env().clock.now()) {}

Group::~Group() {
  CHECK(!proposals_first_, "proposers are told before their group goes");
}

void Group::start() {
  log_.set_missing(machine_.missing_count());
  raw_->set_partial(log_.is_partial());
  greet_members();
  host_.mark_ready(*this);
}

void Group::greet_members() {
  for (NodeId peer : configuration_.voters) {
    if (peer != host_.self()) host_.transport().greet(peer);
  }
  host_.mark_ready(*this);
}

Status Group::check_in_service() const {
  if (stopping_) return error(Errc::kClosed, "this server is stopping; nothing was proposed");
  if (failed_) return error(failed_->code(), failed_->message());
  return ok();
}

void Group::step(raft::Message message) {
  const raft::MessageType type = message.type;
  Status stepped = raw_->step(std::move(message));
  if (!stepped && stepped.code() == Errc::kCorrupt) {
    fail(stepped.error());
    return;
  }
  if (!stepped) {
    logger_.debug(
        "a message was not taken",
        {{"group", id_}, {"type", static_cast<int>(type)}, {"why", stepped.error().message()}});
  }
  check_bond();
  host_.mark_ready(*this);
}

void Group::tick(bool beats) {
  if (failed_ || stopping_ || !bound_to_.is_none() || is_at_rest()) return;
  raw_->tick();
  if (beats) raw_->send_heartbeats();
  reprobe_snapshots();
  maybe_start_leading();
  give_way();
  host_.mark_ready(*this);
}

void Group::receive(raft::Message message) {
  if (failed_ || stopping_ || !may_take(message)) return;
  const Instant now = host_.env().clock.now();
  switch (message.type) {
    case raft::MessageType::kVote:
    case raft::MessageType::kPreVote:
      // The promise under the leader's lease. A campaign that the leader itself asked for is let
      // through: that leader has given its lease up.
      if (as_text(message.context.view()) != raft::kTransferContext) {
        if (!may_vote(now)) return;
        // Another follower has missed the leader a little earlier.
        if (!bound_to_.is_none()) host_.on_leader_silent(bound_to_);
      }
      break;
    case raft::MessageType::kAppend:
    case raft::MessageType::kSnapshot:
      if (message.term >= raw_->term()) guard_.on_leader_contact(now);
      if (message.type == raft::MessageType::kSnapshot && has_to_be_fetched(message)) return;
      break;
    default:
      break;
  }
  // Lost on the way, as far as anybody can tell: the leader sends it again.
  const bool brings_entries =
      message.type == raft::MessageType::kAppend && !message.entries.empty();
  if (brings_entries && !host_.wal().admit(wal::Intake::kReplication)) return;
  step(std::move(message));
}

void Group::undeliverable(const raft::Message& message) {
  if (failed_ || stopping_ || !is_leader()) return;
  if (message.type == raft::MessageType::kAppend) raw_->report_unreachable(message.to);
  if (message.type == raft::MessageType::kSnapshot) raw_->report_snapshot(message.to, false);
}

void Group::process_ready() {
  CHECK(!processing_, "a group's Ready is handled by one flow");
  processing_ = true;
  while (!failed_ && raw_->has_ready()) {
    raft::Ready ready = raw_->ready();
    note_role();
    for (raft::Message& message : ready.messages) dispatch(std::move(message));
  }
  if (!failed_) note_role();
  processing_ = false;
}

void Group::note_role() {
  const Term term = raw_->term();
  const bool leads = is_leader();
  if (term == noted_term_ && leads == noted_leader_) return;
  const bool led = noted_leader_;
  noted_term_ = term;
  noted_leader_ = leads;
  bonds_.clear();
  if (led) {
    host_.beats().disown();  // followers that are bound to this host must not wait for it
    fail_proposals(error(Errc::kUnavailable,
                         "leadership of the copyset was lost before the command was committed: it "
                         "may still take effect"));
    if (!started_term_.is_zero()) machine_.on_leader_stop();
    started_term_ = Term();
  }
  if (leads) {
    logger_.info("leads", {{"group", id_}, {"term", term}});
    leader_first_index_ = raw_->last_index();
    lease_.reset();
    send_heartbeats();
    maybe_start_leading();
  }
  progress_.notify_all();
}

void Group::dispatch(raft::Message message) {
  if (message.to == raft::kAppendThread) {
    store(std::move(message));
  } else if (message.to == raft::kApplyThread) {
    apply_queue_.push_back(std::move(message));
    if (!std::exchange(applying_, true)) host_.env().executor.spawn(apply_loop());
  } else if (message.to == host_.self()) {
    step(std::move(message));
  } else {
    send_to_peer(std::move(message));
  }
}

bool Group::is_redundant_commit_notice(const raft::Message& message) {
  // An append without entries that only tells a follower, whose window is open, what is committed:
  // the next append or heartbeat says it as well, and each of these costs a frame and an answer.
  if (message.type != raft::MessageType::kAppend || !message.entries.empty()) return false;
  // That a change of members is committed is told at once: a new voter counts itself from then on.
  if (raw_->applied() < written_change_ && message.commit >= written_change_) return false;
  if (suspects_.erase(message.to) > 0) return false;
  const raft::Progress* progress = raw_->progress(message.to);
  return progress && progress->state == raft::ProgressState::kReplicate &&
         !progress->inflights.full();
}

void Group::send_to_peer(raft::Message message) {
  switch (message.type) {
    case raft::MessageType::kHeartbeat:
      if (!message.context.empty()) break;
      host_.beats().add_follower(message.to);
      host_.transport().send_heartbeat(
          message.to, host_.beats().vouch(),
          {.group = id_,
           .term = message.term,
           .commit = message.commit,
           .stamp = static_cast<uint64_t>(host_.env().clock.now().time_since_epoch().count())});
      return;
    case raft::MessageType::kHeartbeatResponse:
      if (!message.context.empty()) break;
      answer_heartbeat(message);
      return;
    case raft::MessageType::kAppend:
      if (is_redundant_commit_notice(message)) return;
      if (sending_with_payloads_ || needs_payloads(message)) {
        sends_without_payloads_.push_back(std::move(message));
        if (!std::exchange(sending_with_payloads_, true)) {
          host_.env().executor.spawn(send_with_payloads());
        }
        return;
      }
      break;
    case raft::MessageType::kAppendResponse:
      // Of a snapshot, say: whether it left the state partial is known only now.
      message.is_partial |= raw_->is_partial();
      break;
    case raft::MessageType::kTimeoutNow:
      if (!is_planted(PlantedBug::kLeaseAfterTransfer)) lease_.revoke();
      break;
    default:
      break;
  }
  host_.transport().send(id_, std::move(message));
}

io::Task<Result<LogIndex>> Group::apply(Buffer head, Buffer payload, Term only_in) {
  CHECK(is_block_aligned(payload.size_bytes()));
  if (head.empty() && payload.empty()) {
    // Such an entry is what a new leader begins with: no state machine would see it.
    co_return error(Errc::kInvalidArgument, "a command without content; nothing was proposed");
  }
  if (head.size_bytes() > wal::Wal::kHeadBytesMax) {
    co_return error(Errc::kInvalidArgument, "a command's head is too large; nothing was proposed");
  }
  CO_TRY(check_in_service());
  if (!is_leader() || (!only_in.is_zero() && raw_->term() != only_in)) {
    co_return error(Errc::kNotLeader,
                    "this replica does not lead the copyset (any more); nothing was proposed");
  }
  if (proposals_count_ >= host_.options().proposals_max) {
    co_return error(Errc::kOverloaded, "too many writes of the copyset wait; nothing was proposed");
  }
  if (Status room = host_.wal().admit(wal::Intake::kProposal); !room) {
    co_return room.error().within("nothing was proposed");
  }
  raft::Entry entry;
  entry.head = std::move(head);
  entry.payload.size_bytes = static_cast<uint32_t>(payload.size_bytes());
  entry.payload.bytes = std::move(payload);
  if (Status proposed = raw_->propose(raft::Entries::of(std::move(entry))); !proposed) {
    co_return error(Errc::kOverloaded, "the copyset takes no writes now (" +
                                           proposed.error().message() + "); nothing was proposed");
  }
  Proposal proposal(*this, raw_->term(), raw_->last_index());
  host_.mark_ready(*this);
  co_return co_await proposal;
}

void Group::fail_proposals(const Error& reason) {
  while (proposals_first_) proposals_first_->resolve(reason);
}

void Group::fail(Error reason) {
  if (failed_) return;
  logger_.error("group is out of service", {{"group", id_}, {"why", reason.message()}});
  const bool led = noted_leader_;
  failed_ = reason;
  noted_leader_ = false;
  if (led) host_.beats().disown();
  leave_bond();
  fail_proposals(reason);
  if (led && !started_term_.is_zero()) machine_.on_leader_stop();
  started_term_ = Term();
  machine_.on_error(reason);
  progress_.notify_all();
  host_.on_group_failed(reason);
}

void Group::begin_stop() {
  stopping_ = true;
  // Whoever is bound to this host, or counts on this member's bond, has to do without.
  if (noted_leader_) host_.beats().disown();
  if (!bound_to_.is_none()) host_.beats().withdraw(std::exchange(bound_to_, NodeId()));
  fail_proposals(
      error(Errc::kClosed, "this server is stopping; the command may still take effect"));
  progress_.notify_all();
}

io::Task<void> Group::stop() {
  begin_stop();
  co_await gate_.close();
}

io::Task<Status> Group::drain() {
  auto inside = CO_TRY(gate_.enter());
  const LogIndex last = raw_->last_index();
  const Term term = raw_->term();
  while (applied_ < last) {
    CO_TRY(check_in_service());
    if (!is_leader() || raw_->term() != term) {
      co_return error(Errc::kNotLeader, "leadership was lost; nothing was proposed");
    }
    co_await progress_.wait_next();
  }
  co_return ok();
}

NodeStatus Group::status() const {
  NodeStatus status;
  status.is_leader = is_leader();
  status.leader = leader();
  status.term = raw_->term();
  status.epoch = epoch_;
  status.committed = raw_->committed();
  status.applied = applied_;
  status.first = log_.first_index();
  status.last = raw_->last_index();
  status.snapshot = log_.last_snapshot()->metadata.index;
  status.members = configuration_.voters;
  status.learners = configuration_.learners;
  status.is_joint = !configuration_.voters_outgoing.empty();
  if (failed_) status.error = failed_->describe();
  if (refusal_) status.waits = refusal_->describe();
  return status;
}

// Node's calls, for those who do not see Group.
io::Task<Result<LogIndex>> Node::apply(Buffer head, Buffer payload, Term only_in) {
  return group_.apply(std::move(head), std::move(payload), only_in);
}
Term Node::term() const {
  return group_.term();
}
io::Task<Status> Node::read_barrier() {
  return group_.read_barrier();
}
io::Task<Status> Node::drain() {
  return group_.drain();
}
io::Task<Status> Node::snapshot() {
  return group_.take_snapshot();
}
io::Task<Result<Epoch>> Node::change_members(raft::ConfChangeV2 change) {
  return group_.change_members(std::move(change));
}
io::Task<Status> Node::add_learner(NodeId node) {
  return group_.add_learner(node);
}
io::Task<Status> Node::add_member(NodeId node) {
  return group_.add_member(node);
}
io::Task<Status> Node::remove_member(NodeId node) {
  return group_.remove_member(node);
}
io::Task<Status> Node::set_members(std::vector<NodeId> voters) {
  return group_.set_members(std::move(voters));
}
io::Task<Status> Node::reset_members(std::vector<NodeId> voters) {
  return group_.reset_members(std::move(voters));
}
io::Task<Status> Node::transfer_leadership(NodeId to) {
  return group_.transfer_leadership(to);
}
Result<io::Gate::Holder> Node::pin() {
  return group_.pin();
}
bool Node::is_leader() const {
  return group_.is_leader();
}
bool Node::is_ready_leader() const {
  return group_.is_ready_leader();
}
NodeId Node::leader() const {
  return group_.leader();
}
NodeStatus Node::status() const {
  return group_.status();
}
const raft::RawNode& Node::core() const {
  return group_.core();
}

}  // namespace cairn::multiraft
