#include <algorithm>
#include <cmath>

#include "placement/planners.h"

namespace cairn::placement {

namespace {

std::string amount(double value) {
  return std::to_string(static_cast<int64_t>(std::llround(value)));
}

/// Replicas that share a zone or a server although there are enough of them: they were placed when
/// fewer were there.
void part_crowded(PoolRound& round) {
  uint32_t tries = 0;
  for (Slot slot : round.copysets()) {
    if (!round.ledger().has_room_for_copies(Priority::kLow) || tries >= kCrowdingTriesMax) return;
    const Crowding now = round.crowding(slot);
    if (now <= round.crowding_min() || !round.is_settled(slot)) continue;
    ++tries;
    Slot best_source = kNoSlot, best_target = kNoSlot;
    Crowding best = now;
    for (Slot source : round.copyset(slot).voters()) {
      // Only one whose leaving helps is worth a search.
      if (round.crowding(slot, source, kNoSlot) >= best) continue;
      const Slot target = round.choose_target(slot, source, Priority::kLow);
      if (target == kNoSlot) continue;
      const Crowding after = round.crowding(slot, source, target);
      if (after >= best) continue;
      best = after;
      best_source = source;
      best_target = target;
    }
    if (best_source == kNoSlot) continue;
    round.add_copy(slot, best_source, best_target, Cause::kCopyset, Priority::kLow,
                   "two replicas stand in one zone or server, and another has room");
  }
}

/// Evens out the counts of one pool, the fullest giving to the emptiest.
class Spread {
 public:
  explicit Spread(PoolRound& round) : round_(round) {
    for (Slot slot : round.members()) {
      const Chunkserver& member = round.chunkserver(slot);
      if (member.service != Service::kReadWrite || !member.is_online()) continue;
      sources_.insert({round.surplus(slot), slot});
      targets_.insert({round.surplus(slot), slot});
    }
  }

  bool is_needed() const {
    return std::ranges::any_of(sources_, [&](const auto& entry) { return is_out(entry.second); });
  }

  void run() {
    while (!sources_.empty() && tries_ < kSpreadTriesMax &&
           round_.ledger().has_room_for_copies(Priority::kLow)) {
      const auto [surplus, source] = *sources_.rbegin();
      if (targets_.empty() || surplus - targets_.begin()->first <= 1 + kEpsilon) return;
      // One that can give nothing now is left out for this round.
      if (!give_one(source) && !give_by_way(source)) sources_.erase({surplus, source});
    }
  }

 private:
  // Shares come from a bisection and counts are whole: a move must gain more than its rounding.
  static constexpr double kEpsilon = 1e-6;

  /// Further from its share than is allowed.
  bool is_out(Slot slot) const {
    const double band = std::max(1.0, round_.limits().spread_max * round_.share(slot));
    return std::abs(round_.surplus(slot)) > band + kEpsilon;
  }
  bool can_take(Slot slot) const { return !round_.is_filled(slot) && round_.has_place(slot); }

  bool give_one(Slot source) {
    const double surplus = round_.surplus(source);
    for (auto at = targets_.begin(); at != targets_.end();) {
      const auto [lack, target] = *at;
      // A move that lessens the sum of the squares of all surpluses; so the moves come to an end.
      if (surplus - lack <= 1 + kEpsilon || ++tries_ >= kSpreadTriesMax) return false;
      if (!can_take(target)) {
        at = targets_.erase(at);
        continue;
      }
      ++at;
      const Slot copyset = choose_copyset(source, target);
      if (copyset == kNoSlot) continue;
      if (!move(copyset, source, target)) continue;
      return true;
    }
    return false;
  }

