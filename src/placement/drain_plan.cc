#include "placement/planners.h"

namespace cairn::placement {

namespace {

/// Plans what is possible now; the number of replicas that nobody can take.
uint32_t empty_one(PoolRound& round, Slot source) {
  uint32_t unplaced = 0;
  const Chunkserver& from = round.chunkserver(source);
  for (Slot slot : round.copysets_on(source)) {
    if (!round.ledger().has_room_for_copies(Priority::kNormal) || unplaced >= kMissesMax) break;
    const Copyset& copyset = round.copyset(slot);
    if (round.is_busy(slot) || !copyset.has_voter(source)) continue;
    if (copyset.voters_count != round.pool().replicas_count) continue;  // plan_replicas goes first
    if (round.cluster().online_voters(copyset) < copyset.quorum()) continue;
    const Slot target = round.choose_target(slot, source, Priority::kNormal);
    if (target == kNoSlot) {
      ++unplaced;
      continue;
    }
    round.add_copy(
        slot, source, target, Cause::kDrain, Priority::kNormal,
        "chunkserver " + to_string(from.id) + " is " + std::string(to_string(from.service)));
  }
  return unplaced;
}

}  // namespace

void plan_drain(PoolRound& round) {
  for (Slot source : round.members()) {
    const Chunkserver& from = round.chunkserver(source);
    if (from.service == Service::kReadWrite) continue;
    if (from.replicas_count == 0) {
      round.note(NoteKind::kDrained,
                 "chunkserver " + to_string(from.id) + " holds no replica and may be removed");
      continue;
    }
    if (from.liveness == Liveness::kOffline) continue;  // recovery does it
    const uint32_t unplaced = empty_one(round, source);
    if (unplaced > 0 && round.ledger().count() == 0) {
      round.note(NoteKind::kNoPlace, std::to_string(unplaced) + " replicas of chunkserver " +
                                         to_string(from.id) +
                                         " have no place to go: add chunkservers");
    }
  }
}

}  // namespace cairn::placement
