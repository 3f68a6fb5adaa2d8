#include "mds/ops/ops.h"
#include "mds/session_plan.h"
#include "mds/validate.h"
#include "mds/volume_changes.h"

namespace cairn::mds::ops {

namespace {

void describe_sessions(const Context& mds, VolumeId id, wire::ListSessionsReply* reply) {
  const Instant now = mds.env.clock.now();
  for (const auto& [number, session] : mds.state.sessions_of(id)) {
    reply->set_sessions_count(reply->sessions_count() + 1);
    if (static_cast<size_t>(reply->sessions_size()) >= kSessionsPerReplyMax) continue;
    wire::SessionInfo& info = *reply->add_sessions();
    info.set_session(number.value());
    info.set_volume(mds.state.volumes.at(id).info().name());
    info.set_mode(session.record.mode());
    info.set_client(session.record.client());
    info.set_fence(session.record.fence());
    info.set_opened_unix_ns(session.record.opened_unix_ns());
    info.set_silent_ms(to_ms(now - session.renewed_at.value_or(mds.started_at)));
    info.set_is_live(is_live(session, mds.started_at, now, mds.options));
  }
}

}  // namespace

Result<wire::ListSessionsReply> list_sessions(Context& mds,
                                              const wire::ListSessionsRequest& request) {
  wire::ListSessionsReply reply;
  if (!request.volume().empty()) {
    TRY(check_volume_name(request.volume()));
    const auto* volume = mds.state.find_volume(request.volume());
    if (!volume) return no_such_volume(request.volume());
    describe_sessions(mds, VolumeId(volume->info().id()), &reply);
    return reply;
  }
  for (const auto& [name, id] : mds.state.volume_names) describe_sessions(mds, id, &reply);
  return reply;
}

}  // namespace cairn::mds::ops
