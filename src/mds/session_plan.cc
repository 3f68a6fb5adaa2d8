#include "mds/session_plan.h"

namespace cairn::mds {

bool is_live(const Session& session, Instant started_at, Instant now, const Options& options) {
  return now - session.renewed_at.value_or(started_at) < options.session_lease;
}

bool fences_at_end(const Session& session) {
  return session.record.mode() == wire::SESSION_EXCLUSIVE;
}

OpenPlan plan_open(const Sessions& sessions, const wire::OpenSessionRequest& request,
                   Instant started_at, Instant now, const Options& options) {
  OpenPlan plan;
  plan.raises_fence = request.mode() == wire::SESSION_EXCLUSIVE;
  for (const auto& [id, session] : sessions) {
    const bool goes_together = request.mode() != wire::SESSION_EXCLUSIVE &&
                               session.record.mode() != wire::SESSION_EXCLUSIVE;
    if (goes_together) continue;
    const bool is_own = request.replaces_own() && !request.client().empty() &&
                        request.client() == session.record.client();
    if (is_live(session, started_at, now, options) && !is_own && !request.force()) {
      return {.refused_by = &session, .displaced = {}, .raises_fence = false};
    }
    plan.displaced.push_back(id);
    plan.raises_fence = plan.raises_fence || fences_at_end(session);
  }
  return plan;
}

}  // namespace cairn::mds
