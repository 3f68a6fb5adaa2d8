#include "mds/ops/ops.h"

namespace cairn::mds::ops {

namespace {

/// Zones and servers as the chunkservers name them, and those that were declared.
class Gathering {
 public:
  explicit Gathering(Context& mds) : mds_(mds) {
    for (const auto& [name, record] : mds.state.zones) zone(name);
    for (const auto& [key, record] : mds.state.servers) server(key.first, key.second);
    const Instant now = mds.env.clock.now();
    for (const auto& [id, copyset] : mds.state.copysets) {
      if (has_leader(mds.state, id, now, mds.options)) ++leaders_[mds.state.leader_of(id)];
    }
  }

  wire::ShowTopologyReply run() {
    for (const auto& [id, chunkserver] : mds_.state.chunkservers) add(chunkserver);
    for (const auto& [id, pool] : mds_.state.pools) add(pool);
    for (auto& [name, info] : zones_) *reply_.add_zones() = std::move(info);
    for (auto& [key, info] : servers_) *reply_.add_servers() = std::move(info);
    return std::move(reply_);
  }

 private:
  wire::ZoneInfo& zone(const std::string& name) {
    wire::ZoneInfo& info = zones_[name];
    info.set_name(name);
    info.set_physical_pool(mds_.state.physical_pool_of(name));
    return info;
  }
  wire::ServerInfo& server(const std::string& of_zone, const std::string& name) {
    const auto [at, is_new] = servers_.try_emplace({of_zone, name});
    at->second.set_name(name);
    at->second.set_zone(of_zone);
    wire::ZoneInfo& holder = zone(of_zone);
    if (is_new) holder.set_servers_count(holder.servers_count() + 1);
    return at->second;
  }
  template <class Info>
  static void count(Info& info, const Chunkserver& chunkserver) {
    info.set_chunkservers_count(info.chunkservers_count() + 1);
    info.set_capacity_bytes(info.capacity_bytes() + chunkserver.record.capacity_bytes());
    info.set_used_bytes(info.used_bytes() + chunkserver.used_bytes);
  }
  void add(const Chunkserver& chunkserver) {
    const wire::ChunkserverRecord& record = chunkserver.record;
    wire::ServerInfo& holder = server(record.zone(), record.server());
    count(holder, chunkserver);
    if (mds_.is_serving(chunkserver)) {
      holder.set_chunkservers_online_count(holder.chunkservers_online_count() + 1);
    }
    count(zone(record.zone()), chunkserver);
    auto* info = reply_.add_chunkservers();
    info->set_id(record.id());
    info->set_address(record.address());
    info->set_zone(record.zone());
    info->set_server(record.server());
    info->set_physical_pool(mds_.state.physical_pool_of(record.zone()));
    info->set_state(std::string(to_string(mds_.liveness_of(chunkserver))));
    info->set_service(std::string(to_string(chunkserver.service())));
    *info->mutable_tags() = record.tags();
    info->set_capacity_bytes(record.capacity_bytes());
    info->set_used_bytes(chunkserver.used_bytes);
    info->set_copysets_count(static_cast<uint32_t>(chunkserver.copysets.size()));
    info->set_leaders_count(leaders_[chunkserver.id()]);
  }
  void add(const wire::PoolRecord& pool) {
    auto* info = reply_.add_pools();
    info->set_id(pool.id());
    info->set_name(pool.name());
    info->set_physical_pool(pool.physical_pool().empty() ? std::string(kDefaultPhysicalPool)
                                                         : pool.physical_pool());
    *info->mutable_tags() = pool.tags();
    info->set_replicas_count(pool.replicas_count());
    info->set_copysets_per_chunkserver(pool.copysets_per_chunkserver());
    info->set_chunkservers_min(pool.chunkservers_min());
    info->set_scatter_width_min(pool.scatter_width_min() > 0 ? pool.scatter_width_min()
                                                             : mds_.options.pool.scatter_width_min);
    info->set_chunk_bytes(pool.chunk_bytes());
    info->set_segment_bytes(pool.segment_bytes());
    info->set_copysets_count(static_cast<uint32_t>(mds_.state.copysets_count(PoolId(pool.id()))));
    info->set_copysets_planned(pool.copysets_planned());
    for (const Chunkserver* member : mds_.state.members_of(pool)) count(*info, *member);
  }

  Context& mds_;
  wire::ShowTopologyReply reply_;
  std::map<std::string, wire::ZoneInfo> zones_;
  std::map<std::pair<std::string, std::string>, wire::ServerInfo> servers_;
  std::map<ChunkserverId, uint32_t> leaders_;
};

}  // namespace

Result<wire::ShowTopologyReply> show_topology(Context& mds, const wire::ShowTopologyRequest&) {
  return Gathering(mds).run();
}

}  // namespace cairn::mds::ops
