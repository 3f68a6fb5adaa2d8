/// PendingReads: reads that a leader has accepted and that wait until a quorum confirms it.
///
/// Each read gets a sequence number of its own, which heartbeats carry; the caller's context is
/// opaque and may repeat. (A round trip named by the caller's context would let a repeated context
/// be answered by an old round, with a stale index.) A quorum that has acknowledged a number has
/// confirmed the leader for all reads before it too.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "raft/message.h"
#include "raft/quorum/joint.h"

namespace cairn::raft {

/// Reads beyond this many that wait on one group are refused.
inline constexpr size_t kPendingReadsMax = 4096;

/// The answer to a read: it may be served once the state machine has applied `index`.
struct ReadState {
  LogIndex index;
  Buffer context;  ///< as it was given
};

class PendingReads {
 public:
  struct Read {
    NodeId from;  ///< who asked: a member, or none for this node
    Buffer context;
    LogIndex index{};  ///< the commit index when it was accepted
    uint64_t sequence = 0;
  };

  bool empty() const { return reads_.empty(); }
  bool full() const { return reads_.size() >= kPendingReadsMax; }
  void clear() {
    reads_.clear();
    acks_.clear();
  }
  /// Its number. Only while !full().
  uint64_t add(NodeId from, Buffer context, LogIndex index) {
    CHECK(!full());
    reads_.push_back({from, std::move(context), index, ++last_sequence_});
    return last_sequence_;
  }
  /// The number that the next heartbeats carry, so that a lost round is repeated; 0: none waits.
  uint64_t last_pending() const { return reads_.empty() ? 0 : reads_.back().sequence; }

  /// `member` has confirmed the round `sequence`.
  void acknowledge(NodeId member, uint64_t sequence);
  /// The reads that a quorum of `voters` has confirmed, oldest first; they are forgotten here.
  std::vector<Read> take_confirmed(const JointConfig& voters);

 private:
  struct Ack {
    NodeId member;
    uint64_t sequence = 0;
  };
  std::deque<Read> reads_;  ///< ascending sequence; at most kPendingReadsMax
  std::vector<Ack> acks_;   ///< the highest number from each member
  uint64_t last_sequence_ = 0;
};

}  // namespace cairn::raft
