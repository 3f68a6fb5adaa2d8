#include "multiraft/host_beats.h"

#include "base/check.h"

namespace cairn::multiraft {

namespace {

/// The lower bits of a number count within a life of its process; the others name the life.
constexpr int kCountBits = 20;

uint64_t first_of(uint64_t life) {
  return ((life << kCountBits) | (uint64_t{1} << 63)) + 1;  // never zero, whatever was drawn
}

}  // namespace

HostBeats::HostBeats(Duration election_timeout, Duration margin, uint64_t life)
    : election_timeout_(election_timeout),
      silence_max_(election_timeout + margin),
      vouch_(first_of(life)),
      next_epoch_(first_of(life)) {
  CHECK(election_timeout > Duration::zero() && margin >= Duration::zero());
}

HostBeats::LeaderHalf& HostBeats::leader_half(NodeId leader) {
  auto [found, is_new] = leader_halves_.try_emplace(leader);
  if (is_new) found->second.epoch = next_epoch_++;
  return found->second;
}

HostBeats::News HostBeats::on_beat(NodeId leader, uint64_t vouch, Instant now) {
  LeaderHalf& half = leader_half(leader);
  const uint64_t before = std::exchange(half.vouch, vouch);
  News news = News::kNone;
  if (before != 0 && before != vouch) {
    half.epoch = next_epoch_++;
    news = (before >> kCountBits) == (vouch >> kCountBits) ? News::kDisowned : News::kRestarted;
  }
  // The beat of another life says nothing of the leader that we were bound to.
  if (news != News::kRestarted) half.heard_at = now;
  half.is_heard = news != News::kRestarted;
  return news;
}

bool HostBeats::may_bind(NodeId leader, uint64_t vouch, Instant now) const {
  auto found = leader_halves_.find(leader);
  if (found == leader_halves_.end()) return false;
  const LeaderHalf& half = found->second;
  return half.is_heard && half.vouch == vouch && now < half.heard_at + election_timeout_;
}

uint64_t HostBeats::epoch_for(NodeId leader) const {
  auto found = leader_halves_.find(leader);
  CHECK(found != leader_halves_.end() && found->second.epoch != 0,
        "only who was heard is supported");
  return found->second.epoch;
}

Instant HostBeats::heard_at(NodeId leader) const {
  auto found = leader_halves_.find(leader);
  return found == leader_halves_.end() ? Instant::min() : found->second.heard_at;
}

void HostBeats::withdraw(NodeId leader) {
  leader_half(leader).epoch = next_epoch_++;
}

std::vector<NodeId> HostBeats::take_silent_leaders(Instant now) {
  std::vector<NodeId> silent;
  for (auto& [leader, half] : leader_halves_) {
    if (!half.is_heard || now < half.heard_at + silence_max_) continue;
    half.is_heard = false;
    half.epoch = next_epoch_++;
    silent.push_back(leader);
  }
  return silent;
}

bool HostBeats::on_answer(NodeId follower, uint64_t epoch, Instant stamp, Instant now) {
  auto found = follower_halves_.find(follower);
  if (found == follower_halves_.end() || epoch == 0) return false;  // we never asked
  FollowerHalf& half = found->second;
  const bool news = !half.answers || half.epoch != epoch;
  half.stamp = half.epoch == epoch ? std::max(half.stamp, stamp) : stamp;
  half.epoch = epoch;
  half.answered_at = now;
  half.answers = true;
  return news;
}

bool HostBeats::answers(NodeId follower) const {
  auto found = follower_halves_.find(follower);
  return found != follower_halves_.end() && found->second.answers;
}

uint64_t HostBeats::epoch_of(NodeId follower) const {
  auto found = follower_halves_.find(follower);
  return found == follower_halves_.end() ? 0 : found->second.epoch;
}

Instant HostBeats::answered_stamp(NodeId follower) const {
  auto found = follower_halves_.find(follower);
  return found == follower_halves_.end() ? Instant::min() : found->second.stamp;
}

std::vector<NodeId> HostBeats::take_silent_followers(Instant now) {
  std::vector<NodeId> silent;
  for (auto& [follower, half] : follower_halves_) {
    if (!half.answers || now < half.answered_at + election_timeout_) continue;
    half.answers = false;
    silent.push_back(follower);
  }
  return silent;
}

std::vector<NodeId> HostBeats::followers() const {
  std::vector<NodeId> all;
  all.reserve(follower_halves_.size());
  for (const auto& [follower, half] : follower_halves_) all.push_back(follower);
  return all;
}

}  // namespace cairn::multiraft
