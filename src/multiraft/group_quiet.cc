// Quiet groups: followers that are bound to their leader's host, leaders that have nothing to do.
// What makes it safe stands in host_beats.h and ADR-0008.
#include "multiraft/group.h"

namespace cairn::multiraft {

namespace {
/// Between the followers that would lead after a dead leader: the next in rank waits so much
/// longer, which is time enough for the first to win.
constexpr uint32_t kRankTicks = 3;
}  // namespace

void Group::bind(NodeId leader, Term term, uint64_t vouch) {
  if (failed_ || stopping_ || raw_->role() != raft::Role::kFollower) return;
  if (raw_->term() != term || raw_->leader() != leader) return;
  if (!host_.beats().may_bind(leader, vouch, host_.env().clock.now())) return;
  bound_to_ = leader;
  bound_term_ = term;
}

void Group::check_bond() {
  if (bound_to_.is_none()) return;
  if (raw_->term() == bound_term_ && raw_->leader() == bound_to_) return;
  leave_bond();
}

void Group::leave_bond() {
  if (bound_to_.is_none()) return;
  host_.beats().withdraw(bound_to_);
  release(LeaderIs::kNotKnown);
}

void Group::release(LeaderIs leader_is) {
  const NodeId leader = std::exchange(bound_to_, NodeId());
  CHECK(!leader.is_none(), "only the bound are released");
  const Instant heard = host_.beats().heard_at(leader);
  guard_.on_leader_contact(heard);  // what the beats have promised stays promised
  host_.mark_ready(*this);
  if (leader_is != LeaderIs::kGone || raw_->role() != raft::Role::kFollower) return;
  // The time in which no ticks were counted counts now, and everybody knows whose turn it is.
  const uint32_t timeout_ticks = host_.options().election_ticks + 1;
  raw_->set_randomized_election_timeout(timeout_ticks + kRankTicks * rank_without(leader));
  const auto silent_ticks = (host_.env().clock.now() - heard) / host_.options().tick;
  for (int64_t i = 0; i < std::min<int64_t>(silent_ticks, timeout_ticks); ++i) raw_->tick();
}

uint32_t Group::rank_without(NodeId leader) const {
  uint64_t before = 0, others = 0;
  for (NodeId voter : voters()) {
    if (voter == leader) continue;
    if (voter < host_.self()) ++before;
    ++others;
  }
  // Turned by the group, so that a dead host's groups spread over those that are left.
  return others == 0 ? 0 : static_cast<uint32_t>((before + id_.value()) % others);
}

bool Group::may_vote(Instant now) {
  if (!guard_.may_vote(now)) return false;
  if (bound_to_.is_none()) return true;
  return now >= host_.beats().heard_at(bound_to_) + host_.options().election_timeout();
}

void Group::note_bond(NodeId follower, uint64_t epoch, LogIndex commit) {
  for (FollowerBond& bond : bonds_) {
    if (bond.follower != follower) continue;
    bond.epoch = epoch;
    bond.commit = commit;
    return;
  }
  bonds_.push_back({.follower = follower, .epoch = epoch, .commit = commit});
}

bool Group::bond_holds(const FollowerBond& bond) const {
  return bond.epoch == host_.beats().epoch_of(bond.follower) ||
         is_planted(PlantedBug::kBondOfAnyEpoch);
}

const Group::FollowerBond* Group::bond_with(NodeId follower) const {
  for (const FollowerBond& bond : bonds_) {
    if (bond.follower == follower && bond_holds(bond)) return &bond;
  }
  return nullptr;
}

bool Group::is_at_rest() const {
  if (!is_ready_leader() || proposals_first_ || progress_.has_waiters()) return false;
  const LogIndex last = raw_->last_index();
  if (applied_ != last || raw_->committed() != last || !raw_->transferee().is_none()) return false;
  const raft::TrackerConfig& config = raw_->config();
  if (!voters_outgoing().empty() || !config.learners_next.empty()) return false;
  size_t bound_count = 0;
  for (NodeId voter : voters()) {
    if (voter == host_.self()) {
      ++bound_count;
    } else if (host_.beats().answers(voter)) {
      if (!is_at_rest(voter, last)) return false;
      ++bound_count;
    }
    // One that is down is waited for by its host's beats, not by each group; see on_peer_news().
  }
  for (NodeId learner : config.learners.ids()) {
    if (host_.beats().answers(learner) && !is_at_rest(learner, last)) return false;
  }
  return bound_count > voters().size() / 2;
}

bool Group::is_at_rest(NodeId follower, LogIndex last) const {
  const raft::Progress* progress = raw_->progress(follower);
  const FollowerBond* bond = bond_with(follower);
  if (!progress || !bond || progress->state != raft::ProgressState::kReplicate) return false;
  if (is_planted(PlantedBug::kRestUnacknowledged)) return true;
  return progress->counted == last && bond->commit == last;
}

void Group::on_peer_news(NodeId peer) {
  if (failed_ || stopping_ || !is_leader() || !raw_->progress(peer)) return;
  host_.mark_ready(*this);  // its ticks begin again, and with them the heartbeats
}

}  // namespace cairn::multiraft
