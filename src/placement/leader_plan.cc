#include <algorithm>
#include <deque>

#include "placement/planners.h"

namespace cairn::placement {

namespace {

/// Leaders of one pool as a graph: a copyset is an edge from its leader to each other member, and a
/// transfer turns it round. Where the fullest and the emptiest share no copyset, a path of several
/// transfers still carries one leader from the one to the other; when there is no such path either,
/// no assignment of leaders is more even.
class LeaderBalance {
 public:
  LeaderBalance(PoolRound& round, LeaderPace pace)
      : round_(round),
        pace_(pace),
        speeds_(round.cluster(), round.pool(), round.limits().slow_disk),
        is_eligible_(round.cluster().chunkservers().size(), false),
        is_closed_(is_eligible_.size(), false),
        came_by_(is_eligible_.size(), {kNoSlot, 0}) {
    for (Slot slot : round.usable()) {
      const Chunkserver& member = round.chunkserver(slot);
      if (round.copysets_on(slot).empty() || !has_rested(member.online_since_ms)) continue;
      if (!speeds_.may_be_given_leaders(member)) continue;
      is_eligible_[slot] = true;
      sources_.insert({round.leaders(slot), slot});
      by_leaders_.insert({round.leaders(slot), slot});
    }
  }

  /// Whoever is to be emptied, or has a slow disk, leads nothing any more, where another member
  /// can.
  void leave_unfit() {
    for (Slot slot : round_.members()) {
      const Chunkserver& member = round_.chunkserver(slot);
      const bool is_slow = speeds_.is_slow(member);
      if (!member.is_online() || (member.service == Service::kReadWrite && !is_slow)) continue;
      leave(slot, is_slow ? speeds_.describe(member)
                          : "chunkserver " + to_string(member.id) + " is " +
                                std::string(to_string(member.service)));
    }
  }

  void even_out() {
    while (!sources_.empty() && !is_exhausted_) {
      const auto [leaders, source] = *sources_.rbegin();
      if (leaders < by_leaders_.begin()->first + 2) return;
      if (!carry_one(source)) sources_.erase({leaders, source});
    }
  }

 private:
  void leave(Slot slot, const std::string& reason) {
    for (Slot copyset : round_.copysets_on(slot)) {
      if (round_.leader(copyset) != slot || !is_movable(copyset)) continue;
      Slot best = kNoSlot;
      for (Slot voter : round_.copyset(copyset).voters()) {
        if (!is_eligible_[voter] || round_.cluster().is_out_of_service(copyset, voter)) continue;
        if (best == kNoSlot || round_.leaders(voter) < round_.leaders(best)) best = voter;
      }
      if (best != kNoSlot) transfer(copyset, best, reason);
    }
  }

  bool has_rested(uint64_t since_ms) const {
    return pace_ == LeaderPace::kRapid || since_ms == 0 ||
           round_.now_ms() >= since_ms + round_.limits().leader_rest_ms;
  }
  bool is_movable(Slot slot) const {
    const Copyset& copyset = round_.copyset(slot);
    return !round_.is_busy(slot) && copyset.leader != kNoSlot &&
           has_rested(copyset.leader_since_ms);
  }
  /// Whether it may be given one more leader in this round.
  bool is_open(Slot slot) const {
    return is_eligible_[slot] && !is_closed_[slot] &&
           (pace_ == LeaderPace::kRapid ||
            round_.ledger().admits_transfer(round_.chunkserver(slot).id));
  }

  struct Arrival {
    Slot copyset = kNoSlot;  ///< whose transfer leads here
    uint32_t search = 0;     ///< the search that this belongs to
  };

  /// Finds the nearest member that leads at least two less, and moves one leader to it.
  bool carry_one(Slot source) {
    const uint32_t enough = round_.leaders(source) - 2;
    ++search_;
    std::deque<Slot> open{source};
    std::vector<Slot> seen{source};
    came_by_[source] = {kNoSlot, search_};
    while (!open.empty()) {
      const Slot at = open.front();
      open.pop_front();
      Slot found = kNoSlot;
      for (Slot copyset : round_.copysets_on(at)) {
        if (round_.leader(copyset) != at || !is_movable(copyset)) continue;
        for (Slot next : round_.copyset(copyset).voters()) {
          if (came_by_[next].search == search_ || !is_open(next)) continue;
          if (round_.cluster().is_out_of_service(copyset, next)) continue;
          came_by_[next] = {copyset, search_};
          seen.push_back(next);
          open.push_back(next);
          if (round_.leaders(next) > enough) continue;
          // Of those as near, the one that leads least: whoever is filled half-way would be a
          // source itself soon.
          if (found == kNoSlot || round_.leaders(next) < round_.leaders(found)) found = next;
        }
      }
      if (found != kNoSlot) return carry(source, found);
    }
    // From none of these a member is reached that leads two less than `source`. Sources come in
    // falling order, so none of them will ever help a later one: each is searched once in vain.
    for (Slot slot : seen) is_closed_[slot] = true;
    return false;
  }

  bool carry(Slot source, Slot last) {
    std::vector<std::pair<Slot, Slot>> path;  // copyset, its new leader
    for (Slot at = last; at != source;) {
      const Slot copyset = came_by_[at].copyset;
      path.emplace_back(copyset, at);
      at = round_.leader(copyset);
    }
    // The whole path or nothing: a part of it would only move the surplus.
    if (pace_ == LeaderPace::kGentle && round_.ledger().transfers_left() < path.size()) {
      is_exhausted_ = true;
      return false;
    }
    const std::string reason = "chunkserver " + to_string(round_.chunkserver(source).id) +
                               " leads " + std::to_string(round_.leaders(source)) +
                               ", chunkserver " + to_string(round_.chunkserver(last).id) + " " +
                               std::to_string(round_.leaders(last));
    for (const auto& [copyset, to] : path) CHECK(transfer(copyset, to, reason));
    return true;
  }

  bool transfer(Slot copyset, Slot to, std::string reason) {
    const Slot from = round_.leader(copyset);
    const uint32_t from_leaders = round_.leaders(from), to_leaders = round_.leaders(to);
    const bool is_rapid = pace_ == LeaderPace::kRapid;
    if (!round_.add_transfer(copyset, to, is_rapid ? Cause::kRapidLeader : Cause::kLeader,
                             is_rapid ? Admission::kForced : Admission::kLimited,
                             std::move(reason))) {
      return false;
    }
    reinsert(from, from_leaders);
    reinsert(to, to_leaders);
    return true;
  }

  void reinsert(Slot slot, uint32_t leaders_before) {
    for (auto* ordered : {&sources_, &by_leaders_}) {
      if (ordered->erase({leaders_before, slot}) > 0) {
        ordered->insert({round_.leaders(slot), slot});
      }
    }
  }

  PoolRound& round_;
  const LeaderPace pace_;
  const DiskSpeeds speeds_;
  std::vector<bool> is_eligible_;
  std::vector<bool> is_closed_;
  std::vector<Arrival> came_by_;
  std::set<std::pair<uint32_t, Slot>> sources_;     ///< who may still have a leader to give
  std::set<std::pair<uint32_t, Slot>> by_leaders_;  ///< all that are eligible
  uint32_t search_ = 0;
  bool is_exhausted_ = false;
};

}  // namespace

void plan_leaders(PoolRound& round, LeaderPace pace) {
  LeaderBalance balance(round, pace);
  balance.leave_unfit();
  balance.even_out();
}

}  // namespace cairn::placement