  /// Where every copyset of the source has a member too near to the target, a third one takes a
  /// copyset from the source and gives another to the target. That costs two copies, and is done
  /// only for what is out of its bounds.
  bool give_by_way(Slot source) {
    const double surplus = round_.surplus(source);
    const std::vector<std::pair<double, Slot>> all(targets_.begin(), targets_.end());
    for (const auto& [lack, target] : all) {
      if (surplus - lack <= 1 + kEpsilon) return false;
      if (!is_out(source) && !is_out(target)) return false;  // nor are those that come now
      // What is only busy now is waited for.
      if (!can_take(target) || has_way(source, target)) continue;
      for (const auto& [between, middle] : all) {
        if (between >= surplus - kEpsilon) break;
        if (++tries_ >= kSpreadTriesMax) return false;
        if (middle == source || middle == target || !can_take(middle)) continue;
        const Slot second = choose_copyset(middle, target);
        if (second == kNoSlot || choose_copyset(source, middle, second) == kNoSlot) continue;
        if (!move(second, middle, target)) continue;
        // Should a limit forbid the other half now, it is a plain move in a later round.
        const Slot first = choose_copyset(source, middle);
        if (first != kNoSlot) move(first, source, middle);
        return true;
      }
    }
    return false;
  }

  /// Whether a copyset could go from the one to the other, were it not for operators and limits.
  bool has_way(Slot source, Slot target) const {
    return std::ranges::any_of(round_.copysets_on(source),
                               [&](Slot slot) { return is_apart(slot, source, target); });
  }
  bool is_apart(Slot slot, Slot source, Slot target) const {
    const Copyset& copyset = round_.copyset(slot);
    return copyset.has_voter(source) && !copyset.has_replica(target) &&
           round_.crowding(slot, source, target) <= round_.crowding(slot);
  }

  bool move(Slot copyset, Slot source, Slot target) {
    const double surplus = round_.surplus(source);
    const double lack = round_.surplus(target);
    if (!round_.add_copy(copyset, source, target, Cause::kCopyset, Priority::kLow,
                         "chunkserver " + to_string(round_.chunkserver(source).id) + " holds " +
                             std::to_string(round_.replicas(source)) + " replicas of a share of " +
                             amount(round_.share(source)) + ", the other " +
                             std::to_string(round_.replicas(target)) + " of " +
                             amount(round_.share(target)))) {
      return false;
    }
    reinsert(source, surplus);
    reinsert(target, lack);
    return true;
  }

  /// A copyset to move: not one led by the source if that can be helped, and of those the one whose
  /// other members have met the target least.
  Slot choose_copyset(Slot source, Slot target, Slot without = kNoSlot) {
    Slot best = kNoSlot;
    std::pair<bool, uint32_t> best_rank;
    for (Slot slot : round_.copysets_on(source)) {
      const Copyset& copyset = round_.copyset(slot);
      if (slot == without || !round_.is_settled(slot) || !is_apart(slot, source, target)) continue;
      const ChunkserverId sender = round_.chunkserver(copyset.leader).id;
      if (!round_.ledger().admits_copy(Priority::kLow, sender, round_.chunkserver(target).id,
                                       round_.cluster())) {
        continue;
      }
      if (best == kNoSlot) round_.gather_meetings(target);
      const std::pair rank(copyset.leader == source, round_.meetings(slot, source));
      if (best != kNoSlot && rank >= best_rank) continue;
      best = slot;
      best_rank = rank;
    }
    return best;
  }

  void reinsert(Slot slot, double surplus_before) {
    // The same expression gave the old key, so it is found exactly.
    if (sources_.erase({surplus_before, slot}) > 0) sources_.insert({round_.surplus(slot), slot});
    if (targets_.erase({surplus_before, slot}) > 0) targets_.insert({round_.surplus(slot), slot});
  }

  PoolRound& round_;
  std::set<std::pair<double, Slot>> sources_;
  std::set<std::pair<double, Slot>> targets_;
  uint32_t tries_ = 0;
};

}  // namespace

void plan_copyset_spread(PoolRound& round) {
  for (Slot slot : round.members()) {
    const Chunkserver& member = round.chunkserver(slot);
    if (member.liveness == Liveness::kOffline && !round.copysets_on(slot).empty()) return;
  }
  part_crowded(round);
  Spread spread(round);
  if (spread.is_needed()) spread.run();
}

}  // namespace cairn::placement
