#include "mds/keys.h"
#include "mds/ops/ops.h"
#include "mds/validate.h"

namespace cairn::mds::ops {

namespace {

/// Its replicas belong to pools of the physical pool that it is in.
Status check_empty(const ClusterState& state, const std::string& zone) {
  for (const auto& [id, chunkserver] : state.chunkservers) {
    if (chunkserver.record.zone() != zone || chunkserver.copysets.empty()) continue;
    return error(Errc::kPreconditionFailed,
                 "chunkserver " + to_string(id) + " of zone '" + zone + "' holds " +
                     std::to_string(chunkserver.copysets.size()) +
                     " replicas: drain the zone before it changes its physical pool; nothing was "
                     "changed");
  }
  return ok();
}

}  // namespace

io::Task<Result<wire::PutZoneReply>> put_zone(Context& mds, wire::PutZoneRequest request) {
  CO_TRY(check_label("the zone's name", request.name()));
  if (!request.physical_pool().empty()) {
    CO_TRY(check_label("the physical pool's name", request.physical_pool()));
  }
  const auto lock = CO_TRY(co_await mds.lock_for_mutation());
  const auto known = mds.state.zones.find(request.name());
  const bool is_declared = known != mds.state.zones.end();
  if (request.is_new() && is_declared) {
    co_return error(Errc::kAlreadyExists,
                    "there is a zone '" + request.name() + "' already; nothing was changed");
  }
  if (!request.is_new() && !mds.state.has_zone(request.name())) {
    co_return error(Errc::kNotFound, "there is no zone '" + request.name() +
                                         "'; `cairn zone list` shows those that are");
  }
  if (!is_declared && mds.state.zones.size() >= mds.options.limits.chunkservers_max) {
    co_return error(Errc::kNoSpace, "the cluster has as many zones as it may have chunkservers");
  }
  wire::ZoneRecord record;
  if (is_declared) record = known->second;
  record.set_name(request.name());
  if (!request.physical_pool().empty()) {
    if (request.physical_pool() != mds.state.physical_pool_of(request.name())) {
      CO_TRY(check_empty(mds.state, request.name()));
    }
    record.set_physical_pool(request.physical_pool());
  }
  const std::string key = keys::zone(request.name());
  kv::WriteBatch batch;
  if (is_declared) {
    replace_record(batch, key, known->second, record);
  } else {
    create_record(batch, key, record);
  }
  CO_TRY(co_await mds.commit(std::move(batch)));
  mds.state.zones[request.name()] = std::move(record);
  mds.place_chunkservers();
  mds.topology_changed.wake();
  co_return wire::PutZoneReply();
}

}  // namespace cairn::mds::ops
