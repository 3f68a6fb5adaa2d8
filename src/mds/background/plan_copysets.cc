#include "mds/background/jobs.h"
#include "mds/keys.h"
#include "placement/copyset_plan.h"

namespace cairn::mds {

namespace {

bool is_plan_due(const ClusterState& state) {
  return !state.pool.copysets_planned() &&
         state.chunkservers.size() >= state.pool.chunkservers_min();
}

io::Task<Status> plan(Context& mds) {
  const auto lock = CO_TRY(co_await mds.lock_for_mutation());
  if (!is_plan_due(mds.state)) co_return ok();
  const placement::CopysetPlanLimits limits{
      .copysets_per_chunkserver = mds.state.pool.copysets_per_chunkserver(),
      .replicas_count = mds.state.pool.replicas_count(),
      .scatter_width_min = mds.options.pool.scatter_width_min};
  const auto planned = CO_TRY(placement::plan_copysets(topology_of(mds.state), limits, mds.rng));

  // All of them in one batch with the mark that they are planned: never half a plan, never two.
  kv::WriteBatch batch;
  wire::PoolRecord pool = mds.state.pool;
  pool.set_copysets_planned(true);
  replace_record(batch, keys::pool(PoolId(pool.id())), mds.state.pool, pool);
  uint64_t id = mds.ids.take(IdKind::kCopyset, planned.size(), batch);
  std::vector<wire::CopysetRecord> records;
  for (const auto& members : planned) {
    wire::CopysetRecord& record = records.emplace_back();
    record.set_id(id++);
    record.set_pool(pool.id());
    record.set_epoch(kFoundingEpoch.value());
    for (ChunkserverId member : members) record.add_members(member.value());
    create_record(batch, keys::copyset(CopysetId(record.id())), record);
  }
  CO_TRY(co_await mds.commit(std::move(batch)));
  mds.state.set_pool(std::move(pool));
  for (auto& record : records) mds.state.set_copyset(std::move(record));
  mds.state.check_invariants();
  mds.env.logger.info(
      "planned the pool's copysets",
      {{"copysets", planned.size()}, {"chunkservers", mds.state.chunkservers.size()}});
  co_return ok();
}

}  // namespace

io::Task<void> run_plan_copysets(Context& mds) {
  const auto running = mds.jobs.enter();
  if (!running) co_return;
  while (!mds.is_stopping() && !mds.state.pool.copysets_planned()) {
    std::optional<Duration> retry;
    if (is_plan_due(mds.state)) {
      const Status planned = co_await plan(mds);
      mds.plan_problem.clear();
      if (!planned.ok()) {
        mds.plan_problem = "the copysets cannot be planned: " + planned.error().message();
        mds.env.logger.error("planning the copysets failed",
                             {{"error", planned.error().describe()}});
        retry = mds.options.retry_delay_max;
      }
    }
    if (!mds.state.pool.copysets_planned()) co_await mds.topology_changed.wait(retry);
  }
}

}  // namespace cairn::mds
