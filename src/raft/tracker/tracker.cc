#include "raft/tracker/tracker.h"

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
  if (!vote_of(id)) votes_.emplace_back(id, granted);
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
  CHECK(tally.granted_count + tally.rejected_count <= progress.count());
  return tally;
}

}  // namespace cairn::raft
