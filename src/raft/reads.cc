#include "raft/raft.h"

namespace cairn::raft {

// A leader's answer to a read: the commit index now, once it is known that no newer leader can have
// committed more. Source: Raft dissertation, 6.4.
Status Raft::read_index(Message message) {
  if (tracker_.is_singleton(id_)) {
    answer_read(message.from, std::move(message.context), log_.committed());
    return ok();
  }
  // Until it has committed in its own term, a leader does not know what is committed.
  if (!committed_in_term()) {
    if (early_reads_.size() >= kEarlyReadsMax) {
      return error(Errc::kOverloaded, "too many reads wait for the leader to commit in its term");
    }
    early_reads_.push_back({.from = message.from, .context = std::move(message.context)});
    return ok();
  }
  if (!reads_by_lease() && reads_.full()) {
    return error(Errc::kOverloaded, "too many reads wait for a quorum");
  }
  accept_read(message.from, std::move(message.context));
  return ok();
}

void Raft::accept_read(NodeId from, Buffer context) {
  if (reads_by_lease()) {
    answer_read(from, std::move(context), log_.committed());
    return;
  }
  const uint64_t sequence = reads_.add(from, std::move(context), log_.committed());
  reads_.acknowledge(id_, sequence);
  broadcast_heartbeat(sequence);
}

void Raft::answer_read(NodeId from, Buffer context, LogIndex index) {
  if (from.is_none() || from == id_) {
    read_states_.push_back({.index = index, .context = std::move(context)});
    return;
  }
  Message answer{.type = MessageType::kReadIndexResponse, .to = from, .index = index};
  answer.context = std::move(context);
  send(std::move(answer));
}

void Raft::release_early_reads() {
  if (early_reads_.empty() || !committed_in_term()) return;
  for (PendingReads::Read& read : std::exchange(early_reads_, {})) {
    // What does not fit is dropped as if a message were lost: the client asks again.
    if (!reads_by_lease() && reads_.full()) break;
    accept_read(read.from, std::move(read.context));
  }
}

void Raft::release_confirmed_reads() {
  for (PendingReads::Read& read : reads_.take_confirmed(tracker_.config.voters)) {
    answer_read(read.from, std::move(read.context), read.index);
  }
}

}  // namespace cairn::raft
