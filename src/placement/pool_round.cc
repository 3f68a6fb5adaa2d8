#include "placement/pool_round.h"

#include <algorithm>

namespace cairn::placement {

PoolRound::PoolRound(const Cluster& cluster, Ledger& ledger, const PlannerLimits& limits, Slot pool,
                     uint64_t now_ms)
    : cluster_(cluster), ledger_(ledger), limits_(limits), pool_(pool), now_ms_(now_ms) {
  CHECK(pool < cluster.pools().size() && now_ms > 0);
  CHECK(limits.spread_max > 0 && limits.lost_part_max >= 0);
  gather();
  count_operators();
  set_shares();
}

/// One pass to count, one to place: who holds what, without a container for each chunkserver.
void PoolRound::gather() {
  const auto chunkservers = cluster_.chunkservers();
  replicas_.assign(chunkservers.size(), 0);
  leaders_.assign(chunkservers.size(), 0);
  incoming_.assign(chunkservers.size(), 0);
  meetings_.assign(chunkservers.size(), 0);
  for (Slot slot = 0; slot < chunkservers.size(); ++slot) {
    if (!cluster_.is_in_pool(chunkservers[slot], pool())) continue;
    members_.push_back(slot);
    if (chunkservers[slot].is_usable()) usable_.push_back(slot);
  }
  const auto copysets = cluster_.copysets();
  leader_.assign(copysets.size(), kNoSlot);
  is_busy_.assign(copysets.size(), false);
  std::vector<uint32_t> counts(chunkservers.size() + 1, 0);
  for (Slot slot = 0; slot < copysets.size(); ++slot) {
    const Copyset& copyset = copysets[slot];
    if (copyset.id.is_none() || copyset.pool != pool_) continue;
    copysets_.push_back(slot);
    for (Slot holder : copyset.all()) ++counts[holder + 1];
    for (Slot holder : copyset.voters()) ++replicas_[holder];
    leader_[slot] = copyset.leader;
    if (copyset.leader != kNoSlot) ++leaders_[copyset.leader];
    is_busy_[slot] = copyset.change != ChangeKind::kNone;
  }
  for (size_t i = 1; i < counts.size(); ++i) counts[i] += counts[i - 1];
  offsets_ = counts;
  items_.resize(offsets_.back());
  for (Slot slot : copysets_) {
    for (Slot holder : copysets[slot].all()) items_[counts[holder]++] = slot;
  }
}

void PoolRound::count_operators() {
  for (const Operator* op : ledger_.list()) {
    const Slot slot = cluster_.find_copyset(op->copyset);
    if (slot == kNoSlot || copyset(slot).pool != pool_) continue;
    project(*op, slot);
  }
}

/// Counts an operator as if it were done; what of it is done already is not counted twice.
void PoolRound::project(const Operator& op, Slot slot) {
  const Copyset& known = copyset(slot);
  const Slot source = cluster_.find_chunkserver(op.source);
  const Slot target = cluster_.find_chunkserver(op.target);
  is_busy_[slot] = true;
  if (op.kind == OperatorKind::kTransferLeader) {
    if (target == kNoSlot) return;
    if (leader_[slot] != kNoSlot) --leaders_[leader_[slot]];
    leader_[slot] = target;
    ++leaders_[target];
    return;
  }
  if (source != kNoSlot && known.has_voter(source)) --replicas_[source];
  if (target != kNoSlot && !known.has_voter(target)) {
    ++replicas_[target];
    ++incoming_[target];
  }
}

void PoolRound::set_shares() {
  // One that has missed heartbeats keeps its share: it is likely to return.
  std::vector<Slot> sharing;
  std::set<ZoneId> zones;
  std::set<std::pair<ZoneId, ServerId>> servers;
  for (Slot slot : members_) {
    const Chunkserver& member = chunkserver(slot);
    if (member.service != Service::kReadWrite || member.liveness == Liveness::kOffline) continue;
    sharing.push_back(slot);
    zones.insert(member.zone);
    servers.insert({member.zone, member.server});
  }
  shares_.assign(cluster_.chunkservers().size(), 0);
  const uint32_t replicas_count = pool().replicas_count;
  const auto shares = replica_shares(cluster_, sharing, copysets_.size(), replicas_count);
  for (size_t i = 0; i < sharing.size(); ++i) shares_[sharing[i]] = shares[i];
  if (!zones.empty()) {
    crowding_min_ = {
        .zone_pairs = pairs_at_least(replicas_count, static_cast<uint32_t>(zones.size())),
        .server_pairs = pairs_at_least(replicas_count, static_cast<uint32_t>(servers.size()))};
  }
  // Not from what the disks use: much of that may be others' files, or the log.
  uint64_t data_bytes = 0;
  for (Slot slot : copysets_) data_bytes += copyset(slot).data_bytes;
  if (!copysets_.empty()) replica_bytes_ = data_bytes / copysets_.size();
}

std::span<const Slot> PoolRound::copysets_on(Slot slot) const {
  return {items_.data() + offsets_[slot], offsets_[slot + 1] - offsets_[slot]};
}

bool PoolRound::is_settled(Slot slot) const {
  const Copyset& known = copyset(slot);
  return !is_busy(slot) && known.leader != kNoSlot && known.learners_count == 0 &&
         known.voters_count == pool().replicas_count &&
         cluster_.online_voters(known) == known.voters_count;
}

bool PoolRound::is_filled(Slot slot) const {
  const Chunkserver& disk = chunkserver(slot);
  const uint64_t free_bytes = disk.capacity_bytes - std::min(disk.used_bytes, disk.capacity_bytes);
  const uint64_t coming_bytes = (incoming_[slot] + uint64_t{1}) * replica_bytes_;
  // A copy into a disk must leave it below the mark at which it takes no more.
  return coming_bytes > free_bytes ||
         is_full(disk.capacity_bytes, free_bytes - coming_bytes, limits_.fill);
}

Crowding PoolRound::crowding(Slot slot) const {
  return crowding(slot, kNoSlot, kNoSlot);
}

Crowding PoolRound::crowding(Slot slot, Slot source, Slot target) const {
  std::array<Slot, kReplicasMax + 1> after{};
  size_t count = 0;
  for (Slot voter : copyset(slot).voters()) {
    if (voter != source) after[count++] = voter;
  }
  if (target != kNoSlot) after[count++] = target;
  Crowding crowding;
  for (size_t i = 0; i < count; ++i) {
    const Chunkserver& one = chunkserver(after[i]);
    for (size_t j = 0; j < i; ++j) {
      const Chunkserver& other = chunkserver(after[j]);
      if (one.zone != other.zone) continue;
      ++crowding.zone_pairs;
      if (one.server == other.server) ++crowding.server_pairs;
    }
  }
  return crowding;
}

void PoolRound::clear_meetings() {
  for (Slot met : met_) meetings_[met] = 0;
  met_.clear();
}

void PoolRound::count_meetings(Slot slot) {
  for (Slot shared : copysets_on(slot)) {
    for (Slot other : copyset(shared).voters()) {
      if (meetings_[other]++ == 0) met_.push_back(other);
    }
  }
}

void PoolRound::gather_meetings(Slot slot) {
  clear_meetings();
  count_meetings(slot);
}

uint32_t PoolRound::meetings(Slot slot, Slot source) const {
  uint32_t count = 0;
  for (Slot voter : copyset(slot).voters()) {
    if (voter != source) count += meetings_[voter];
  }
  return count;
}

Slot PoolRound::choose_target(Slot slot, Slot source, Priority priority) {
  const Copyset& known = copyset(slot);
  const ChunkserverId sender =
      known.leader == kNoSlot ? ChunkserverId() : chunkserver(known.leader).id;
  // A leader that feeds enough others already: no target would be let in.
  if (!ledger_.admits_endpoint(sender, cluster_)) return kNoSlot;
  struct Candidate {
    double surplus;
    Slot slot;
  };
  std::vector<Candidate> candidates;
  std::optional<Crowding> best;
  double surplus_min = 0;
  for (Slot candidate : usable_) {
    if (known.has_replica(candidate) || is_filled(candidate)) continue;
    const Crowding crowded = crowding(slot, source, candidate);
    if (best && crowded > *best) continue;
    // The limits are not asked here: a good zone that is busy is waited for, not done without.
    if (!best || crowded < *best) candidates.clear();
    best = crowded;
    const double over = surplus(candidate);
    if (!candidates.empty() && over > surplus_min + 1) continue;
    if (!ledger_.admits_copy(priority, sender, chunkserver(candidate).id, cluster_)) continue;
    surplus_min = candidates.empty() ? over : std::min(surplus_min, over);
    candidates.push_back({over, candidate});
  }
  if (candidates.empty()) return kNoSlot;
  clear_meetings();
  for (Slot voter : known.voters()) {
    if (voter != source) count_meetings(voter);
  }
  // Among those within one replica of the best, the one that these members have met least keeps the
  // scatter width wide.
  Slot chosen = kNoSlot;
  std::tuple<uint32_t, double> chosen_rank;
  for (const auto& candidate : candidates) {
    if (candidate.surplus > surplus_min + 1) continue;
    const std::tuple rank(meetings_[candidate.slot], candidate.surplus);
    if (chosen != kNoSlot && rank >= chosen_rank) continue;
    chosen = candidate.slot;
    chosen_rank = rank;
  }
  return chosen;
}

Operator PoolRound::draft(Slot slot, Slot source, Slot target) const {
  const Copyset& known = copyset(slot);
  Operator op{.copyset = known.id, .epoch = known.epoch, .created_ms = now_ms_};
  if (source != kNoSlot) op.source = chunkserver(source).id;
  if (target != kNoSlot) op.target = chunkserver(target).id;
  for (Slot voter : known.voters()) op.voters.push_back(chunkserver(voter).id);
  return op;
}

bool PoolRound::add(Operator op, Slot slot, Admission admission) {
  CHECK(!is_busy(slot));
  const auto id = ledger_.add(std::move(op), cluster_, admission);
  if (!id.ok()) return false;
  project(*ledger_.find(copyset(slot).id), slot);
  planned_.push_back(*id);
  return true;
}

bool PoolRound::add_copy(Slot slot, Slot source, Slot target, Cause cause, Priority priority,
                         std::string reason) {
  CHECK(target != kNoSlot && !copyset(slot).has_replica(target));
  CHECK(source == kNoSlot || copyset(slot).has_voter(source));
  Operator op = draft(slot, source, target);
  op.kind = source == kNoSlot ? OperatorKind::kAddReplica : OperatorKind::kChangeReplica;
  op.cause = cause;
  op.priority = priority;
  if (copyset(slot).leader != kNoSlot) op.sender = chunkserver(copyset(slot).leader).id;
  op.deadline_ms = now_ms_ + limits_.timeouts.copy_ms;
  op.reason = std::move(reason);
  return add(std::move(op), slot, Admission::kLimited);
}

bool PoolRound::add_removal(Slot slot, Slot source, Cause cause, Priority priority,
                            std::string reason) {
  CHECK(source != kNoSlot && copyset(slot).has_replica(source));
  Operator op = draft(slot, source, kNoSlot);
  op.kind = OperatorKind::kRemoveReplica;
  op.cause = cause;
  op.priority = priority;
  op.deadline_ms = now_ms_ + limits_.timeouts.remove_ms;
  op.reason = std::move(reason);
  return add(std::move(op), slot, Admission::kLimited);
}

bool PoolRound::add_transfer(Slot slot, Slot target, Cause cause, Admission admission,
                             std::string reason) {
  CHECK(copyset(slot).has_voter(target) && copyset(slot).leader != target);
  Operator op = draft(slot, copyset(slot).leader, target);
  op.kind = OperatorKind::kTransferLeader;
  op.cause = cause;
  op.priority = Priority::kLow;
  op.deadline_ms = now_ms_ + limits_.timeouts.transfer_ms;
  op.reason = std::move(reason);
  return add(std::move(op), slot, admission);
}

}  // namespace cairn::placement
