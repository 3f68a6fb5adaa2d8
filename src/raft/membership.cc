#include "base/planted_bug.h"
#include "raft/raft.h"

namespace cairn::raft {

// Whether a change is legal depends only on the configuration, which all members share at this
// index: they all refuse the same changes. Checking when it is proposed would not be enough,
// because the configuration may be another by the time the change is applied.
Result<ConfState> Raft::apply_conf_change(const ConfChangeV2& change) {
  if (pending_reset_ && !pending_reset_->equals(change)) {
    info(id_, " passes over a conf change that a reset overrides");
    return conf_state_of(tracker_.config);
  }
  pending_reset_.reset();
  ConfState state = install(TRY(Changer(tracker_, log_.last_index()).apply(change)));
  trace_commit();  // a smaller quorum may have had more in common
  return state;
}

// See Config::hold_proposals_on_removal.
void Raft::note_own_removal(const ConfChangeV2& change, LogIndex index) {
  const auto outcome = Changer(tracker_, log_.last_index()).apply(change);
  if (outcome && !outcome->config.voters.contains(id_)) leaving_index_ = index;
}

// A new leader may find its removal in the log, proposed by an earlier one. There is at most one
// change that is not applied: what is committed is, or it would not have campaigned.
void Raft::find_own_removal() {
  const auto at = find_conf_change(log_.applied() + 1, log_.last_index() + 1);
  if (!at) return;
  const auto entry = log_.slice(*at, *at + 1, 0);
  CHECK(entry && entry->size() == 1);
  const auto change = decode_conf_change(entry->front().head.view());
  if (change) note_own_removal(*change, *at);
}

Status Raft::check_conf_change(const ConfChangeV2& change) const {
  const bool joint = tracker_.config.voters.is_joint();
  std::string why;
  if (change.resets()) {
    why = "a reset is not proposed";
  } else if (pending_conf_index_ > log_.applied() && !is_planted(PlantedBug::kTwoConfChanges)) {
    why = "possible unapplied conf change";
  } else if (joint && !change.changes.empty()) {
    why = "must transition out of joint config first";
  } else if (!joint && change.changes.empty()) {
    why = "not in joint state; refusing empty conf change";
  } else {
    TRY(Changer(tracker_, log_.last_index()).apply(change));
    return ok();
  }
  return error(Errc::kPreconditionFailed, std::move(why));
}

ConfState Raft::install(Changer::Outcome outcome) {
  tracker_.config = std::move(outcome.config);
  tracker_.progress = std::move(outcome.progress);
  info(id_, " switched to configuration ", tracker_.config);
  trace("configuration");
  ConfState state = conf_state_of(tracker_.config);
  const Progress* own = tracker_.progress.find(id_);
  is_learner_ = own && own->is_learner;
  if (role_ != Role::kLeader) return state;
  if (!own || is_learner_) {
    // Removed or demoted. Otherwise it leads on, without counting itself, until a new leader rises.
    if (step_down_on_removal_) become_follower(term_, NodeId());
    return state;
  }
  if (!state.voters.empty()) replicate_to_new_configuration();
  return state;
}

void Raft::replicate_to_new_configuration() {
  if (maybe_commit()) {
    // A smaller quorum may have had more in common.
    broadcast_append();
  } else {
    // New members are probed at once instead of with the next heartbeat.
    for (auto& [id, progress] : tracker_.progress) {
      if (id != id_) maybe_send_append(id, progress, false);
    }
  }
  release_confirmed_reads();  // by the new quorum
  if (!transferee_.is_none() && !tracker_.config.voters.contains(transferee_)) abort_transfer();
}

}  // namespace cairn::raft
