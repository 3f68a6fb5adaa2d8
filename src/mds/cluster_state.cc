#include "mds/cluster_state.h"

#include "mds/keys.h"
#include "mds/record.h"

namespace cairn::mds {

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

void ClusterState::set_copyset(wire::CopysetRecord record) {
  const CopysetId id(record.id());
  Copyset& copyset = copysets[id];
  for (uint64_t member : copyset.record.members()) {
    const auto found = chunkservers.find(ChunkserverId(member));
    if (found != chunkservers.end()) found->second.copysets.erase(id);
  }
  copyset.record = std::move(record);
  copyset.epoch = std::max(copyset.epoch, Epoch(copyset.record.epoch()));
  for (uint64_t member : copyset.record.members()) {
    const auto found = chunkservers.find(ChunkserverId(member));
    if (found != chunkservers.end()) found->second.copysets.insert(id);
  }
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
    state.pool = std::move(record);
    return ok();
  }
};
struct TakeChunkserver {
  ClusterState& state;
  Status operator()(const std::string& key, wire::ChunkserverRecord record) const {
    const ChunkserverId id(record.id());
    if (key != keys::chunkserver(id)) return mismatch(key, "names another chunkserver");
    state.chunkservers[id].record = std::move(record);
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
    state.set_copyset(std::move(record));
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
    fresh.epoch = std::max(fresh.epoch, old->second.epoch);
    fresh.leader = old->second.leader;
    fresh.chunks_count = old->second.chunks_count;
  }
}

Liveness liveness_of(const Chunkserver& chunkserver, Instant started_at, Instant now,
                     const Options& options) {
  const Duration silence = now - chunkserver.heard_at.value_or(started_at);
  if (silence >= options.offline_after) return Liveness::kOffline;
  if (!chunkserver.heard_at || silence >= options.unstable_after) return Liveness::kUnstable;
  return Liveness::kOnline;
}

bool is_serving(const Chunkserver& chunkserver, Instant started_at, Instant now,
                const Options& options) {
  return !chunkserver.is_disk_failed &&
         liveness_of(chunkserver, started_at, now, options) == Liveness::kOnline;
}

bool is_newer(const LeaderClaim& claim, const std::optional<LeaderClaim>& known) {
  if (!known) return true;
  return std::pair(claim.term, claim.epoch) > std::pair(known->term, known->epoch) ||
         (claim.epoch == known->epoch && claim.term == known->term &&
          claim.leader == known->leader);
}

bool has_leader(const Copyset& copyset, Instant now, const Options& options) {
  return copyset.leader && now - copyset.leader->heard_at < options.leader_silent_max;
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
