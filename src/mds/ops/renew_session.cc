#include "mds/ops/ops.h"
#include "mds/session_changes.h"
#include "mds/session_plan.h"
#include "mds/validate.h"

namespace cairn::mds::ops {

namespace {

Error ended(const wire::RenewSessionRequest& request) {
  return error(Errc::kStaleFence, "the session of volume " + std::to_string(request.volume()) +
                                      " has ended: another client has opened the volume, or it "
                                      "was deleted");
}

wire::RenewSessionReply reply_to(const Context& mds, const wire::VolumeRecord& volume) {
  wire::RenewSessionReply reply;
  reply.set_lease_ms(static_cast<uint32_t>(to_ms(mds.options.session_lease)));
  reply.set_size_bytes(volume.info().size_bytes());
  return reply;
}

/// True if the session was there and is renewed.
bool try_renew(Context& mds, VolumeId volume, SessionId id) {
  const auto found = mds.state.sessions.find(volume);
  if (found == mds.state.sessions.end()) return false;
  const auto session = found->second.find(id);
  if (session == found->second.end()) return false;
  session->second.renewed_at = mds.env.clock.now();
  return true;
}

}  // namespace

io::Task<Result<wire::RenewSessionReply>> renew_session(Context& mds,
                                                        wire::RenewSessionRequest request) {
  const VolumeId volume(request.volume());
  const SessionId id(request.session());
  CO_TRY(check_client_name(request.client()));
  const auto* record = mds.state.find_volume(volume);
  // Sessions that do not exclude each other keep their fence while others come and go.
  if (!record || record->info().fence() != request.fence()) co_return ended(request);
  if (try_renew(mds, volume, id)) co_return reply_to(mds, *record);

  // It was forgotten. Nobody has got a newer fence since, so nobody was promised to be alone.
  if (id.is_none() || !wire::SessionMode_IsValid(request.mode())) co_return ended(request);
  const auto lock = CO_TRY(co_await mds.lock_for_mutation());
  record = mds.state.find_volume(volume);
  if (!record || record->info().fence() != request.fence()) co_return ended(request);
  if (try_renew(mds, volume, id)) co_return reply_to(mds, *record);
  const Sessions& sessions = mds.state.sessions_of(volume);
  // An exclusive session moved the fence when it was forgotten: this is none.
  if (request.mode() == wire::SESSION_EXCLUSIVE) co_return ended(request);
  wire::OpenSessionRequest again;
  again.set_mode(request.mode());
  const OpenPlan plan =
      plan_open(sessions, again, mds.started_at, mds.env.clock.now(), mds.options);
  if (plan.refused_by || !plan.displaced.empty() ||
      sessions.size() >= mds.options.limits.sessions_per_volume_max) {
    co_return ended(request);
  }
  SessionChange change(mds, volume);
  wire::SessionRecord session;
  session.set_id(request.session());
  session.set_mode(request.mode());
  session.set_client(request.client());
  session.set_opened_unix_ns(mds.env.clock.wall_time_ns());
  change.begin(std::move(session));
  CO_TRY(co_await change.commit(mds));
  co_return reply_to(mds, mds.state.volumes.at(volume));
}

}  // namespace cairn::mds::ops
