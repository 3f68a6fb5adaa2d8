#include "mds/background/jobs.h"
#include "mds/session_changes.h"
#include "mds/session_plan.h"

namespace cairn::mds {

namespace {

bool is_forgotten(const Context& mds, const Session& session) {
  return mds.env.clock.now() - session.renewed_at.value_or(mds.started_at) >=
         mds.options.session_forget_after;
}

bool has_forgotten(const Context& mds, const Sessions& sessions) {
  return std::ranges::any_of(sessions, [&](const auto& s) { return is_forgotten(mds, s.second); });
}

io::Task<Status> expire_sessions_of(Context& mds, VolumeId volume) {
  const auto lock = CO_TRY(co_await mds.lock_for_mutation());
  const Sessions& sessions = mds.state.sessions_of(volume);
  if (!has_forgotten(mds, sessions)) co_return ok();  // renewed or closed meanwhile
  SessionChange change(mds, volume);
  bool raises_fence = false;
  size_t count = 0;
  for (const auto& [id, session] : sessions) {
    if (!is_forgotten(mds, session)) continue;
    raises_fence = raises_fence || fences_at_end(session);
    change.end(id);
    ++count;
    mds.env.logger.warn("a session is forgotten: it was not renewed",
                        {{"volume", volume}, {"client", session.record.client()}});
  }
  if (raises_fence) change.raise_fence();
  CO_TRY(co_await change.commit(mds));
  mds.metrics.sessions_displaced.add(count);
  co_return ok();
}

}  // namespace

io::Task<void> run_expire_sessions(Context& mds) {
  const auto running = mds.jobs.enter();
  if (!running) co_return;
  while (!mds.is_stopping()) {
    std::vector<VolumeId> due;
    for (const auto& [volume, sessions] : mds.state.sessions) {
      if (has_forgotten(mds, sessions)) due.push_back(volume);
    }
    for (VolumeId volume : due) {
      if (mds.is_stopping()) break;
      const Status expired = co_await expire_sessions_of(mds, volume);
      if (!expired.ok()) {
        mds.env.logger.warn("a session was not forgotten; it is tried again",
                            {{"volume", volume}, {"error", expired.error().describe()}});
      }
    }
    if (mds.is_stopping()) break;
    co_await mds.session_tick.wait(mds.options.session_lease);
  }
}

}  // namespace cairn::mds
