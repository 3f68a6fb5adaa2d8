/// LeaderLease: until when a leader may answer reads without asking anybody.
///
/// A heartbeat carries its sender's clock; the answer brings the stamp back. When a quorum has
/// answered heartbeats stamped at or after t, no other leader can be elected before t + the
/// election timeout, because each of that quorum refuses votes for so long after it heard from the
/// leader (VoteGuard). The lease ends at a fraction of that, for clocks that run at different
/// rates.
///
/// A read takes the commit index first and asks valid_at(now) second: a process that was paused in
/// between finds its lease expired, and one that is paused later answers with what was current at a
/// moment within the read (pitfall 14).
/// Pure: no clock of its own. Source: ADR-0006.
#pragma once

#include <algorithm>
#include <map>
#include <vector>

#include "base/ids.h"
#include "base/units.h"

namespace cairn::multiraft {

struct LeaseOptions {
  Duration election_timeout = 1s;
  /// How much of the promise is used; the rest is the margin for drifting clocks and ticks.
  double usable_fraction = 0.75;
};

class LeaderLease {
 public:
  LeaderLease(NodeId self, LeaseOptions options) : self_(self), options_(options) {}

  /// Called on winning an election: nothing that an earlier term's heartbeats proved counts.
  void reset();
  /// `peer` answered a heartbeat of this term that was sent at `stamp`.
  void on_answer(NodeId peer, Instant stamp);
  /// A transfer was started: its target may win at any time, so this term's lease is over.
  void revoke() { revoked_ = true; }

  /// A majority of `voters` (and of `outgoing`, in a joint configuration) is known to have followed
  /// this leader at this time or later; `self` counts as `now`.
  Instant confirmed_at(const std::vector<NodeId>& voters, const std::vector<NodeId>& outgoing,
                       Instant now) const;
  bool valid_at(Instant now, const std::vector<NodeId>& voters,
                const std::vector<NodeId>& outgoing) const;

 private:
  Instant majority(const std::vector<NodeId>& voters, Instant now) const;

  NodeId self_;
  LeaseOptions options_;
  bool revoked_ = false;
  std::map<NodeId, Instant> answered_;
};

/// The follower's half of the promise: no vote for the election timeout after the last word of a
/// leader, nor after a start, since a restarted process has forgotten whom it promised what.
class VoteGuard {
 public:
  VoteGuard(Duration election_timeout, Instant started_at)
      : election_timeout_(election_timeout), quiet_until_(started_at + election_timeout) {}

  /// `at`: when it was heard, which may be a while ago.
  void on_leader_contact(Instant at) {
    if (at != Instant::min()) quiet_until_ = std::max(quiet_until_, at + election_timeout_);
  }
  bool may_vote(Instant now) const { return now >= quiet_until_; }

 private:
  Duration election_timeout_;
  Instant quiet_until_;
};

}  // namespace cairn::multiraft
