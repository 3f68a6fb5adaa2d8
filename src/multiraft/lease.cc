#include "multiraft/lease.h"

#include <algorithm>

namespace cairn::multiraft {

void LeaderLease::reset() {
  answered_.clear();
  revoked_ = false;
}

void LeaderLease::on_answer(NodeId peer, Instant stamp) {
  Instant& known = answered_[peer];
  known = std::max(known, stamp);
}

Instant LeaderLease::majority(const std::vector<NodeId>& voters, Instant now) const {
  if (voters.empty()) return now;  // an empty half of a configuration agrees with everything
  std::vector<Instant> times;
  times.reserve(voters.size());
  for (NodeId voter : voters) {
    if (voter == self_) {
      times.push_back(now);
    } else {
      auto found = answered_.find(voter);
      times.push_back(found == answered_.end() ? Instant::min() : found->second);
    }
  }
  std::sort(times.begin(), times.end(), std::greater<>());
  return times[times.size() / 2];
}

Instant LeaderLease::confirmed_at(const std::vector<NodeId>& voters,
                                  const std::vector<NodeId>& outgoing, Instant now) const {
  return std::min(majority(voters, now), majority(outgoing, now));
}

bool LeaderLease::valid_at(Instant now, const std::vector<NodeId>& voters,
                           const std::vector<NodeId>& outgoing) const {
  if (revoked_) return false;
  const Instant confirmed = confirmed_at(voters, outgoing, now);
  if (confirmed == Instant::min()) return false;
  const auto usable =
      std::chrono::duration_cast<Duration>(options_.election_timeout * options_.usable_fraction);
  return now < confirmed + usable;
}

}  // namespace cairn::multiraft
