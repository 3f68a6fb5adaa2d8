#include "raft/read_only.h"

namespace cairn::raft {

void PendingReads::acknowledge(NodeId member, uint64_t sequence) {
  // A number that was never given out can only come from a member's bug; it must confirm nothing.
  if (sequence > last_sequence_) return;
  for (Ack& ack : acks_) {
    if (ack.member != member) continue;
    ack.sequence = std::max(ack.sequence, sequence);
    return;
  }
  acks_.push_back({.member = member, .sequence = sequence});
}

std::vector<PendingReads::Read> PendingReads::take_confirmed(const JointConfig& voters) {
  const LogIndex confirmed = voters.committed_index([this](NodeId id) -> std::optional<LogIndex> {
    for (const Ack& ack : acks_) {
      if (ack.member == id) return LogIndex(ack.sequence);
    }
    return std::nullopt;
  });
  std::vector<Read> ready;
  while (!reads_.empty() && LogIndex(reads_.front().sequence) <= confirmed) {
    ready.push_back(std::move(reads_.front()));
    reads_.pop_front();
  }
  CHECK(reads_.empty() || LogIndex(reads_.front().sequence) > confirmed);
  return ready;
}

}  // namespace cairn::raft
