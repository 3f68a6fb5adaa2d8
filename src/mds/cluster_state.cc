#include "mds/cluster_state.h"

#include "mds/keys.h"
#include "mds/record.h"

namespace cairn::mds {

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
  return found == volumes.end() || found->second.deleted() ? nullptr : &found->second;
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

namespace {
/// This version has one physical pool.
constexpr PoolId kPhysicalPool{1};
}  // namespace

void ClusterState::set_pool(wire::PoolRecord record) {
  pool = std::move(record);
  const Status put = placed.put_pool({.id = PoolId(pool.id()),
                                      .physical_pool = kPhysicalPool,
                                      .replicas_count = pool.replicas_count()});
  CHECK(put.ok());
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
  row.zone = ZoneId(number_of(record.zone()));
  placed.name_zone(row.zone, record.zone());
  row.server = ServerId(number_of(record.zone() + "/" + record.server()));
  row.physical_pool = kPhysicalPool;
  row.capacity_bytes = record.capacity_bytes();
  row.used_bytes = record.capacity_bytes() - free_bytes(chunkserver, pool);
  if (known == placement::kNoSlot) row.liveness = liveness;
  CHECK(placed.put_chunkserver(row).ok());  // limits.chunkservers_max is below the planners' limit
  placed.set_liveness(placed.find_chunkserver(row.id), liveness, planners_ms(now));
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
    CHECK(volumes.contains(id) && !volumes.at(id).deleted());
    CHECK(volumes.at(id).info().name() == name);
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
    if (state.pool.id() != 0) return mismatch(key, "is a second pool, which this version cannot");
    if (record.replicas_count() < 1 || record.replicas_count() > placement::kReplicasMax) {
      return mismatch(key, "has a number of replicas that cannot be");
    }
    state.set_pool(std::move(record));
    return ok();
  }
};
struct TakeChunkserver {
  ClusterState& state;
  Status operator()(const std::string& key, wire::ChunkserverRecord record) const {
    const ChunkserverId id(record.id());
    if (key != keys::chunkserver(id)) return mismatch(key, "names another chunkserver");
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
    if (PoolId(record.pool()) != PoolId(state.pool.id())) return mismatch(key, "has no pool");
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

}  // namespace

io::Task<Result<ClusterState>> load_state(kv::MetaStore& store) {
  ClusterState state;
  const std::string key(keys::kCluster);
  const auto cluster = CO_TRY(co_await store.get(key));
  if (!cluster) co_return state;
  state.cluster = CO_TRY(decode_record<wire::ClusterRecord>(key, *cluster));
  // In this order: a record refers to those before it.
  CO_TRY(co_await load_all<wire::PoolRecord>(store, std::string(keys::kPools), TakePool{state}));
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
    fresh.copysets_missing_count = old->second.copysets_missing_count;
  }
  for (auto& [id, fresh] : into.copysets) {
    const auto old = from.copysets.find(id);
    if (old == from.copysets.end()) continue;
    fresh.chunks_count = old->second.chunks_count;
  }
  into.placed.take_over(from.placed);
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

uint64_t free_bytes(const Chunkserver& chunkserver, const wire::PoolRecord& pool) {
  const uint64_t capacity = chunkserver.record.capacity_bytes();
  CHECK(chunkserver.used_bytes <= capacity);
  const uint64_t ready = chunkserver.pool_chunks_ready_count * pool.chunk_bytes();
  return std::min(capacity, capacity - chunkserver.used_bytes + ready);
}

std::vector<placement::ChunkserverSpec> topology_of(const ClusterState& state) {
  std::vector<placement::ChunkserverSpec> topology;
  for (const auto& [id, chunkserver] : state.chunkservers) {
    topology.push_back({.id = id,
                        .zone = chunkserver.record.zone(),
                        .server = chunkserver.record.server(),
                        .capacity_bytes = chunkserver.record.capacity_bytes()});
  }
  return topology;
}

}  // namespace cairn::mds
