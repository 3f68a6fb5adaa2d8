#include "mds/ops/ops.h"

namespace cairn::mds::ops {

namespace {

std::string_view to_string(kv::Election::Reach reach) {
  switch (reach) {
    case kv::Election::Reach::kReachable:
      return "online";
    case kv::Election::Reach::kSilent:
      return "silent";
    case kv::Election::Reach::kUnknown:
      break;
  }
  return "unknown";
}

void fill_members(const Context& mds, wire::ClusterStatusReply* reply) {
  if (!mds.election) return;
  for (const auto& member : mds.election->members()) {
    auto* info = reply->add_mds();
    info->set_name(member.name);
    info->set_address(member.address);
    info->set_is_active(member.is_active);
    info->set_state(std::string(to_string(member.reach)));
    if (member.reach != kv::Election::Reach::kSilent) continue;
    reply->add_problems("the MDS at " + member.address +
                        " is silent; start it again: with fewer than a majority nobody serves");
    if (reply->health() == "ok") reply->set_health("degraded");
  }
}

}  // namespace

Result<wire::ClusterStatusReply> cluster_status(Context& mds, const wire::ClusterStatusRequest&) {
  const Instant now = mds.env.clock.now();
  const ClusterState& state = mds.state;
  HealthReport report = assess(state, mds.started_at, now, mds.options);
  wire::ClusterStatusReply reply;
  reply.set_health(std::string(to_string(report.health)));
  reply.set_copysets_without_leader_count(report.copysets_without_leader_count);
  if (!mds.plan_problem.empty()) reply.add_problems(mds.plan_problem);
  for (auto& problem : report.problems) reply.add_problems(std::move(problem));
  reply.set_copysets_count(static_cast<uint32_t>(state.copysets.size()));
  reply.set_volumes_count(static_cast<uint32_t>(state.volumes_alive_count()));
  reply.set_pool(state.default_pool().name());
  reply.set_copysets_per_chunkserver(state.default_pool().copysets_per_chunkserver());

  fill_members(mds, &reply);
  *reply.mutable_schedule() = mds.schedule.status(state.ledger);

  std::map<ChunkserverId, uint32_t> leaders;
  for (const auto& [id, copyset] : state.copysets) {
    if (has_leader(state, id, now, mds.options)) ++leaders[state.leader_of(id)];
  }
  for (const auto& [id, chunkserver] : state.chunkservers) {
    auto* info = reply.add_chunkservers();
    info->set_id(id.value());
    info->set_address(chunkserver.record.address());
    info->set_zone(chunkserver.record.zone());
    info->set_server(chunkserver.record.server());
    info->set_state(std::string(to_string(mds.liveness_of(chunkserver))));
    info->set_capacity_bytes(chunkserver.record.capacity_bytes());
    info->set_used_bytes(chunkserver.used_bytes);
    info->set_copysets_count(static_cast<uint32_t>(chunkserver.copysets.size()));
    info->set_leaders_count(leaders[id]);
    info->set_service(std::string(to_string(chunkserver.service())));
    info->set_disk_error(chunkserver.disk_error);
    // Of one that is silent nobody knows it.
    if (now - chunkserver.heard_at.value_or(now) < 3 * mds.options.heartbeat_interval) {
      *info->mutable_traffic() = chunkserver.traffic;
    }
    info->set_silent_ms(chunkserver.heard_at ? to_ms(now - *chunkserver.heard_at) : -1);
  }
  return reply;
}

}  // namespace cairn::mds::ops
