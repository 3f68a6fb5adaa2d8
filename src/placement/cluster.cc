#include "placement/cluster.h"

#include <algorithm>

namespace cairn::placement {

std::string_view to_string(Liveness liveness) {
  switch (liveness) {
    case Liveness::kOnline:
      return "online";
    case Liveness::kUnstable:
      return "unstable";
    case Liveness::kOffline:
      return "offline";
  }
  CHECK(false, "an unknown liveness");
}

std::string_view to_string(Service service) {
  switch (service) {
    case Service::kReadWrite:
      return "read-write";
    case Service::kDraining:
      return "draining";
    case Service::kRetired:
      return "retired";
  }
  CHECK(false, "an unknown service state");
}

bool Copyset::has_voter(Slot slot) const {
  return std::ranges::find(voters(), slot) != voters().end();
}

bool Copyset::has_replica(Slot slot) const {
  return std::ranges::find(all(), slot) != all().end();
}

Liveness liveness_of(uint64_t heartbeat_ms, uint64_t now_ms, const LivenessLimits& limits) {
  CHECK(limits.unstable_after_ms <= limits.offline_after_ms);
  // A clock that was set back must not make everybody look dead.
  const uint64_t silent_ms = now_ms > heartbeat_ms ? now_ms - heartbeat_ms : 0;
  if (silent_ms >= limits.offline_after_ms) return Liveness::kOffline;
  if (silent_ms >= limits.unstable_after_ms) return Liveness::kUnstable;
  return Liveness::kOnline;
}

Status Cluster::put_chunkserver(const Chunkserver& chunkserver) {
  if (chunkserver.id.is_none()) return error(Errc::kInvalidArgument, "a chunkserver without id");
  const Slot known = find_chunkserver(chunkserver.id);
  if (known != kNoSlot) {
    const uint32_t replicas = chunkservers_[known].replicas_count;
    const uint32_t leaders = chunkservers_[known].leaders_count;
    chunkservers_[known] = chunkserver;
    chunkservers_[known].replicas_count = replicas;
    chunkservers_[known].leaders_count = leaders;
    return ok();
  }
  Slot slot = static_cast<Slot>(chunkservers_.size());
  if (chunkserver_slots_.size() < chunkservers_.size()) {  // the row of a removed one is used again
    slot = 0;
    while (!chunkservers_[slot].id.is_none()) ++slot;
  }
  if (slot == kPlanChunkserversMax) {
    return error(Errc::kNoSpace, "more than " + std::to_string(kPlanChunkserversMax) +
                                     " chunkservers; nothing was added");
  }
  if (slot == chunkservers_.size()) chunkservers_.emplace_back();
  chunkservers_[slot] = chunkserver;
  chunkservers_[slot].replicas_count = chunkservers_[slot].leaders_count = 0;
  chunkserver_slots_[chunkserver.id] = slot;
  return ok();
}

Status Cluster::remove_chunkserver(ChunkserverId id) {
  const Slot slot = find_chunkserver(id);
  if (slot == kNoSlot) return error(Errc::kNotFound, "chunkserver " + to_string(id));
  const uint32_t replicas = chunkservers_[slot].replicas_count;
  if (replicas > 0) {
    return error(Errc::kPreconditionFailed, "chunkserver " + to_string(id) + " still has " +
                                                std::to_string(replicas) +
                                                " replicas: drain it first; nothing was removed");
  }
  chunkserver_slots_.erase(id);
  chunkservers_[slot] = Chunkserver{};
  // A change under way names its target although it is no member yet; a newcomer in the row must
  // not inherit that.
  for (auto& copyset : copysets_) {
    if (copyset.change_target == slot) copyset.change_target = kNoSlot;
  }
  return ok();
}

Status Cluster::put_pool(const LogicalPool& pool) {
  if (pool.replicas_count < 1 || pool.replicas_count > kReplicasMax) {
    return error(Errc::kInvalidArgument,
                 "replicas are between 1 and " + std::to_string(kReplicasMax));
  }
  const Slot known = find_pool(pool.id);
  if (known == kNoSlot) {
    pools_.push_back(pool);
  } else {
    pools_[known] = pool;
  }
  return ok();
}

Status Cluster::add_copyset(CopysetId id, PoolId pool, Epoch epoch,
                            std::span<const ChunkserverId> voters) {
  if (find_copyset(id) != kNoSlot) return error(Errc::kAlreadyExists, "copyset " + to_string(id));
  const Slot pool_slot = find_pool(pool);
  if (pool_slot == kNoSlot) return error(Errc::kNotFound, "pool " + to_string(pool));
  if (copyset_slots_.size() >= kCopysetsMax) return error(Errc::kNoSpace, "too many copysets");
  Copyset copyset;
  switch (read_members({.copyset = id, .voters = voters}, copyset)) {
    case ReportOutcome::kUpdated:
      break;
    case ReportOutcome::kUnknownChunkserver:
      return error(Errc::kNotFound, "a member of copyset " + to_string(id));
    default:
      return error(Errc::kInvalidArgument, "the members of copyset " + to_string(id));
  }
  copyset.id = id;
  copyset.epoch = epoch;
  copyset.pool = pool_slot;
  Slot slot = static_cast<Slot>(copysets_.size());
  if (free_copysets_.empty()) {
    copysets_.push_back(copyset);
  } else {
    slot = free_copysets_.back();
    free_copysets_.pop_back();
    copysets_[slot] = copyset;
  }
  copyset_slots_[id] = slot;
  count(copyset, 1);
  return ok();
}

Status Cluster::remove_copyset(CopysetId id) {
  const Slot slot = find_copyset(id);
  if (slot == kNoSlot) return error(Errc::kNotFound, "copyset " + to_string(id));
  count(copysets_[slot], -1);
  copysets_[slot] = Copyset{};
  forget_out_of_service(slot, copysets_[slot]);
  copyset_slots_.erase(id);
  free_copysets_.push_back(slot);
  return ok();
}

/// Translates the members into slots; kUpdated if they make sense.
ReportOutcome Cluster::read_members(const CopysetReport& report, Copyset& into) const {
  if (report.voters.empty() || report.voters.size() > kReplicasMax ||
      report.learners.size() > kLearnersMax) {
    return ReportOutcome::kMalformed;
  }
  into.voters_count = into.learners_count = 0;
  for (const auto& ids : {report.voters, report.learners}) {
    for (ChunkserverId id : ids) {
      const Slot slot = find_chunkserver(id);
      if (slot == kNoSlot) return ReportOutcome::kUnknownChunkserver;
      if (into.has_replica(slot)) return ReportOutcome::kMalformed;
      into.replicas[into.all().size()] = slot;
      // Voters come first, so the learners' count grows only once all voters are in.
      if (into.voters_count < report.voters.size()) {
        ++into.voters_count;
      } else {
        ++into.learners_count;
      }
    }
  }
  into.leader = into.change_target = kNoSlot;
  if (!report.leader.is_none()) {
    into.leader = find_chunkserver(report.leader);
    if (into.leader == kNoSlot) return ReportOutcome::kUnknownChunkserver;
    // A leader may stand outside of its committed voters only while it hands over.
    if (!into.has_voter(into.leader)) return ReportOutcome::kMalformed;
  }
  into.change = report.change;
  if (!report.change_target.is_none()) into.change_target = find_chunkserver(report.change_target);
  return ReportOutcome::kUpdated;
}

ReportOutcome Cluster::apply_report(const CopysetReport& report, uint64_t now_ms) {
  const Slot slot = find_copyset(report.copyset);
  if (slot == kNoSlot) return ReportOutcome::kUnknownCopyset;
  Copyset& known = copysets_[slot];
  if (report.epoch < known.epoch) return ReportOutcome::kStale;
  const Slot leader = find_chunkserver(report.leader);
  if (leader == kNoSlot) return ReportOutcome::kUnknownChunkserver;
  const bool is_same_epoch = report.epoch == known.epoch;
  // Nearly every report says what is known.
  if (is_same_epoch && leader == known.leader && report.change == known.change &&
      (report.change == ChangeKind::kNone ||
       find_chunkserver(report.change_target) == known.change_target)) {
    known.reported_ms = now_ms;
    known.data_bytes = report.data_bytes;
    return ReportOutcome::kSame;
  }
  Copyset told = known;
  const ReportOutcome read = read_members(report, told);
  if (read != ReportOutcome::kUpdated) return read;
  if (is_same_epoch) {
    // A new leader commits a configuration of its own, so two leaders never share an epoch, and the
    // members of an epoch never change.
    if (known.leader != kNoSlot && known.leader != leader) return ReportOutcome::kConflict;
    if (!std::ranges::is_permutation(known.voters(), told.voters()) ||
        !std::ranges::is_permutation(known.learners(), told.learners())) {
      return ReportOutcome::kConflict;
    }
  }
  told.epoch = report.epoch;
  told.reported_ms = now_ms;
  told.data_bytes = report.data_bytes;
  if (known.leader != kNoSlot && known.leader != leader) told.leader_since_ms = now_ms;
  count(known, -1);
  known = told;
  count(known, 1);
  forget_out_of_service(slot, known);
  return ReportOutcome::kUpdated;
}

void Cluster::set_out_of_service(CopysetId copyset, ChunkserverId chunkserver, bool is_out) {
  const Slot slot = find_copyset(copyset), holder = find_chunkserver(chunkserver);
  if (slot == kNoSlot || holder == kNoSlot) return;
  if (is_out && copysets_[slot].has_replica(holder)) {
    out_of_service_.insert({slot, holder});
  } else if (!is_out) {
    out_of_service_.erase({slot, holder});
  }
}

/// Those that are no members of the copyset any more.
void Cluster::forget_out_of_service(Slot copyset, const Copyset& members) {
  auto at = out_of_service_.lower_bound({copyset, 0});
  while (at != out_of_service_.end() && at->first == copyset) {
    at = members.has_replica(at->second) ? std::next(at) : out_of_service_.erase(at);
  }
}

void Cluster::step_down(CopysetId id, ChunkserverId leader, Epoch epoch, uint64_t now_ms) {
  const Slot slot = find_copyset(id);
  if (slot == kNoSlot) return;
  Copyset& known = copysets_[slot];
  if (known.leader == kNoSlot || epoch < known.epoch) return;
  if (chunkservers_[known.leader].id != leader) return;
  count(known, -1);
  known.leader = kNoSlot;
  known.leader_since_ms = now_ms;
  known.change = ChangeKind::kNone;
  known.change_target = kNoSlot;
  count(known, 1);
}

void Cluster::take_over(const Cluster& other) {
  for (const auto& from : other.chunkservers_) {
    const Slot slot = find_chunkserver(from.id);
    if (from.id.is_none() || slot == kNoSlot) continue;
    Chunkserver& into = chunkservers_[slot];
    into.heartbeat_ms = from.heartbeat_ms;
    into.online_since_ms = from.online_since_ms;
    into.liveness = from.liveness;
  }
  const auto ids = [&](std::span<const Slot> slots) {
    std::vector<ChunkserverId> list;
    for (Slot slot : slots) list.push_back(other.chunkserver(slot).id);
    return list;
  };
  const auto id = [&](Slot slot) {
    return slot == kNoSlot ? ChunkserverId() : other.chunkserver(slot).id;
  };
  for (const auto& from : other.copysets_) {
    const Slot slot = find_copyset(from.id);
    if (from.id.is_none() || from.reported_ms == 0 || slot == kNoSlot) continue;
    const auto voters = ids(from.voters()), learners = ids(from.learners());
    const CopysetReport report{.copyset = from.id,
                               .epoch = from.epoch,
                               .leader = id(from.leader),
                               .voters = voters,
                               .learners = learners,
                               .change = from.change,
                               .change_target = id(from.change_target),
                               .data_bytes = from.data_bytes};
    if (from.leader == kNoSlot) continue;  // the next leader says the rest
    if (apply_report(report, from.reported_ms) == ReportOutcome::kUpdated) {
      copysets_[slot].leader_since_ms = from.leader_since_ms;
    }
  }
  for (const auto& [copyset, chunkserver] : other.out_of_service_) {
    set_out_of_service(other.copyset(copyset).id, id(chunkserver), true);
  }
}

void Cluster::count(const Copyset& copyset, int32_t by) {
  for (Slot slot : copyset.all()) {
    CHECK(by > 0 || chunkservers_[slot].replicas_count > 0);
    chunkservers_[slot].replicas_count += static_cast<uint32_t>(by);
  }
  if (copyset.leader == kNoSlot) return;
  CHECK(by > 0 || chunkservers_[copyset.leader].leaders_count > 0);
  chunkservers_[copyset.leader].leaders_count += static_cast<uint32_t>(by);
}

bool Cluster::apply_heartbeat(ChunkserverId id, uint64_t capacity_bytes, uint64_t used_bytes,
                              uint64_t now_ms) {
  const Slot slot = find_chunkserver(id);
  if (slot == kNoSlot) return false;
  Chunkserver& known = chunkservers_[slot];
  known.capacity_bytes = capacity_bytes;
  known.used_bytes = std::min(used_bytes, capacity_bytes);
  known.heartbeat_ms = std::max(known.heartbeat_ms, now_ms);  // a late one does not turn time back
  set_liveness(slot, Liveness::kOnline, now_ms);
  return true;
}

uint32_t Cluster::sweep_liveness(uint64_t now_ms, const LivenessLimits& limits) {
  uint32_t changed = 0;
  for (Slot slot = 0; slot < chunkservers_.size(); ++slot) {
    const Chunkserver& known = chunkservers_[slot];
    if (known.id.is_none()) continue;
    const Liveness liveness = liveness_of(known.heartbeat_ms, now_ms, limits);
    // Only a heartbeat brings one back.
    if (liveness <= known.liveness) continue;
    set_liveness(slot, liveness, now_ms);
    ++changed;
  }
  return changed;
}

void Cluster::set_liveness(Slot slot, Liveness liveness, uint64_t now_ms) {
  Chunkserver& known = chunkservers_[slot];
  CHECK(!known.id.is_none());
  if (liveness == Liveness::kOnline && !known.is_online()) known.online_since_ms = now_ms;
  known.liveness = liveness;
}

void Cluster::set_service(Slot slot, Service service) {
  CHECK(!chunkservers_[slot].id.is_none());
  chunkservers_[slot].service = service;
}

std::string Cluster::zone_name(ZoneId zone) const {
  const auto found = zone_names_.find(zone);
  return found == zone_names_.end() ? to_string(zone) : found->second;
}

Slot Cluster::find_chunkserver(ChunkserverId id) const {
  const auto found = chunkserver_slots_.find(id);
  return found == chunkserver_slots_.end() ? kNoSlot : found->second;
}

Slot Cluster::find_pool(PoolId id) const {
  const auto found = std::ranges::find(pools_, id, &LogicalPool::id);
  return found == pools_.end() ? kNoSlot : static_cast<Slot>(found - pools_.begin());
}

Slot Cluster::find_copyset(CopysetId id) const {
  const auto found = copyset_slots_.find(id);
  return found == copyset_slots_.end() ? kNoSlot : found->second;
}

bool Cluster::is_in_pool(const Chunkserver& chunkserver, const LogicalPool& pool) const {
  return !chunkserver.id.is_none() && chunkserver.physical_pool == pool.physical_pool &&
         (chunkserver.tags & pool.tags_required) == pool.tags_required;
}

uint32_t Cluster::online_voters(const Copyset& copyset) const {
  uint32_t online = 0;
  for (Slot slot : copyset.voters()) online += chunkservers_[slot].is_online() ? 1 : 0;
  if (out_of_service_.empty()) return online;
  const Slot own = find_copyset(copyset.id);
  for (Slot slot : copyset.voters()) {
    if (chunkservers_[slot].is_online() && is_out_of_service(own, slot)) --online;
  }
  return online;
}

void Cluster::check_invariants() const {
  for (const auto& [copyset, chunkserver] : out_of_service_) {
    CHECK(copysets_[copyset].has_replica(chunkserver));
  }
  std::vector<uint32_t> replicas(chunkservers_.size(), 0), leaders(chunkservers_.size(), 0);
  for (const auto& copyset : copysets_) {
    if (copyset.id.is_none()) continue;
    CHECK(copyset.voters_count > 0 && copyset.pool < pools_.size());
    CHECK(copyset.leader == kNoSlot || copyset.has_voter(copyset.leader));
    for (Slot slot : copyset.all()) {
      CHECK(!chunkservers_[slot].id.is_none());
      ++replicas[slot];
    }
    if (copyset.leader != kNoSlot) ++leaders[copyset.leader];
  }
  for (Slot slot = 0; slot < chunkservers_.size(); ++slot) {
    CHECK(replicas[slot] == chunkservers_[slot].replicas_count);
    CHECK(leaders[slot] == chunkservers_[slot].leaders_count);
  }
}

std::vector<CopysetSpace> segment_candidates(const Cluster& cluster, PoolId pool) {
  std::vector<CopysetSpace> candidates;
  const Slot pool_slot = cluster.find_pool(pool);
  for (const auto& copyset : cluster.copysets()) {
    if (copyset.id.is_none() || copyset.pool != pool_slot) continue;
    CopysetSpace space{.id = copyset.id, .free_bytes = UINT64_MAX};
    bool is_usable = true;
    for (Slot slot : copyset.voters()) {
      const Chunkserver& member = cluster.chunkserver(slot);
      is_usable = is_usable && member.is_usable();
      const uint64_t free_bytes =
          member.capacity_bytes - std::min(member.used_bytes, member.capacity_bytes);
      if (free_bytes >= space.free_bytes) continue;
      space.free_bytes = free_bytes;
      space.capacity_bytes = member.capacity_bytes;
    }
    if (is_usable) candidates.push_back(space);
  }
  return candidates;
}

}  // namespace cairn::placement
