#include <algorithm>

#include "placement/planners.h"

namespace cairn::placement {

namespace {

struct Loss {
  uint32_t spare = 0;  ///< members that may still be lost before the copyset stops
  Slot copyset = kNoSlot;
  Slot chunkserver = kNoSlot;
  auto operator<=>(const Loss&) const = default;
};

std::string percent(double part) {
  return std::to_string(static_cast<int>(part * 100 + 0.5)) + " %";
}

/// Whether so much is gone that copying would make it worse.
bool is_held_back(PoolRound& round, size_t lost) {
  size_t serving = 0;  // retired ones that are switched off are no loss
  for (Slot slot : round.members()) {
    if (round.chunkserver(slot).service != Service::kRetired) ++serving;
  }
  const double part = static_cast<double>(lost) / static_cast<double>(std::max<size_t>(1, serving));
  if (lost <= 1 || part <= round.limits().lost_part_max) return false;
  round.note(NoteKind::kHeldBack,
             std::to_string(lost) + " of " + std::to_string(serving) + " chunkservers (" +
                 percent(part) + ") are offline, more than " +
                 percent(round.limits().lost_part_max) +
                 ": recovery waits for them; bring them back, or set those that are lost for good "
                 "to retired");
  return true;
}

std::string reason_of(const PoolRound& round, const Loss& loss, Slot target) {
  const Chunkserver& from = round.chunkserver(loss.chunkserver);
  const Chunkserver& to = round.chunkserver(target);
  const Cluster& cluster = round.cluster();
  const bool is_offline = from.liveness == Liveness::kOffline;
  return (is_offline ? "chunkserver " : "the replica on chunkserver ") + to_string(from.id) +
         " of zone " + cluster.zone_name(from.zone) +
         (is_offline ? " is offline" : " is out of service") + "; chunkserver " + to_string(to.id) +
         " of zone " + cluster.zone_name(to.zone) + " holds " +
         std::to_string(round.replicas(target)) + " replicas of a share of " +
         std::to_string(static_cast<uint64_t>(round.share(target)));
}

std::vector<Loss> losses_of(PoolRound& round, const std::vector<Slot>& lost) {
  std::vector<Loss> losses;
  std::set<Slot> stopped;
  for (Slot chunkserver : lost) {
    for (Slot slot : round.copysets_on(chunkserver)) {
      const Copyset& copyset = round.copyset(slot);
      if (!copyset.has_voter(chunkserver)) continue;
      const uint32_t online = round.cluster().online_voters(copyset);
      if (online < copyset.quorum()) {
        stopped.insert(slot);
      } else {
        losses.push_back({online - copyset.quorum(), slot, chunkserver});
      }
    }
  }
  if (!stopped.empty()) {
    round.note(NoteKind::kNoQuorum,
               std::to_string(stopped.size()) + " copysets, copyset " +
                   to_string(round.copyset(*stopped.begin()).id) +
                   " among them, have lost their quorum: they wait for a member to return, or for "
                   "`cairn raft reset-peers`");
  }
  std::ranges::sort(losses);
  return losses;
}

/// Replicas that are gone or damaged on chunkservers that live.
std::vector<Loss> replicas_out_of_service(const PoolRound& round) {
  std::vector<Loss> losses;
  for (const auto& [slot, holder] : round.cluster().out_of_service()) {
    const Copyset& copyset = round.copyset(slot);
    if (copyset.pool != round.pool_slot() || !copyset.has_voter(holder)) continue;
    if (!round.chunkserver(holder).is_online()) continue;  // it is lost as a whole, or may return
    const uint32_t online = round.cluster().online_voters(copyset);
    if (online >= copyset.quorum()) losses.push_back({online - copyset.quorum(), slot, holder});
  }
  std::ranges::sort(losses);
  return losses;
}

/// Where no other chunkserver can take the replica, its own makes it anew, once it is no member.
bool make_room_at_home(PoolRound& round, const Loss& loss) {
  const Chunkserver& home = round.chunkserver(loss.chunkserver);
  const Copyset& copyset = round.copyset(loss.copyset);
  if (!home.is_usable() || copyset.voters_count < round.pool().replicas_count) return false;
  if (!round.has_place(loss.chunkserver)) return false;
  // One that is only busy now is waited for.
  const auto could_take = [&](Slot slot) {
    return !copyset.has_replica(slot) && !round.is_filled(slot);
  };
  if (std::ranges::any_of(round.usable(), could_take)) return false;
  return round.add_removal(loss.copyset, loss.chunkserver, Cause::kRecover, Priority::kHigh,
                           "it is out of service there, and is made anew in its place");
}

}  // namespace

void plan_out_of_service(PoolRound& round) {
  for (const Loss& loss : replicas_out_of_service(round)) {
    if (!round.ledger().has_room_for_copies(Priority::kHigh)) return;
    if (round.is_busy(loss.copyset)) continue;
    const Slot target = round.choose_target(loss.copyset, loss.chunkserver, Priority::kHigh);
    if (target == kNoSlot) {
      make_room_at_home(round, loss);
    } else {
      round.add_copy(loss.copyset, loss.chunkserver, target, Cause::kRecover, Priority::kHigh,
                     reason_of(round, loss, target));
    }
  }
}

void plan_recovery(PoolRound& round) {
  std::vector<Slot> lost;
  size_t counted = 0;
  // Not only the pool's members: one whose tags were changed may still hold replicas of it.
  for (Slot slot = 0; slot < round.cluster().chunkservers().size(); ++slot) {
    const Chunkserver& each = round.chunkserver(slot);
    if (each.id.is_none() || each.liveness != Liveness::kOffline) continue;
    const bool is_member = round.cluster().is_in_pool(each, round.pool());
    if (!is_member && round.copysets_on(slot).empty()) continue;
    lost.push_back(slot);
    counted += is_member && each.service != Service::kRetired ? 1 : 0;
  }
  if (lost.empty()) return;
  const auto losses = losses_of(round, lost);
  if (losses.empty() || is_held_back(round, counted)) return;
  uint32_t unplaced = 0;
  for (const auto& loss : losses) {
    if (!round.ledger().has_room_for_copies(Priority::kHigh) || unplaced >= kMissesMax) break;
    if (round.is_busy(loss.copyset)) continue;
    if (round.copyset(loss.copyset).voters_count > round.pool().replicas_count) {
      round.add_removal(loss.copyset, loss.chunkserver, Cause::kRecover, Priority::kHigh,
                        "it is offline, and there are replicas enough without it");
      continue;
    }
    const Slot target = round.choose_target(loss.copyset, loss.chunkserver, Priority::kHigh);
    if (target == kNoSlot) {
      ++unplaced;
      continue;
    }
    round.add_copy(loss.copyset, loss.chunkserver, target, Cause::kRecover, Priority::kHigh,
                   reason_of(round, loss, target));
  }
  if (unplaced > 0 && round.ledger().count() == 0) {
    round.note(
        NoteKind::kNoPlace,
        std::to_string(unplaced) +
            " replicas of offline chunkservers have no place: no chunkserver that is online, "
            "read-write and below the high-water mark is free of their copysets; add some");
  }
}

}  // namespace cairn::placement
