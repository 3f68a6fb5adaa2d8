#include "mds/fences.h"
#include "mds/ops/ops.h"
#include "mds/session_changes.h"
#include "mds/session_plan.h"
#include "mds/validate.h"

namespace cairn::mds::ops {

namespace {

Status check_request(const wire::OpenSessionRequest& request) {
  TRY(check_volume_name(request.name()));
  TRY(check_client_name(request.client()));
  if (request.session() == 0) {
    return error(Errc::kInvalidArgument, "a session's number is drawn at random and not zero");
  }
  if (!wire::SessionMode_IsValid(request.mode())) {
    return error(Errc::kInvalidArgument, "a session's mode is exclusive, read-only or shared");
  }
  return ok();
}

Error held_by(const Context& mds, const wire::VolumeRecord& volume, const Session& holder) {
  const Duration silent = mds.env.clock.now() - holder.renewed_at.value_or(mds.started_at);
  const auto left = std::max(Duration::zero(), mds.options.session_lease - silent);
  const bool is_exclusive = holder.record.mode() == wire::SESSION_EXCLUSIVE;
  return error(Errc::kAlreadyExists,
               "volume '" + volume.info().name() + "' is open" +
                   (is_exclusive ? " exclusively" : "") + " by '" + holder.record.client() +
                   "'; close it there, wait (its lease ends in " + std::to_string(to_ms(left)) +
                   " ms unless it is renewed), or take it away with --force");
}

Error taken_meanwhile(const std::string& volume) {
  return error(Errc::kStaleFence, "volume '" + volume +
                                      "' was taken by another client while it was opened; " +
                                      "open it again if it is yours to take");
}

/// Begins the session, or finds it where an earlier try has begun it.
io::Task<Result<wire::SessionRecord>> begin_session(Context& mds,
                                                    const wire::OpenSessionRequest* request) {
  const auto lock = CO_TRY(co_await mds.lock_for_mutation());
  const auto* volume = mds.state.find_volume(request->name());
  if (!volume) {
    co_return error(Errc::kNotFound, "there is no volume '" + request->name() +
                                         "'; `cairn volume list` shows those that are");
  }
  const VolumeId id(volume->info().id());
  const Sessions& sessions = mds.state.sessions_of(id);
  if (const Session* own = mds.state.find_session(id, SessionId(request->session()))) {
    co_return own->record;
  }
  const OpenPlan plan =
      plan_open(sessions, *request, mds.started_at, mds.env.clock.now(), mds.options);
  if (plan.refused_by) co_return held_by(mds, *volume, *plan.refused_by);
  if (plan.raises_fence && request->fence_seen() != volume->info().fence()) {
    co_return taken_meanwhile(request->name());
  }
  if (sessions.size() - plan.displaced.size() >= mds.options.limits.sessions_per_volume_max) {
    co_return error(Errc::kNoSpace, "volume '" + request->name() + "' has " +
                                        std::to_string(sessions.size()) +
                                        " sessions, its limit (sessions_per_volume_max)");
  }
  SessionChange change(mds, id);
  for (SessionId displaced : plan.displaced) change.end(displaced);
  if (plan.raises_fence) change.raise_fence();
  wire::SessionRecord record;
  record.set_id(request->session());
  record.set_mode(request->mode());
  record.set_client(request->client());
  record.set_opened_unix_ns(mds.env.clock.wall_time_ns());
  change.begin(std::move(record));
  CO_TRY(co_await change.commit(mds));
  mds.metrics.sessions_opened.add();
  mds.metrics.sessions_displaced.add(plan.displaced.size());
  mds.env.logger.info("a session begins", {{"volume", request->name()},
                                           {"client", request->client()},
                                           {"fence", change.fence()},
                                           {"displaced", plan.displaced.size()}});
  co_return mds.state.find_session(id, SessionId(request->session()))->record;
}

}  // namespace

io::Task<Result<wire::OpenSessionReply>> open_session(Context& mds,
                                                      wire::OpenSessionRequest request) {
  CO_TRY(check_request(request));
  const auto session = CO_TRY(co_await begin_session(mds, &request));
  const VolumeId volume(session.volume());
  // Any session waits for the volume's fence, not its own act alone: it may have been another open
  // that moved it, and that one may be stuck.
  CO_TRY(co_await order_fence(mds, volume, Fence(session.fence())));

  const auto* record = mds.state.find_volume(volume);
  const auto found = mds.state.sessions.find(volume);
  const bool is_there = record != nullptr && found != mds.state.sessions.end() &&
                        found->second.contains(SessionId(session.id()));
  if (!is_there || record->info().fence() != session.fence()) {
    co_return taken_meanwhile(request.name());
  }
  // The lease counts from the answer: to order the fence may have taken long.
  found->second.at(SessionId(session.id())).renewed_at = mds.env.clock.now();
  wire::OpenSessionReply reply;
  *reply.mutable_volume() = record->info();
  reply.set_fence(session.fence());
  reply.set_lease_ms(static_cast<uint32_t>(to_ms(mds.options.session_lease)));
  co_return reply;
}

}  // namespace cairn::mds::ops
