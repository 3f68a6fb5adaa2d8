// Lease, heartbeats and the barrier before a read.
#include "multiraft/group.h"

namespace cairn::multiraft {

namespace {
Instant to_instant(uint64_t stamp) {
  return Instant(Duration(static_cast<int64_t>(stamp)));
}
}  // namespace

void Group::receive_heartbeat(NodeId from, const GroupHeartbeat& heartbeat) {
  // A blank one that is counted on has lost what it had: see may_take().
  const bool is_counted_on = is_blank() && !heartbeat.commit.is_zero();
  if (failed_ || stopping_ || (is_counted_on && !is_planted(PlantedBug::kBlankCounts))) return;
  if (heartbeat.term >= raw_->term()) guard_.on_leader_contact(host_.env().clock.now());
  heartbeat_stamp_ = heartbeat.stamp;
  raft::Message message;
  message.type = raft::MessageType::kHeartbeat;
  message.from = from;
  message.to = host_.self();
  message.term = heartbeat.term;
  message.commit = heartbeat.commit;
  step(std::move(message));
  bind(from, heartbeat.term, heartbeat.vouch);
  // The answer takes the stamp of the heartbeat that it answers, so it is produced before the next
  // one is looked at.
  process_ready();
}

void Group::answer_heartbeat(const raft::Message& answer) {
  const bool is_bound = bound_to_ == answer.to && bound_term_ == answer.term;
  host_.transport().send_heartbeat_answer(
      answer.to, is_bound ? host_.beats().epoch_for(answer.to) : 0,
      {.group = id_,
       .term = answer.term,
       .stamp = heartbeat_stamp_,
       .bound_commit = is_bound ? raw_->committed() : LogIndex()});
}

void Group::receive_heartbeat_answer(NodeId from, const GroupHeartbeatAnswer& answer) {
  if (failed_ || stopping_) return;
  if (is_leader() && answer.term == raw_->term()) {
    lease_.on_answer(from, to_instant(answer.stamp));
    if (!answer.bound_commit.is_zero()) note_bond(from, answer.epoch, answer.bound_commit);
    if (progress_.has_waiters()) progress_.notify_all();
    const raft::Progress* progress = raw_->progress(from);
    if (progress && progress->counted < raw_->last_index()) suspects_.insert(from);
  }
  raft::Message message;
  message.type = raft::MessageType::kHeartbeatResponse;
  message.from = from;
  message.to = host_.self();
  message.term = answer.term;
  step(std::move(message));
}

bool Group::lease_valid(Instant now) {
  if (is_planted(PlantedBug::kReadWithoutLease)) return true;
  if (lease_.valid_at(now, voters(), voters_outgoing())) return true;
  // The group is quiet: the answers to its host's beats stand for those to its heartbeats.
  for (const FollowerBond& bond : bonds_) {
    if (!bond_holds(bond)) continue;
    lease_.on_answer(bond.follower, host_.beats().answered_stamp(bond.follower));
  }
  return lease_.valid_at(now, voters(), voters_outgoing());
}

bool Group::confirmed_since(Instant started) const {
  return lease_.confirmed_at(voters(), voters_outgoing(), host_.env().clock.now()) >= started;
}

void Group::send_heartbeats() {
  raw_->send_heartbeats();
  host_.mark_ready(*this);
}

io::Task<Status> Group::read_barrier() {
  auto inside = CO_TRY(gate_.enter());
  CO_TRY(check_in_service());
  const auto not_leader = [] {
    return error(Errc::kNotLeader, "this replica does not lead the copyset");
  };
  if (!is_leader()) co_return not_leader();
  const Instant started = host_.env().clock.now();
  const Term term = raw_->term();
  // Until an entry of its own term is applied, a leader does not know what is committed (pitfall
  // 12).
  while (started_term_ != term && !is_planted(PlantedBug::kReadBeforeTerm)) {
    co_await progress_.wait_next();
    CO_TRY(check_in_service());
    if (!is_leader() || raw_->term() != term) co_return not_leader();
  }
  // The index first, the lease second: see lease.h.
  const LogIndex read_index = raw_->committed();
  if (!lease_valid(host_.env().clock.now())) {
    // One round serves all reads that begin before it is sent.
    send_heartbeats();
    while (!confirmed_since(started)) {
      co_await progress_.wait_next();
      CO_TRY(check_in_service());
      if (!is_leader() || raw_->term() != term) co_return not_leader();
    }
  }
  while (applied_ < read_index) {
    co_await progress_.wait_next();
    CO_TRY(check_in_service());
  }
  co_return ok();
}

}  // namespace cairn::multiraft
