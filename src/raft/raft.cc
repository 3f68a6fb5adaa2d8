#include "raft/raft.h"

namespace cairn::raft {

std::string_view to_string(Role role) {
  switch (role) {
    case Role::kFollower:
      return "StateFollower";
    case Role::kPreCandidate:
      return "StatePreCandidate";
    case Role::kCandidate:
      return "StateCandidate";
    case Role::kLeader:
      return "StateLeader";
  }
  check_failed("role", __FILE__, __LINE__);
}

Raft::Raft(const Config& config)
    : id_(config.id),
      rng_(*config.rng),
      observer_(config.observer),
      election_timeout_(config.election_tick),
      heartbeat_timeout_(config.heartbeat_tick),
      size_per_message_max_(config.size_per_message_max),
      uncommitted_bytes_max_(config.uncommitted_entries_size_max),
      check_quorum_(config.check_quorum),
      pre_vote_(config.pre_vote),
      disable_proposal_forwarding_(config.disable_proposal_forwarding),
      disable_conf_change_validation_(config.disable_conf_change_validation),
      step_down_on_removal_(config.step_down_on_removal),
      hold_proposals_on_removal_(config.hold_proposals_on_removal),
      batch_appends_(config.batch_appends),
      read_only_option_(config.read_only_option),
      priority_(config.priority),
      log_(*config.storage, config.committed_size_per_ready_max),
      tracker_(config.inflight_messages_max, config.inflight_bytes_max) {
  CHECK(!id_.is_none() && !is_local_target(id_));
}

Result<std::unique_ptr<Raft>> Raft::create(const Config& config) {
  std::unique_ptr<Raft> raft(new Raft(config));
  TRY(raft->restore(config.storage->initial_state(), config.applied));
  raft->trace_ = config.trace;
  raft->traced_commit_ = raft->log_.committed();
  raft->trace("init");
  return raft;
}

Status Raft::restore(const Storage::InitialState& state, LogIndex applied) {
  const HardState& hard = state.hard_state;
  auto outcome = restore_configuration(tracker_, log_.last_index(), state.conf_state);
  if (!outcome) return error(Errc::kCorrupt, "stored configuration: " + outcome.error().message());
  const ConfState installed = install(std::move(outcome).value());
  CHECK(equivalent(installed, state.conf_state), "a configuration was restored differently");
  if (!hard.empty()) {
    if (hard.commit > log_.last_index()) {
      return error(Errc::kCorrupt, "the stored commit index lies beyond the end of the log");
    }
    log_.commit_to(hard.commit);  // a newer snapshot may be further
    term_ = hard.term;
    vote_ = hard.vote;
  }
  if (!applied.is_zero()) {
    if (applied < log_.applied() || applied > log_.committed()) {
      return error(Errc::kCorrupt, "applied index lies outside of the committed log");
    }
    log_.applied_to(applied, 0);
  }
  resume_reset();
  become_follower(term_, NodeId());
  const EntryId last = log_.last_entry_id();
  info("newRaft ", id_, " [peers: ", tracker_.config.voters, ", term: ", term_,
       ", commit: ", log_.committed(), ", applied: ", log_.applied(), ", lastindex: ", last.index,
       ", lastterm: ", last.term, "]");
  return ok();
}

void Raft::check_invariants() const {
  log_.check_invariants();
  CHECK(role_ != Role::kLeader || leader_ == id_);
  CHECK(transferee_.is_none() || role_ == Role::kLeader);
  CHECK(check_configuration(tracker_.config, tracker_.progress).ok());
  if (role_ == Role::kLeader) {
    for (const auto& [id, progress] : tracker_.progress) progress.check_invariants();
  }
}

void Raft::set_priority(uint32_t priority) {
  CHECK(priority == kPriorityMax || (priority < kPriorityMax && pre_vote_), "see Config::priority");
  priority_ = priority;
}

bool Raft::promotable() const {
  const Progress* own = tracker_.progress.find(id_);
  return own && !own->is_learner && !log_.has_unstable_snapshot();
}

void Raft::tick() {
  if (role_ == Role::kLeader) {
    tick_heartbeat();
  } else {
    tick_election();
  }
}

void Raft::tick_election() {
  ++election_elapsed_;
  if (!promotable() || !past_election_timeout()) return;
  election_elapsed_ = 0;
  (void)step({.type = MessageType::kHup, .from = id_});
}

void Raft::tick_heartbeat() {
  ++heartbeat_elapsed_;
  ++election_elapsed_;
  if (election_elapsed_ >= election_timeout_) {
    election_elapsed_ = 0;
    if (check_quorum_) (void)step({.type = MessageType::kCheckQuorum, .from = id_});
    // A transferee that has not taken over in an election timeout will not: serve again.
    if (role_ == Role::kLeader) abort_transfer();
  }
  if (role_ != Role::kLeader || heartbeat_elapsed_ < heartbeat_timeout_) return;
  heartbeat_elapsed_ = 0;
  (void)step({.type = MessageType::kBeat, .from = id_});
}

// What holds for one term or one role ends with it.
void Raft::reset(Term term) {
  CHECK(term >= term_, "terms only rise");
  if (term != term_) {
    term_ = term;
    vote_ = NodeId();
  }
  leader_ = NodeId();
  election_elapsed_ = 0;
  heartbeat_elapsed_ = 0;
  randomized_election_timeout_ =
      election_timeout_ + static_cast<uint32_t>(rng_.below(election_timeout_));
  abort_transfer();
  appends_due_ = false;
  tracker_.reset_votes();
  const LogIndex last = log_.last_index();
  for (auto& [id, progress] : tracker_.progress) {
    const bool learner = progress.is_learner;
    progress = Progress();
    progress.next = last + 1;
    progress.inflights = tracker_.make_inflights();
    progress.is_learner = learner;
    if (id == id_) progress.match = last;
    if (id == id_ && !is_partial_) progress.counted = last;
  }
  pending_conf_index_ = LogIndex(0);
  leaving_index_ = LogIndex(0);
  uncommitted_bytes_ = 0;
  lease_void_ = false;
  reads_.clear();
}

void Raft::become_follower(Term term, NodeId leader) {
  reset(term);
  leader_ = leader;
  role_ = Role::kFollower;
  // A read that waits here was promised nothing yet; its client asks again.
  early_reads_.clear();
  info(id_, " became follower at term ", term_);
  trace("become_follower");
}

void Raft::become_candidate() {
  CHECK(role_ != Role::kLeader, "a leader has no reason to campaign");
  reset(term_ + 1);
  vote_ = id_;
  role_ = Role::kCandidate;
  info(id_, " became candidate at term ", term_);
  trace("become_candidate");
}

// Neither term nor vote change: that is the point of asking first.
void Raft::become_pre_candidate() {
  CHECK(role_ != Role::kLeader, "a leader has no reason to campaign");
  tracker_.reset_votes();
  leader_ = NodeId();
  role_ = Role::kPreCandidate;
  info(id_, " became pre-candidate at term ", term_);
  trace("become_pre_candidate");
}

void Raft::become_leader() {
  CHECK(role_ == Role::kCandidate, "a leader is elected");
  reset(term_);
  leader_ = id_;
  role_ = Role::kLeader;
  Progress* own = tracker_.progress.find(id_);
  CHECK(own, "a leader was a voter when it won");
  own->become_replicate();
  own->recent_active = true;  // and stays so: see check_quorum_active()
  // There may be a configuration change in the log that is not applied yet; looking would cost a
  // scan, and waiting costs a moment.
  pending_conf_index_ = log_.last_index();
  if (hold_proposals_on_removal_) find_own_removal();
  trace("become_leader");
  // An entry of the own term makes all before it committable.
  CHECK(append_entries(Entries::of({})), "an empty entry is within any limit");
  info(id_, " became leader at term ", term_);
}

void Raft::trace_commit() {
  if (!trace_ || traced_commit_ == log_.committed()) return;
  traced_commit_ = log_.committed();
  trace("commit");
}

void Raft::send(Message message) {
  if (message.from.is_none()) message.from = id_;
  switch (message.type) {
    case MessageType::kVote:
    case MessageType::kVoteResponse:
    case MessageType::kPreVote:
    case MessageType::kPreVoteResponse:
      // The term that is campaigned for, which in a pre-vote is not that of either side.
      CHECK(!message.term.is_zero(), "a vote names its term");
      break;
    case MessageType::kPropose:
    case MessageType::kReadIndex:
      // Passed on for a client: whoever leads may take it, in whatever term.
      CHECK(message.term.is_zero());
      break;
    default:
      CHECK(message.term.is_zero(), "the term is set here");
      message.term = term_;
  }
  if (message.type == MessageType::kAppendResponse && is_partial_ && !message.reject &&
      message.to != id_) {
    message.is_partial = true;
    // Matched and committed: known to the leader as well from now on. It may be new, and able to
    // commit nothing before this member counts; which may wait for what the leader has applied.
    message.commit = std::min(message.index, log_.committed());
  }
  trace("send", &message);
  if (messages_.capacity() == 0) messages_.reserve(tracker_.progress.count() + 1);
  switch (message.type) {
    case MessageType::kAppendResponse:
    case MessageType::kVoteResponse:
    case MessageType::kPreVoteResponse:
      // They promise durability of entries or of a vote that may not be written yet. (A pre-vote
      // promises nothing, but must not overtake a refusal of the real vote.)
      messages_after_append_.push_back(std::move(message));
      break;
    default:
      CHECK(message.to != id_, "only promises of durability go to oneself");
      messages_.push_back(std::move(message));
  }
}

}  // namespace cairn::raft
