#include "raft/raft.h"

namespace cairn::raft {

ConfState Raft::apply_conf_change(const ConfChangeV2& change) {
  auto outcome = Changer(tracker_, log_.last_index()).apply(change);
  // Every member applies the same entry to the same configuration, so a change that is illegal here
  // was wrongly let into the log.
  CHECK(outcome.ok(), outcome.ok() ? std::string_view() : outcome.error().message());
  return install(std::move(outcome).value());
}

ConfState Raft::install(Changer::Outcome outcome) {
  tracker_.config = std::move(outcome.config);
  tracker_.progress = std::move(outcome.progress);
  info(id_, " switched to configuration ", tracker_.config);
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
