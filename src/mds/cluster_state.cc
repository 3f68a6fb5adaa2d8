#include "mds/cluster_state.h"

#include <algorithm>

#include "mds/keys.h"
#include "mds/record.h"

namespace cairn::mds {

placement::Service Chunkserver::service() const {
  switch (record.service()) {
    case wire::SERVICE_DRAINING:
      return placement::Service::kDraining;
    case wire::SERVICE_RETIRED:
      return placement::Service::kRetired;
    default:
      return placement::Service::kReadWrite;
  }
}

bool Copyset::has_member(ChunkserverId chunkserver) const {
  const auto& members = record.members();
  return std::find(members.begin(), members.end(), chunkserver.value()) != members.end();
}

bool Copyset::is_created_by(ChunkserverId chunkserver) const {
  const auto& created = record.created_by();
  return std::find(created.begin(), created.end(), chunkserver.value()) != created.end();
}

const Chunkserver* ClusterState::find_address(std::string_view address) const {
  for (const auto& [id, chunkserver] : chunkservers) {
    if (chunkserver.record.address() == address) return &chunkserver;
  }
  return nullptr;
}

const Chunkserver* ClusterState::find_token(std::string_view token) const {
  for (const auto& [id, chunkserver] : chunkservers) {
    if (chunkserver.record.token() == token) return &chunkserver;
  }
  return nullptr;
}

const wire::VolumeRecord* ClusterState::find_volume(std::string_view name) const {
  const auto found = volume_names.find(name);
  return found == volume_names.end() ? nullptr : find_volume(found->second);
}

const wire::VolumeRecord* ClusterState::find_volume(VolumeId id) const {
  const auto found = volumes.find(id);
  return found == volumes.end() || !is_in_use(found->second) ? nullptr : &found->second;
}

const placement::Copyset& ClusterState::told(CopysetId id) const {
  const placement::Slot slot = placed.find_copyset(id);
  CHECK(slot != placement::kNoSlot);
  return placed.copyset(slot);
}

ChunkserverId ClusterState::leader_of(CopysetId id) const {
  const placement::Slot leader = told(id).leader;
  return leader == placement::kNoSlot ? ChunkserverId() : placed.chunkserver(leader).id;
}

const wire::PoolRecord& ClusterState::default_pool() const {
  CHECK(!pools.empty());
  return pools.begin()->second;
}

const wire::PoolRecord* ClusterState::find_pool(std::string_view name) const {
  if (name.empty()) return &default_pool();
  for (const auto& [id, pool] : pools) {
    if (pool.name() == name) return &pool;
  }
  return nullptr;
}

bool ClusterState::has_zone(const std::string& name) const {
  return zones.contains(name) || std::ranges::any_of(chunkservers, [&](const auto& entry) {
           return entry.second.record.zone() == name;
         });
}

void ClusterState::forget_chunkserver(ChunkserverId id) {
  CHECK(chunkservers.at(id).copysets.empty());
  CHECK(placed.remove_chunkserver(id).ok());
  chunkservers.erase(id);
}

namespace {

std::string physical_pool_or_default(const std::string& name) {
  return name.empty() ? std::string(kDefaultPhysicalPool) : name;
}

}  // namespace

std::string ClusterState::physical_pool_of(const std::string& zone) const {
  const auto found = zones.find(zone);
  return physical_pool_or_default(found == zones.end() ? "" : found->second.physical_pool());
}

std::vector<const Chunkserver*> ClusterState::members_of(const wire::PoolRecord& pool) const {
  const placement::LogicalPool& row = placed.pools()[placed.find_pool(PoolId(pool.id()))];
  std::vector<const Chunkserver*> members;
  for (const auto& [id, chunkserver] : chunkservers) {
    if (placed.is_in_pool(placed.chunkserver(placed.find_chunkserver(id)), row)) {
      members.push_back(&chunkserver);
    }
  }
  return members;
}

size_t ClusterState::copysets_count(PoolId pool) const {
  return static_cast<size_t>(std::ranges::count_if(
      copysets, [&](const auto& entry) { return PoolId(entry.second.record.pool()) == pool; }));
}

bool ClusterState::has_room_for(const Tags& tags) const {
  std::set<std::string> unknown;
  for (const auto& tag : tags) {
    if (!tag_bits_.contains(tag)) unknown.insert(tag);
  }
  return tag_bits_.size() + unknown.size() <= kTagsMax;
}

placement::TagBits ClusterState::bits_of(const Tags& tags) {
  placement::TagBits bits = 0;
  for (const auto& tag : tags) {
    const auto [at, is_new] = tag_bits_.emplace(tag, static_cast<uint32_t>(tag_bits_.size()));
    CHECK(at->second < kTagsMax);
    bits |= placement::TagBits{1} << at->second;
  }
  return bits;
}

void ClusterState::set_pool(wire::PoolRecord record) {
  const PoolId id(record.id());
  const std::string physical = physical_pool_or_default(record.physical_pool());
  const Status put = placed.put_pool({.id = id,
                                      .physical_pool = PoolId(number_of("physical/" + physical)),
                                      .tags_required = bits_of(record.tags()),
                                      .replicas_count = record.replicas_count()});
  CHECK(put.ok());
  pools[id] = std::move(record);
}

void ClusterState::forget_pool(PoolId id) {
  CHECK(copysets_count(id) == 0);
  pools.erase(id);
  // The planners' row stays, in no physical pool: so nothing is ever planned for it.
  CHECK(placed.put_pool({.id = id}).ok());
}

uint64_t ClusterState::number_of(std::string name) {
  return numbers_.emplace(std::move(name), numbers_.size() + 1).first->second;
}

void ClusterState::place(const Chunkserver& chunkserver, Liveness liveness, Instant now) {
  const wire::ChunkserverRecord& record = chunkserver.record;
  placement::Chunkserver row;
  const placement::Slot known = placed.find_chunkserver(chunkserver.id());
  if (known != placement::kNoSlot) row = placed.chunkserver(known);
  row.id = chunkserver.id();
  row.zone = ZoneId(number_of("zone/" + record.zone()));
  placed.name_zone(row.zone, record.zone());
  row.server = ServerId(number_of("server/" + record.zone() + "/" + record.server()));
  row.physical_pool = PoolId(number_of("physical/" + physical_pool_of(record.zone())));
  row.tags = bits_of(record.tags());
  row.service = chunkserver.service();
  row.capacity_bytes = record.capacity_bytes();
  row.used_bytes = record.capacity_bytes() - free_bytes(chunkserver, default_pool().chunk_bytes());
  row.write_us = chunkserver.disk_write_us;
  if (known == placement::kNoSlot) row.liveness = liveness;
  CHECK(placed.put_chunkserver(row).ok());  // limits.chunkservers_max is below the planners' limit
  placed.set_liveness(placed.find_chunkserver(row.id), liveness, planners_ms(now));
}

const Sessions& ClusterState::sessions_of(VolumeId id) const {
  static const Sessions kNone;
  const auto found = sessions.find(id);
  return found == sessions.end() ? kNone : found->second;
}

const Session* ClusterState::find_session(VolumeId volume, SessionId id) const {
  const Sessions& all = sessions_of(volume);
  const auto found = all.find(id);
  return found == all.end() ? nullptr : &found->second;
}

void ClusterState::set_session(Session session) {
  const VolumeId volume(session.record.volume());
  const SessionId id = session.id();
  sessions[volume].insert_or_assign(id, std::move(session));
}

void ClusterState::erase_session(VolumeId volume, SessionId id) {
  const auto found = sessions.find(volume);
  if (found == sessions.end()) return;
  found->second.erase(id);
  if (found->second.empty()) sessions.erase(found);
}

void ClusterState::set_copyset(wire::CopysetRecord record) {
  const CopysetId id(record.id());
  Copyset& copyset = copysets[id];
  for (uint64_t member : copyset.record.members()) {
    const auto found = chunkservers.find(ChunkserverId(member));
    if (found != chunkservers.end()) found->second.copysets.erase(id);
  }
  copyset.record = std::move(record);
  std::vector<ChunkserverId> members;
  for (uint64_t member : copyset.record.members()) {
    members.emplace_back(member);
    const auto found = chunkservers.find(ChunkserverId(member));
    if (found != chunkservers.end()) found->second.copysets.insert(id);
  }
  // A record that changes follows what the leader told, which is in `placed` already.
  if (placed.find_copyset(id) != placement::kNoSlot) return;
  const Status added =
      placed.add_copyset(id, PoolId(copyset.record.pool()), Epoch(copyset.record.epoch()), members);
  CHECK(added.ok(), "a copyset's record contradicts the topology");
}

void ClusterState::check_invariants() const {
  for (const auto& [id, chunkserver] : chunkservers) {
    CHECK(chunkserver.id() == id);
    for (CopysetId copyset : chunkserver.copysets) CHECK(copysets.at(copyset).has_member(id));
  }
  for (const auto& [id, copyset] : copysets) {
    CHECK(copyset.id() == id && copyset.record.members_size() > 0);
    for (uint64_t member : copyset.record.members()) {
      CHECK(chunkservers.at(ChunkserverId(member)).copysets.contains(id));
    }
  }
  for (const auto& [name, id] : volume_names) {
    CHECK(find_volume(id) != nullptr);
    CHECK(volumes.at(id).info().name() == name);
  }
  for (const auto& [volume, all] : sessions) {
    CHECK(!all.empty() && find_volume(volume) != nullptr);
    for (const auto& [id, session] : all) {
      CHECK(session.id() == id && session.record.volume() == volume.value());
      CHECK(session.record.fence() <= volumes.at(volume).info().fence());
    }
  }
}

namespace {

/// Calls `take(key, record)` for every record below a prefix.
template <class Record, class Take>
io::Task<Status> load_all(kv::MetaStore& store, std::string prefix, Take take) {
  std::string after;
  while (true) {
    const auto page = CO_TRY(co_await store.scan(prefix, kv::kScanLimitMax, after));
    for (const auto& pair : page) {
      auto record = CO_TRY(decode_record<Record>(pair.key, pair.value));
      CO_TRY(take(pair.key, std::move(record)));
    }
    if (page.size() < kv::kScanLimitMax) co_return ok();
    after = page.back().key;
  }
}

Status mismatch(std::string_view key, std::string_view why) {
  return error(Errc::kCorrupt, "the record of key '" + std::string(key) + "' " + std::string(why));
}

struct TakePool {
  ClusterState& state;
  Status operator()(const std::string& key, wire::PoolRecord record) const {
    if (key != keys::pool(PoolId(record.id()))) return mismatch(key, "names another pool");
    if (record.replicas_count() < 1 || record.replicas_count() > placement::kReplicasMax) {
      return mismatch(key, "has a number of replicas that cannot be");
    }
    if (!state.has_room_for(record.tags())) return mismatch(key, "has too many tags");
    state.set_pool(std::move(record));
    return ok();
  }
};
struct TakeZone {
  ClusterState& state;
  Status operator()(const std::string& key, wire::ZoneRecord record) const {
    if (key != keys::zone(record.name())) return mismatch(key, "names another zone");
    state.zones[record.name()] = std::move(record);
    return ok();
  }
};
struct TakeServer {
  ClusterState& state;
  Status operator()(const std::string& key, wire::ServerRecord record) const {
    if (key != keys::server(record.zone(), record.name())) {
      return mismatch(key, "names another server");
    }
    state.servers[{record.zone(), record.name()}] = std::move(record);
    return ok();
  }
};
struct TakeChunkserver {
  ClusterState& state;
  Status operator()(const std::string& key, wire::ChunkserverRecord record) const {
    const ChunkserverId id(record.id());
    if (key != keys::chunkserver(id)) return mismatch(key, "names another chunkserver");
    if (!state.has_room_for(record.tags())) return mismatch(key, "has too many tags");
    if (state.pools.empty()) return mismatch(key, "is there without a pool");
    Chunkserver& chunkserver = state.chunkservers[id];
    chunkserver.record = std::move(record);
    state.place(chunkserver, Liveness::kUnstable, Instant());
    return ok();
  }
};
struct TakeCopyset {
  ClusterState& state;
  Status operator()(const std::string& key, wire::CopysetRecord record) const {
    if (key != keys::copyset(CopysetId(record.id()))) return mismatch(key, "names another copyset");
    if (record.members().empty()) return mismatch(key, "has no members");
    for (uint64_t member : record.members()) {
      if (!state.chunkservers.contains(ChunkserverId(member))) {
        return mismatch(key, "has a member that is no chunkserver");
      }
    }
    if (!state.pools.contains(PoolId(record.pool()))) return mismatch(key, "has no pool");
    const std::set<uint64_t> unique(record.members().begin(), record.members().end());
    if (unique.size() != static_cast<size_t>(record.members_size()) ||
        unique.size() > placement::kReplicasMax) {
      return mismatch(key, "has too many members, or one twice");
    }
    state.set_copyset(std::move(record));
    return ok();
  }
};
struct TakeOperator {
  ClusterState& state;
  Status operator()(const std::string& key, wire::OperatorRecord record) const {
    const OperatorId id(record.id());
    if (key != keys::operator_key(id.value())) return mismatch(key, "names another operator");
    state.operators[id] = std::move(record);
    return ok();
  }
};
struct TakeVolume {
  ClusterState& state;
  Status operator()(const std::string& key, wire::VolumeRecord record) const {
    const VolumeId id(record.info().id());
    if (key != keys::volume(id)) return mismatch(key, "names another volume");
    state.volumes[id] = std::move(record);
    return ok();
  }
};
struct TakeVolumeName {
  ClusterState& state;
  Status operator()(const std::string& key, const wire::VolumeNameRecord& record) const {
    const std::string name = key.substr(keys::kVolumeNames.size());
    const auto* volume = state.find_volume(VolumeId(record.volume()));
    if (!volume || volume->info().name() != name) return mismatch(key, "names no such volume");
    state.volume_names[name] = VolumeId(record.volume());
    return ok();
  }
};

struct TakeSession {
  ClusterState& state;
  Status operator()(const std::string& key, wire::SessionRecord record) const {
    const VolumeId volume(record.volume());
    if (key != keys::session(volume, SessionId(record.id()))) {
      return mismatch(key, "names another session");
    }
    const auto* owner = state.find_volume(volume);
    if (!owner) return mismatch(key, "is of no volume");
    if (record.fence() > owner->info().fence()) return mismatch(key, "is ahead of its volume");
    state.set_session({.record = std::move(record), .renewed_at = {}});
    return ok();
  }
};

}  // namespace

io::Task<Result<ClusterState>> load_state(kv::MetaStore& store) {
  ClusterState state;
  const std::string key(keys::kCluster);
  const auto cluster = CO_TRY(co_await store.get(key));
  if (!cluster) co_return state;
  state.cluster = CO_TRY(decode_record<wire::ClusterRecord>(key, *cluster));
  // In this order: a record refers to those before it.
  CO_TRY(co_await load_all<wire::PoolRecord>(store, std::string(keys::kPools), TakePool{state}));
  CO_TRY(co_await load_all<wire::ZoneRecord>(store, std::string(keys::kZones), TakeZone{state}));
  CO_TRY(
      co_await load_all<wire::ServerRecord>(store, std::string(keys::kServers), TakeServer{state}));
  CO_TRY(co_await load_all<wire::ChunkserverRecord>(store, std::string(keys::kChunkservers),
                                                    TakeChunkserver{state}));
  CO_TRY(co_await load_all<wire::CopysetRecord>(store, std::string(keys::kCopysets),
                                                TakeCopyset{state}));
  CO_TRY(co_await load_all<wire::OperatorRecord>(store, std::string(keys::kOperators),
                                                 TakeOperator{state}));
  CO_TRY(
      co_await load_all<wire::VolumeRecord>(store, std::string(keys::kVolumes), TakeVolume{state}));
  CO_TRY(co_await load_all<wire::VolumeNameRecord>(store, std::string(keys::kVolumeNames),
                                                   TakeVolumeName{state}));
  CO_TRY(co_await load_all<wire::SessionRecord>(store, std::string(keys::kSessions),
                                                TakeSession{state}));
  state.check_invariants();
  co_return state;
}

void carry_over(ClusterState& from, ClusterState& into) {
  for (auto& [id, fresh] : into.chunkservers) {
    const auto old = from.chunkservers.find(id);
    if (old == from.chunkservers.end()) continue;
    fresh.heard_at = old->second.heard_at;
    fresh.used_bytes = std::min(old->second.used_bytes, fresh.record.capacity_bytes());
    fresh.pool_chunks_ready_count = old->second.pool_chunks_ready_count;
    fresh.is_disk_failed = old->second.is_disk_failed;
    fresh.disk_error = old->second.disk_error;
    fresh.disk_write_us = old->second.disk_write_us;
    fresh.copysets_missing = old->second.copysets_missing;
    fresh.traffic = old->second.traffic;
  }
  for (auto& [id, fresh] : into.copysets) {
    const auto old = from.copysets.find(id);
    if (old == from.copysets.end()) continue;
    fresh.chunks_count = old->second.chunks_count;
  }
  into.placed.take_over(from.placed);
  for (auto& [volume, all] : into.sessions) {
    for (auto& [id, fresh] : all) {
      if (const Session* old = from.find_session(volume, id)) fresh.renewed_at = old->renewed_at;
    }
  }
}

Liveness liveness_of(const Chunkserver& chunkserver, Instant started_at, Instant now,
                     const Options& options) {
  const placement::LivenessLimits limits{
      .unstable_after_ms = static_cast<uint64_t>(to_ms(options.unstable_after)),
      .offline_after_ms = static_cast<uint64_t>(to_ms(options.offline_after))};
  const Liveness liveness = placement::liveness_of(
      planners_ms(chunkserver.heard_at.value_or(started_at)), planners_ms(now), limits);
  const bool is_heard = chunkserver.heard_at.has_value();
  return is_heard ? liveness : std::max(liveness, Liveness::kUnstable);
}

Liveness planners_liveness(const Chunkserver& chunkserver, Instant started_at, Instant now,
                           const Options& options) {
  if (chunkserver.is_disk_failed) return Liveness::kOffline;
  return liveness_of(chunkserver, started_at, now, options);
}

bool is_serving(const Chunkserver& chunkserver, Instant started_at, Instant now,
                const Options& options) {
  return !chunkserver.is_disk_failed &&
         liveness_of(chunkserver, started_at, now, options) == Liveness::kOnline;
}

bool has_leader(const ClusterState& state, CopysetId copyset, Instant now, const Options& options) {
  const placement::Copyset& told = state.told(copyset);
  return told.leader != placement::kNoSlot &&
         planners_ms(now) - told.reported_ms <
             static_cast<uint64_t>(to_ms(options.leader_silent_max));
}

uint64_t free_bytes(const Chunkserver& chunkserver, uint64_t chunk_bytes) {
  const uint64_t capacity = chunkserver.record.capacity_bytes();
  CHECK(chunkserver.used_bytes <= capacity);
  const uint64_t ready = chunkserver.pool_chunks_ready_count * chunk_bytes;
  return std::min(capacity, capacity - chunkserver.used_bytes + ready);
}

std::vector<placement::ChunkserverSpec> topology_of(const ClusterState& state,
                                                    const wire::PoolRecord& pool) {
  std::vector<placement::ChunkserverSpec> topology;
  for (const Chunkserver* chunkserver : state.members_of(pool)) {
    if (chunkserver->service() != placement::Service::kReadWrite) continue;
    topology.push_back({.id = chunkserver->id(),
                        .zone = chunkserver->record.zone(),
                        .server = chunkserver->record.server(),
                        .capacity_bytes = chunkserver->record.capacity_bytes()});
  }
  return topology;
}

}  // namespace cairn::mds
