#include <algorithm>

#include "placement/planners.h"

namespace cairn::placement {

namespace {

/// Who goes when there are too many: who does not answer, who is to be emptied, who crowds the
/// others, who does not lead, who has most.
Slot choose_surplus(const PoolRound& round, Slot slot) {
  const Copyset& copyset = round.copyset(slot);
  const auto rank = [&](Slot voter) {
    const Chunkserver& member = round.chunkserver(voter);
    return std::tuple(member.is_online(), member.service == Service::kReadWrite,
                      round.crowding(slot, voter, kNoSlot), voter == copyset.leader,
                      -round.surplus(voter), voter);
  };
  return *std::ranges::min_element(copyset.voters(), {}, rank);
}

void drop_learner(PoolRound& round, Slot slot) {
  round.add_removal(slot, round.copyset(slot).learners().front(), Cause::kReplica,
                    Priority::kNormal, "a learner was left behind by a change that did not end");
}

void add_one(PoolRound& round, Slot slot, uint32_t& unplaced) {
  const Copyset& copyset = round.copyset(slot);
  if (!round.ledger().has_room_for_copies(Priority::kNormal) || unplaced >= kMissesMax) return;
  const Slot target = round.choose_target(slot, kNoSlot, Priority::kNormal);
  if (target == kNoSlot) {
    ++unplaced;
    return;
  }
  round.add_copy(slot, kNoSlot, target, Cause::kReplica, Priority::kNormal,
                 "it has " + std::to_string(copyset.voters_count) + " of " +
                     std::to_string(round.pool().replicas_count) + " replicas");
}

}  // namespace

void plan_replicas(PoolRound& round) {
  const uint32_t wanted = round.pool().replicas_count;
  uint32_t unplaced = 0;
  for (Slot slot : round.copysets()) {
    const Copyset& copyset = round.copyset(slot);
    // Nearly all are as they should be.
    if (copyset.voters_count == wanted && copyset.learners_count == 0) continue;
    if (round.is_busy(slot) || copyset.reported_ms == 0) continue;
    if (round.cluster().online_voters(copyset) < copyset.quorum()) continue;
    if (copyset.learners_count > 0) {
      drop_learner(round, slot);
    } else if (copyset.voters_count < wanted) {
      add_one(round, slot, unplaced);
    } else {
      round.add_removal(slot, choose_surplus(round, slot), Cause::kReplica, Priority::kNormal,
                        "it has " + std::to_string(copyset.voters_count) + " replicas instead of " +
                            std::to_string(wanted));
    }
  }
  if (unplaced > 0 && round.ledger().count() == 0) {
    round.note(NoteKind::kNoPlace, std::to_string(unplaced) +
                                       " copysets lack a replica and no chunkserver can take it; "
                                       "add chunkservers");
  }
}

}  // namespace cairn::placement
