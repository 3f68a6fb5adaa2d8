#include "raft/raft.h"

namespace cairn::raft {

// `message.from` is to lead. It is brought up to date first; meanwhile nothing is proposed, so that
// there is an end to that.
void Raft::transfer_leader(const Message& message, Progress& progress) {
  const NodeId to = message.from;
  if (progress.is_learner) {
    debug(id_, " is learner. Ignored transferring leadership");
    return;
  }
  if (transferee_ == to) {
    info(id_, " [term ", term_, "] transfer leadership to ", to,
         " is in progress, ignores request");
    return;
  }
  abort_transfer();
  if (to == id_) {
    debug(id_, " is already leader. Ignored transferring leadership to self");
    return;
  }
  if (has_uncertain_conf_changes()) {
    // The transferee would refuse to campaign (see hup()), or win under a configuration that the
    // change replaces behind its back; and meanwhile nobody could propose.
    info(id_, " [term ", term_, "] does not transfer leadership to ", to,
         " since there are still pending configuration changes to apply");
    return;
  }
  info(id_, " [term ", term_, "] starts to transfer leadership to ", to);
  // It has one election timeout.
  election_elapsed_ = 0;
  transferee_ = to;
  if (progress.match == log_.last_index()) {
    send_timeout_now(to);
    info(id_, " sends MsgTimeoutNow to ", to, " immediately as ", to,
         " already has up-to-date log");
  } else {
    send_append(to, progress);
  }
}

// Looks, instead of trusting pending_conf_index_: that is set generously, which would refuse every
// transfer until a new leader has applied all that it found.
bool Raft::has_uncertain_conf_changes() const {
  if (pending_conf_index_ <= log_.applied()) return false;
  return find_conf_change(log_.applied() + 1, log_.last_index() + 1).has_value();
}

void Raft::send_timeout_now(NodeId to) {
  lease_void_ = true;
  send({.type = MessageType::kTimeoutNow, .to = to});
}

}  // namespace cairn::raft
