// Changes of members, and leadership handed over.
#include <algorithm>

#include "multiraft/group.h"
#include "multiraft/proposal.h"

namespace cairn::multiraft {

namespace {

using raft::ConfChangeSingle;
using raft::ConfChangeTransition;
using raft::ConfChangeType;
using raft::ConfChangeV2;

/// In which the new members of a reset group are expected to elect this one.
constexpr int kResetTimeouts = 10;

bool contains(const std::vector<NodeId>& nodes, NodeId node) {
  return std::ranges::find(nodes, node) != nodes.end();
}

ConfChangeV2 simple_change(ConfChangeType type, NodeId node) {
  return ConfChangeV2(ConfChangeTransition::kAuto, {{.type = type, .node = node}});
}

}  // namespace

// A blank replica may have voted and acknowledged before it lost what it had. So it votes for
// nobody, and takes nothing from a leader that counts on it: the first that it takes is a snapshot
// that names it as a learner, and by then the group has committed that it is no voter (ADR-0010).
bool Group::may_take(const raft::Message& message) const {
  if (!is_blank() || is_planted(PlantedBug::kBlankCounts)) return true;
  switch (message.type) {
    case raft::MessageType::kAppend:
      // Refused by the core, so that a snapshot comes; entries alone would not tell who is a
      // member.
      return !message.index.is_zero();
    case raft::MessageType::kSnapshot: {
      const raft::ConfState& members = message.snapshot->metadata.conf_state;
      if (!contains(members.voters, host_.self()) &&
          !contains(members.voters_outgoing, host_.self())) {
        return true;
      }
      logger_.warn("the group counts on this blank replica: it has to be removed and added anew",
                   {{"group", id_}, {"leader", message.from}});
      return false;
    }
    default:
      return false;
  }
}

bool Group::is_voter(NodeId node) const {
  return raw_->config().voters.contains(node);
}

bool Group::is_learner(NodeId node) const {
  return raw_->config().learners.contains(node);
}

Status Group::check_leads() const {
  TRY(check_in_service());
  if (!is_leader()) {
    return error(Errc::kNotLeader, "this replica does not lead the group; nothing was proposed");
  }
  return ok();
}

Status Group::check_new_voter(NodeId node) const {
  const raft::Progress* progress = raw_->progress(node);
  if (!is_learner(node) || !progress) {
    return error(Errc::kPreconditionFailed,
                 "node " + to_string(node) +
                     " is no learner of the group yet, and votes only after it has caught up as "
                     "one; nothing was proposed");
  }
  const LogIndex last = raw_->last_index();
  // Of a quiet group nobody is heard from but by the beats of their hosts.
  const bool is_active = progress->recent_active || host_.beats().answers(node);
  if (progress->state != raft::ProgressState::kReplicate || !is_active ||
      progress->match + host_.options().caught_up_lag_entries < last || progress->is_partial()) {
    return error(Errc::kPreconditionFailed,
                 "learner " + to_string(node) + " has not caught up: it is at " +
                     to_string(progress->match) + " of " + to_string(last) +
                     (progress->is_partial() ? ", and lacks parts of the state" : "") +
                     "; nothing was proposed");
  }
  return ok();
}

Status Group::check_change(const ConfChangeV2& change) const {
  const bool leaves = change.leaves_joint();
  if (change.changes.empty() && !leaves) {
    return error(Errc::kInvalidArgument, "a change without content; nothing was proposed");
  }
  if (change.changes.size() > raft::kConfChangesMax) {
    return error(Errc::kInvalidArgument, "too many changes at once; nothing was proposed");
  }
  for (const ConfChangeSingle& single : change.changes) {
    if (single.node.is_none() || raft::is_local_target(single.node)) {
      return error(Errc::kInvalidArgument, "a change of a node without a name");
    }
    if (single.type == ConfChangeType::kAddVoter && !is_voter(single.node)) {
      TRY(check_new_voter(single.node));
    }
  }
  if (raw_->config().voters.is_joint() != leaves) {
    return leaves ? error(Errc::kPreconditionFailed,
                          "the configuration is not joint; nothing was proposed")
                  : error(Errc::kOverloaded,
                          "the last change of members is not finished: the configuration is joint; "
                          "nothing was proposed");
  }
  const bool is_settled = is_ready_leader() && raw_->applied() >= leader_first_index_ &&
                          raw_->applied() >= written_change_;
  if (!raw_->transferee().is_none() || (!is_settled && !is_planted(PlantedBug::kTwoConfChanges))) {
    return error(Errc::kOverloaded,
                 "another change of members or of the leader is under way; nothing was proposed");
  }
  return raw_->check_conf_change(change);
}

io::Task<Result<Epoch>> Group::change_members(ConfChangeV2 change) {
  auto inside = CO_TRY(gate_.enter());
  CO_TRY(check_leads());
  // The core hears of what is applied at the end of its batch.
  for (const LogIndex seen = applied_; raw_->applied() < seen;) {
    co_await progress_.wait_next();
    CO_TRY(check_leads());
  }
  CO_TRY(check_change(change));
  if (proposals_count_ >= host_.options().proposals_max) {
    co_return error(Errc::kOverloaded, "too many commands of the group wait; nothing was proposed");
  }
  const Term term = raw_->term();
  if (Status proposed = raw_->propose_conf_change(change); !proposed) {
    co_return error(Errc::kOverloaded,
                    "the group takes nothing now (" + proposed.error().message() + ")");
  }
  const auto entry = raw_->log().slice(raw_->last_index(), raw_->last_index() + 1, 0);
  CHECK(entry && entry->size() == 1, "what was proposed stands at the log's end");
  if (entry->front().type == raft::EntryType::kNormal) {
    // The core has put an empty entry in its place.
    host_.mark_ready(*this);
    co_return error(Errc::kPreconditionFailed,
                    "the present configuration does not allow the change; nothing was changed");
  }
  logger_.info("changes members",
               {{"group", id_}, {"change", raft::to_string(change.changes)}, {"term", term}});
  {
    Proposal proposal(*this, term, raw_->last_index());
    host_.mark_ready(*this);
    CO_TRY(co_await proposal);
  }
  if (change.auto_leaves()) CO_TRY(co_await leave_joint(term));
  co_return epoch_;
}

// The core proposes it itself once the joint configuration is applied.
io::Task<Status> Group::leave_joint(Term term) {
  while (!configuration_.voters_outgoing.empty()) {
    CO_TRY(check_in_service());
    if (!is_leader() || raw_->term() != term) {
      co_return error(Errc::kUnavailable,
                      "leadership was lost in the joint configuration: the change is committed, "
                      "and the next leader finishes it");
    }
    co_await progress_.wait_next();
  }
  co_return ok();
}

io::Task<Status> Group::add_learner(NodeId node) {
  CO_TRY(check_leads());
  if (is_voter(node) || is_learner(node)) co_return ok();
  CO_TRY(co_await change_members(simple_change(ConfChangeType::kAddLearner, node)));
  co_return ok();
}

io::Task<Status> Group::add_member(NodeId node) {
  CO_TRY(check_leads());
  if (is_voter(node)) co_return ok();
  CO_TRY(co_await add_learner(node));
  CO_TRY(co_await wait_caught_up(node));
  CO_TRY(co_await change_members(simple_change(ConfChangeType::kAddVoter, node)));
  co_return ok();
}

io::Task<Status> Group::remove_member(NodeId node) {
  CO_TRY(check_leads());
  if (!is_voter(node) && !is_learner(node)) co_return ok();
  if (voters().size() == 1 && is_voter(node)) {
    co_return error(Errc::kInvalidArgument,
                    "a group keeps one voter at least; nothing was proposed");
  }
  CO_TRY(co_await change_members(simple_change(ConfChangeType::kRemove, node)));
  co_return ok();
}

io::Task<Status> Group::set_members(std::vector<NodeId> wanted) {
  CO_TRY(check_leads());
  if (wanted.empty()) {
    co_return error(Errc::kInvalidArgument, "a group keeps one voter at least");
  }
  for (NodeId node : wanted) CO_TRY(co_await add_learner(node));
  for (NodeId node : wanted) {
    if (!is_voter(node)) CO_TRY(co_await wait_caught_up(node));
  }
  CO_TRY(check_leads());
  ConfChangeV2 change;
  for (NodeId node : wanted) {
    if (!is_voter(node))
      change.changes.push_back({.type = ConfChangeType::kAddVoter, .node = node});
  }
  for (NodeId node : voters()) {
    if (!contains(wanted, node)) {
      change.changes.push_back({.type = ConfChangeType::kRemove, .node = node});
    }
  }
  if (!change.changes.empty()) CO_TRY(co_await change_members(std::move(change)));
  co_return ok();
}

io::Task<Status> Group::reset_members(std::vector<NodeId> to) {
  auto inside = CO_TRY(gate_.enter());
  CO_TRY(check_in_service());
  if (machine_.missing_count() > 0) {
    co_return error(Errc::kPreconditionFailed,
                    "this replica was being caught up and lacks parts of the state: the group "
                    "cannot be reset to it; nothing was changed");
  }
  logger_.warn("resets the group's members: what this replica does not hold is lost",
               {{"group", id_}, {"last", raw_->last_index()}, {"term", raw_->term()}});
  CO_TRY(raw_->reset_configuration(to, {}));
  check_bond();
  host_.mark_ready(*this);
  std::ranges::sort(to);
  const Instant until =
      host_.env().clock.now() + kResetTimeouts * host_.options().election_timeout();
  while (!is_ready_leader() || configuration_.voters != to) {
    if (host_.env().clock.now() >= until) {
      co_return error(
          Errc::kTimeout,
          "the new members are in force here, and no majority of them has answered yet");
    }
    co_await host_.env().clock.sleep(host_.options().tick);
    CO_TRY(check_in_service());
  }
  co_return ok();
}

io::Task<Status> Group::wait_caught_up(NodeId learner) {
  auto inside = CO_TRY(gate_.enter());
  const Term term = raw_->term();
  LogIndex match;
  Instant grown_at = host_.env().clock.now();
  for (;;) {
    CO_TRY(check_leads());
    if (raw_->term() != term || !is_learner(learner)) {
      co_return error(Errc::kUnavailable, "leadership was lost, or the learner was removed again");
    }
    const Status caught_up = check_new_voter(learner);
    if (caught_up) co_return ok();
    const raft::Progress* progress = raw_->progress(learner);
    const Instant now = host_.env().clock.now();
    if (progress && progress->match > match) {
      match = progress->match;
      grown_at = now;
    }
    if (now - grown_at >= host_.options().catch_up_stall_max) {
      co_return error(Errc::kTimeout, caught_up.error().message() + "; it stays a learner");
    }
    co_await host_.env().clock.sleep(host_.options().tick);
  }
}

/// The other voters that keep up and, as far as is known, lack nothing.
std::vector<NodeId> Group::successors() const {
  std::vector<NodeId> found;
  for (NodeId node : voters()) {
    const raft::Progress* progress = raw_->progress(node);
    if (node == host_.self() || !progress || progress->state != raft::ProgressState::kReplicate) {
      continue;
    }
    const bool is_active = progress->recent_active || host_.beats().answers(node);
    if (is_active && !progress->is_partial()) found.push_back(node);
  }
  return found;
}

NodeId Group::best_successor() const {
  NodeId best;
  LogIndex best_match;
  for (NodeId node : successors()) {
    const LogIndex match = raw_->progress(node)->match;
    if (!best.is_none() && match <= best_match) continue;
    best = node;
    best_match = match;
  }
  return best;
}

// A member with a partial state was elected, because it has entries that others lack. It gives them
// these, and the leadership to one that has everything. What it cannot commit it need not: the next
// leader does. Where nobody can take it, it becomes complete itself in the end.
void Group::give_way() {
  if (!is_leader() || machine_.missing_count() == 0) {
    ticks_to_give_way_ = 0;
    return;
  }
  if (ticks_to_give_way_ > 0) {
    --ticks_to_give_way_;
    return;
  }
  const NodeId to = best_successor();
  if (to.is_none() || !raw_->transferee().is_none()) return;
  logger_.info("hands leadership over: its own state is partial", {{"group", id_}, {"to", to}});
  raw_->transfer_leader(to);
  ticks_to_give_way_ = host_.options().election_ticks;
}

io::Task<Status> Group::transfer_leadership(NodeId to) {
  auto inside = CO_TRY(gate_.enter());
  CO_TRY(check_leads());
  if (to.is_none()) to = best_successor();
  if (to.is_none()) {
    co_return error(Errc::kUnavailable, "no other voter keeps up; this replica leads on");
  }
  if (to == host_.self()) co_return ok();
  if (!contains(voters(), to)) {
    co_return error(Errc::kInvalidArgument,
                    "node " + to_string(to) + " is no voter of the group; nothing was done");
  }
  if (const raft::Progress* progress = raw_->progress(to); progress && progress->is_partial()) {
    co_return error(Errc::kUnavailable, "node " + to_string(to) +
                                            " is being caught up and could not lead; nothing was "
                                            "done");
  }
  // One that campaigns under a change that it has not applied may not win, or not stay.
  if (!is_ready_leader() || raw_->applied() < written_change_ || raw_->config().voters.is_joint()) {
    co_return error(Errc::kOverloaded, "a change of members is not finished; nothing was done");
  }
  // A successor that has not applied the last change yet would not campaign; it is about to.
  if (const Instant settled = configured_at_ + host_.options().tick;
      host_.env().clock.now() < settled) {
    co_await host_.env().clock.sleep_until(settled);
    CO_TRY(check_leads());
  }
  logger_.info("hands leadership over", {{"group", id_}, {"to", to}, {"term", raw_->term()}});
  const Term term = raw_->term();
  raw_->transfer_leader(to);
  host_.mark_ready(*this);
  co_return co_await wait_transferred(to, term);
}

// Because this replica is in trouble: whoever can, leads.
io::Task<void> Group::hand_over() {
  if (Status handed = co_await transfer_leadership(NodeId()); !handed && !stopping_) {
    logger_.warn("leadership was not handed over",
                 {{"group", id_}, {"why", handed.error().message()}});
  }
}

io::Task<Status> Group::wait_transferred(NodeId to, Term term) {
  const Instant until = host_.env().clock.now() + 2 * host_.options().election_timeout();
  for (;;) {
    CO_TRY(check_in_service());
    if (leader() == to) co_return ok();
    const bool leads_on = is_leader() && raw_->term() == term;
    if (leads_on && raw_->transferee() != to) {
      co_return error(Errc::kTimeout,
                      "node " + to_string(to) + " did not take over; this replica leads on");
    }
    if (!leads_on && !leader().is_none()) {
      co_return error(Errc::kUnavailable, "node " + to_string(leader()) + " leads now");
    }
    if (host_.env().clock.now() >= until) {
      co_return error(Errc::kTimeout, "nobody is known to have taken over yet");
    }
    // Heard by nobody's event: it is others who elect.
    co_await host_.env().clock.sleep(host_.options().tick / 4);
  }
}

}  // namespace cairn::multiraft
