#include "mds/keys.h"
#include "mds/ops/ops.h"
#include "mds/validate.h"

namespace cairn::mds::ops {

namespace {

Status check_values(const ClusterState& state, const wire::PoolRecord& pool) {
  const auto refuse = [](std::string text) { return error(Errc::kInvalidArgument, text); };
  if (pool.replicas_count() < 1 || pool.replicas_count() > placement::kReplicasMax) {
    return refuse("a pool has 1 to " + std::to_string(placement::kReplicasMax) + " replicas, not " +
                  std::to_string(pool.replicas_count()));
  }
  if (pool.copysets_per_chunkserver() < 1 || pool.copysets_per_chunkserver() > 10'000) {
    return refuse("copysets_per_chunkserver is between 1 and 10000, not " +
                  std::to_string(pool.copysets_per_chunkserver()));
  }
  if (pool.chunkservers_min() < pool.replicas_count()) {
    return refuse("chunkservers_min (" + std::to_string(pool.chunkservers_min()) +
                  ") is at least the number of replicas (" + std::to_string(pool.replicas_count()) +
                  ")");
  }
  if (!pool.physical_pool().empty()) {
    TRY(check_label("the physical pool's name", pool.physical_pool()));
  }
  return check_tags(state, pool.tags());
}

void change(const wire::PutPoolRequest& request, wire::PoolRecord& pool) {
  if (!request.physical_pool().empty()) pool.set_physical_pool(request.physical_pool());
  if (request.sets_tags()) *pool.mutable_tags() = request.tags();
  if (request.replicas_count() > 0) pool.set_replicas_count(request.replicas_count());
  if (request.copysets_per_chunkserver() > 0) {
    pool.set_copysets_per_chunkserver(request.copysets_per_chunkserver());
  }
  if (request.chunkservers_min() > 0) pool.set_chunkservers_min(request.chunkservers_min());
  if (request.scatter_width_min() > 0) pool.set_scatter_width_min(request.scatter_width_min());
}

/// What copysets were planned by does not change under them.
Status check_change(const wire::PoolRecord& from, const wire::PoolRecord& to) {
  const auto tags = [](const wire::PoolRecord& pool) {
    return std::set<std::string>(pool.tags().begin(), pool.tags().end());
  };
  const auto physical = [](const wire::PoolRecord& pool) {
    return pool.physical_pool().empty() ? std::string(kDefaultPhysicalPool) : pool.physical_pool();
  };
  if (!from.copysets_planned()) return ok();
  if (physical(from) == physical(to) && tags(from) == tags(to) &&
      from.copysets_per_chunkserver() == to.copysets_per_chunkserver()) {
    return ok();
  }
  return error(Errc::kPreconditionFailed,
               "the copysets of pool '" + from.name() +
                   "' are placed: its physical pool, tags and copysets per chunkserver stay; add "
                   "another pool; nothing was changed");
}

/// A new pool is like the default one but for what the request says.
wire::PoolRecord new_pool(const ClusterState& state, const wire::PutPoolRequest& request) {
  wire::PoolRecord pool = state.default_pool();
  pool.clear_id();
  pool.set_name(request.name());
  pool.set_copysets_planned(false);
  pool.clear_physical_pool();
  pool.clear_tags();
  pool.set_chunkservers_min(std::max(pool.replicas_count(), request.replicas_count()));
  return pool;
}

}  // namespace

io::Task<Result<wire::PutPoolReply>> put_pool(Context& mds, wire::PutPoolRequest request) {
  CO_TRY(check_label("the pool's name", request.name()));
  const auto lock = CO_TRY(co_await mds.lock_for_mutation());
  const wire::PoolRecord* known = mds.state.find_pool(request.name());
  if (request.is_new() && known) {
    co_return error(Errc::kAlreadyExists,
                    "there is a pool '" + request.name() + "' already; nothing was changed");
  }
  if (!request.is_new() && !known) {
    co_return error(Errc::kNotFound, "there is no pool '" + request.name() +
                                         "'; `cairn pool list` shows those that are");
  }
  if (!known && mds.state.pools.size() >= kPoolsMax) {
    co_return error(Errc::kNoSpace, "the cluster has " + std::to_string(kPoolsMax) +
                                        " pools, its limit; nothing was added");
  }
  wire::PoolRecord pool = known ? *known : new_pool(mds.state, request);
  change(request, pool);
  CO_TRY(check_values(mds.state, pool));
  if (known) CO_TRY(check_change(*known, pool));
  kv::WriteBatch batch;
  if (known) {
    replace_record(batch, keys::pool(PoolId(pool.id())), *known, pool);
  } else {
    pool.set_id(mds.ids.take(IdKind::kPool, 1, batch));
    create_record(batch, keys::pool(PoolId(pool.id())), pool);
  }
  CO_TRY(co_await mds.commit(std::move(batch)));
  wire::PutPoolReply reply;
  reply.set_id(pool.id());
  mds.env.logger.info("a pool was set", {{"pool", pool.ShortDebugString()}});
  mds.state.set_pool(std::move(pool));
  mds.topology_changed.wake();
  co_return reply;
}

}  // namespace cairn::mds::ops
