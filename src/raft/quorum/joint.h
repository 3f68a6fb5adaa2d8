/// JointConfig: two majorities that must agree while a group moves from one to the other.
///
/// Outside a joint change `outgoing` is empty, and an empty half agrees to everything, so one type
/// serves both cases.
/// Source: Raft paper, section 6.
#pragma once

#include <algorithm>
#include <string>

#include "base/planted_bug.h"
#include "raft/quorum/majority.h"

namespace cairn::raft {

struct JointConfig {
  NodeSet incoming;
  NodeSet outgoing;  ///< empty unless joint

  bool is_joint() const { return !outgoing.empty(); }
  bool contains(NodeId id) const { return incoming.contains(id) || outgoing.contains(id); }

  /// The voters of both halves.
  NodeSet ids() const {
    NodeSet all = incoming;
    all.merge(outgoing);
    return all;
  }

  /// An index is committed jointly once it is committed in both halves.
  template <AckedLookup F>
  LogIndex committed_index(F&& acked) const {
    const LogIndex in = majority_committed(incoming, acked);
    if (outgoing.empty() || is_planted(PlantedBug::kJointByOneHalf)) return in;
    return std::min(in, majority_committed(outgoing, acked));
  }

  template <VoteLookup F>
  VoteResult vote_result(F&& vote) const {
    const VoteResult in = majority_vote(incoming, vote);
    if (is_planted(PlantedBug::kJointByOneHalf)) return in;
    const VoteResult out = majority_vote(outgoing, vote);
    if (in == out) return in;
    // They differ: one loss loses all; otherwise one is won and the other still open.
    const bool lost = in == VoteResult::kLost || out == VoteResult::kLost;
    return lost ? VoteResult::kLost : VoteResult::kPending;
  }

  bool operator==(const JointConfig&) const = default;
};

/// "(1 2 3)", or "(1 2 3)&&(1)" when joint.
inline std::string to_string(const JointConfig& config) {
  std::string text = to_string(config.incoming);
  if (config.is_joint()) text += "&&" + to_string(config.outgoing);
  return text;
}

}  // namespace cairn::raft
