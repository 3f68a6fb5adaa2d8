#include "mds/background/jobs.h"

namespace cairn::mds {

namespace {

void log_change(const Context& mds, const Chunkserver& chunkserver, Liveness from, Liveness to) {
  const auto fields = {LogField("chunkserver", chunkserver.id()),
                       LogField("address", chunkserver.record.address()),
                       LogField("from", to_string(from)), LogField("to", to_string(to))};
  if (to == Liveness::kOnline) {
    mds.env.logger.info("a chunkserver is back", fields);
  } else {
    mds.env.logger.warn("a chunkserver is silent", fields);
  }
}

void update_gauges(Context& mds, const std::map<ChunkserverId, Liveness>& known) {
  int64_t online = 0, leaderless = 0;
  for (const auto& [id, liveness] : known) online += liveness == Liveness::kOnline ? 1 : 0;
  const Instant now = mds.env.clock.now();
  for (const auto& [id, copyset] : mds.state.copysets) {
    if (!has_leader(mds.state, id, now, mds.options)) ++leaderless;
  }
  mds.metrics.active.set(1);
  mds.metrics.chunkservers_online.set(online);
  mds.metrics.chunkservers_registered.set(static_cast<int64_t>(known.size()));
  mds.metrics.copysets.set(static_cast<int64_t>(mds.state.copysets.size()));
  mds.metrics.copysets_without_leader.set(leaderless);
  mds.metrics.operators.set(static_cast<int64_t>(mds.state.ledger.count()));
  int64_t lost = 0;
  for (const auto& pool : mds.schedule.progress) lost += pool.replicas_lost;
  mds.metrics.replicas_lost.set(lost);
  mds.metrics.volumes.set(static_cast<int64_t>(mds.state.volumes_alive_count()));
}

}  // namespace

io::Task<void> run_watch_liveness(Context& mds) {
  const auto running = mds.jobs.enter();
  if (!running) co_return;
  std::map<ChunkserverId, Liveness> known;
  while (!mds.is_stopping()) {
    std::erase_if(known, [&](const auto& entry) {
      return !mds.state.chunkservers.contains(entry.first);  // it was removed
    });
    for (const auto& [id, chunkserver] : mds.state.chunkservers) {
      const Liveness liveness = mds.liveness_of(chunkserver);
      const auto [at, is_new] = known.emplace(id, liveness);
      if (at->second != liveness) log_change(mds, chunkserver, at->second, liveness);
      at->second = liveness;
    }
    update_gauges(mds, known);
    co_await mds.liveness_tick.wait(mds.options.heartbeat_interval);
  }
}

}  // namespace cairn::mds
