#include "mds/background/jobs.h"
#include "mds/volume_changes.h"

namespace cairn::mds {

namespace {

/// The wall clock may be set while the job sleeps by the monotonic one.
constexpr Duration kLookInterval = 60s;

/// How long the volume has left in the bin; not above zero: it goes.
Duration time_left(const Context& mds, const wire::VolumeRecord& volume) {
  const int64_t age_ns = mds.env.clock.wall_time_ns() - volume.info().deleted_unix_ns();
  return mds.options.deleted_volume_keep - Duration(age_ns);
}

io::Task<Status> expire_volume(Context& mds, VolumeId id) {
  const auto lock = CO_TRY(co_await mds.lock_for_mutation());
  const auto found = mds.state.volumes.find(id);
  // It may have been restored or purged while this waited.
  if (found == mds.state.volumes.end() || !is_in_bin(found->second)) co_return ok();
  if (time_left(mds, found->second) > Duration::zero()) co_return ok();
  wire::VolumeRecord record = found->second;
  record.set_deleted(true);
  const std::string name = record.info().name();
  CO_TRY(co_await store_volume(mds, std::move(record)));
  mds.volume_deleted.wake();
  mds.env.logger.info("the recycle bin gives a volume up; its chunks go",
                      {{"volume", id}, {"name", name}});
  co_return ok();
}

/// Gives up what is due; how long until it has to look again. nullopt: the bin is empty.
io::Task<std::optional<Duration>> expire_due(Context& mds) {
  std::vector<VolumeId> due;
  std::optional<Duration> wait;
  for (const auto& [id, volume] : mds.state.volumes) {
    if (!is_in_bin(volume)) continue;
    const Duration left = time_left(mds, volume);
    if (left <= Duration::zero()) due.push_back(id);
    const Duration next = std::max(left, mds.options.retry_delay_min);
    wait = std::min(wait.value_or(kLookInterval), next);
  }
  for (VolumeId id : due) {
    if (mds.is_stopping()) break;
    if (const Status gone = co_await expire_volume(mds, id); !gone.ok()) {
      mds.env.logger.warn("a volume stays in the recycle bin; it is tried again",
                          {{"volume", id}, {"error", gone.error().describe()}});
    }
  }
  co_return wait;
}

}  // namespace

io::Task<void> run_empty_bin(Context& mds) {
  const auto running = mds.jobs.enter();
  if (!running) co_return;
  while (!mds.is_stopping()) {
    const std::optional<Duration> wait = co_await expire_due(mds);
    if (mds.is_stopping()) break;
    co_await mds.bin_changed.wait(wait);
  }
}

}  // namespace cairn::mds
