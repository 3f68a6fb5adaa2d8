#include "mds/background/jobs.h"
#include "mds/keys.h"
#include "placement/copyset_plan.h"

namespace cairn::mds {

namespace {

bool is_plan_due(const ClusterState& state, const wire::PoolRecord& pool) {
  return !pool.copysets_planned() && topology_of(state, pool).size() >= pool.chunkservers_min();
}

std::vector<PoolId> unplanned(const ClusterState& state) {
  std::vector<PoolId> ids;
  for (const auto& [id, pool] : state.pools) {
    if (!pool.copysets_planned()) ids.push_back(id);
  }
  return ids;
}

io::Task<Status> plan(Context& mds, PoolId id) {
  const auto lock = CO_TRY(co_await mds.lock_for_mutation());
  const auto found = mds.state.pools.find(id);
  if (found == mds.state.pools.end() || !is_plan_due(mds.state, found->second)) co_return ok();
  wire::PoolRecord pool = found->second;
  const placement::CopysetPlanLimits limits{
      .copysets_per_chunkserver = pool.copysets_per_chunkserver(),
      .replicas_count = pool.replicas_count(),
      .scatter_width_min = pool.scatter_width_min() > 0 ? pool.scatter_width_min()
                                                        : mds.options.pool.scatter_width_min};
  const auto planned =
      CO_TRY(placement::plan_copysets(topology_of(mds.state, pool), limits, mds.rng));

  // All of them in one batch with the mark that they are planned: never half a plan, never two.
  kv::WriteBatch batch;
  pool.set_copysets_planned(true);
  replace_record(batch, keys::pool(id), mds.state.pools.at(id), pool);
  uint64_t copyset = mds.ids.take(IdKind::kCopyset, planned.size(), batch);
  std::vector<wire::CopysetRecord> records;
  for (const auto& members : planned) {
    wire::CopysetRecord& record = records.emplace_back();
    record.set_id(copyset++);
    record.set_pool(pool.id());
    record.set_epoch(kFoundingEpoch.value());
    for (ChunkserverId member : members) record.add_members(member.value());
    create_record(batch, keys::copyset(CopysetId(record.id())), record);
  }
  CO_TRY(co_await mds.commit(std::move(batch)));
  mds.state.set_pool(std::move(pool));
  for (auto& record : records) mds.state.set_copyset(std::move(record));
  mds.state.check_invariants();
  mds.env.logger.info("planned the pool's copysets",
                      {{"pool", mds.state.pools.at(id).name()}, {"copysets", planned.size()}});
  co_return ok();
}

/// What is left unplanned by an error is tried again; nullopt: nothing is.
io::Task<std::optional<Duration>> plan_all(Context& mds) {
  std::optional<Duration> retry;
  std::string problem;
  for (PoolId id : unplanned(mds.state)) {
    const auto found = mds.state.pools.find(id);
    if (found == mds.state.pools.end() || !is_plan_due(mds.state, found->second)) continue;
    const std::string name = found->second.name();
    if (const Status planned = co_await plan(mds, id); !planned.ok()) {
      problem = "the copysets of pool " + name + " cannot be planned: " + planned.error().message();
      mds.env.logger.error("planning the copysets failed",
                           {{"pool", name}, {"error", planned.error().describe()}});
      retry = mds.options.retry_delay_max;
    }
  }
  mds.plan_problem = std::move(problem);
  co_return retry;
}

}  // namespace

io::Task<void> run_plan_copysets(Context& mds) {
  const auto running = mds.jobs.enter();
  if (!running) co_return;
  while (!mds.is_stopping()) {
    const std::optional<Duration> retry = co_await plan_all(mds);
    if (mds.is_stopping()) break;
    co_await mds.topology_changed.wait(retry);
  }
}

}  // namespace cairn::mds
