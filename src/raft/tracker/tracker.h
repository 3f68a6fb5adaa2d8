/// ProgressTracker: a group's configuration with the progress of its members and the votes cast.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "raft/quorum/joint.h"
#include "raft/tracker/progress.h"

namespace cairn::raft {

/// Who votes and who only listens.
struct TrackerConfig {
  JointConfig voters;
  /// The group leaves the joint configuration by itself as soon as it may; false unless joint.
  bool auto_leave = false;
  /// Disjoint from both halves of `voters`.
  NodeSet learners;
  /// Voters of the outgoing half that become learners when the joint configuration is left: until
  /// then they still vote in it, and so cannot be learners. Empty unless joint.
  NodeSet learners_next;

  bool operator==(const TrackerConfig&) const = default;
};
/// "voters=(1 2 3)&&(1) learners=(4) learners_next=(5) autoleave"
std::string to_string(const TrackerConfig& config);

/// Progress by member, ascending. Pointers into it hold until the next insert or erase.
class ProgressMap {
 public:
  using Member = std::pair<NodeId, Progress>;

  std::vector<Member>::iterator begin() { return members_.begin(); }
  std::vector<Member>::iterator end() { return members_.end(); }
  std::vector<Member>::const_iterator begin() const { return members_.begin(); }
  std::vector<Member>::const_iterator end() const { return members_.end(); }

  Progress* find(NodeId id) {
    const auto at = lower_bound(id);
    return at != members_.end() && at->first == id ? &at->second : nullptr;
  }
  const Progress* find(NodeId id) const { return const_cast<ProgressMap*>(this)->find(id); }
  Progress& insert_or_assign(NodeId id, Progress progress) {
    auto at = lower_bound(id);
    if (at == members_.end() || at->first != id) {
      return members_.emplace(at, id, std::move(progress))->second;
    }
    at->second = std::move(progress);
    return at->second;
  }
  void erase(NodeId id) {
    const auto at = lower_bound(id);
    if (at != members_.end() && at->first == id) members_.erase(at);
  }
  size_t count() const { return members_.size(); }

 private:
  std::vector<Member>::iterator lower_bound(NodeId id) {
    return std::ranges::lower_bound(members_, id, {}, &Member::first);
  }
  std::vector<Member> members_;
};
/// A line for each member: "1: StateProbe match=0 next=1\n".
std::string to_string(const ProgressMap& progress);

class ProgressTracker {
 public:
  ProgressTracker(size_t inflight_messages_max, uint64_t inflight_bytes_max)
      : inflight_messages_max_(inflight_messages_max), inflight_bytes_max_(inflight_bytes_max) {}

  TrackerConfig config;
  ProgressMap progress;

  Inflights make_inflights() const { return {inflight_messages_max_, inflight_bytes_max_}; }

  /// The highest index that the configuration's quorum has acknowledged.
  LogIndex committed() const;
  /// Whether a quorum has been heard from since the last check.
  bool quorum_active() const;
  /// The only voter is `id`, so it decides alone.
  bool is_singleton(NodeId id) const {
    return !config.voters.is_joint() && config.voters.incoming.count() == 1 &&
           config.voters.incoming.contains(id);
  }

  void reset_votes() { votes_.clear(); }
  /// The first answer of a member counts; later ones are duplicates.
  void record_vote(NodeId id, bool granted);
  std::optional<bool> vote_of(NodeId id) const;
  struct Tally {
    size_t granted_count = 0;
    size_t rejected_count = 0;
    VoteResult result = VoteResult::kPending;
  };
  Tally tally_votes() const;

 private:
  size_t inflight_messages_max_;
  uint64_t inflight_bytes_max_;
  std::vector<std::pair<NodeId, bool>> votes_;  ///< at most one a member that ever answered
};

}  // namespace cairn::raft
