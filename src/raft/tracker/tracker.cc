#include "raft/tracker/tracker.h"

#include "base/planted_bug.h"

namespace cairn::raft {

std::string to_string(const TrackerConfig& config) {
  std::string text = "voters=" + to_string(config.voters);
  if (!config.learners.empty()) text += " learners=" + to_string(config.learners);
  if (!config.learners_next.empty()) text += " learners_next=" + to_string(config.learners_next);
  if (config.auto_leave) text += " autoleave";
  return text;
}

std::string to_string(const ProgressMap& progress) {
  std::string text;
  for (const auto& [id, member] : progress) {
    text += to_string(id) + ": " + to_string(member) + '\n';
  }
  return text;
}

LogIndex ProgressTracker::committed() const {
  if (is_planted(PlantedBug::kLearnerCounts)) {
    std::vector<LogIndex> matches;
    for (const auto& [id, member] : progress) matches.push_back(member.match);
    std::ranges::sort(matches, std::greater<>());
    const size_t decides = majority_count(config.voters.incoming);
    return decides <= matches.size() ? matches[decides - 1] : LogIndex(0);
  }
  return config.voters.committed_index([this](NodeId id) -> std::optional<LogIndex> {
    const Progress* member = progress.find(id);
    return member ? std::optional(member->counted) : std::nullopt;
  });
}

bool ProgressTracker::quorum_active() const {
  const VoteResult result = config.voters.vote_result([this](NodeId id) -> std::optional<bool> {
    const Progress* member = progress.find(id);
    if (!member || member->is_learner) return std::nullopt;
    return member->recent_active;
  });
  return result == VoteResult::kWon;
}

std::optional<bool> ProgressTracker::vote_of(NodeId id) const {
  for (const auto& [voter, granted] : votes_) {
    if (voter == id) return granted;
  }
  return std::nullopt;
}

void ProgressTracker::record_vote(NodeId id, bool granted) {
  if (!vote_of(id) || is_planted(PlantedBug::kDuplicateVotes)) votes_.emplace_back(id, granted);
}

ProgressTracker::Tally ProgressTracker::tally_votes() const {
  Tally tally;
  for (const auto& [id, member] : progress) {
    if (member.is_learner) continue;
    const auto vote = vote_of(id);
    if (!vote) continue;
    ++(*vote ? tally.granted_count : tally.rejected_count);
  }
  tally.result = config.voters.vote_result([this](NodeId id) { return vote_of(id); });
  if (is_planted(PlantedBug::kDuplicateVotes)) {
    const auto granted = std::ranges::count(votes_, true, &std::pair<NodeId, bool>::second);
    if (static_cast<size_t>(granted) >= majority_count(config.voters.incoming)) {
      tally.result = VoteResult::kWon;
    }
  }
  CHECK(tally.granted_count + tally.rejected_count <= progress.count());
  return tally;
}

}  // namespace cairn::raft
