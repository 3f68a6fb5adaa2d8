#include "mds/ops/ops.h"
#include "mds/session_changes.h"
#include "mds/session_plan.h"

namespace cairn::mds::ops {

io::Task<Result<wire::CloseSessionReply>> close_session(Context& mds,
                                                        wire::CloseSessionRequest request) {
  const auto lock = CO_TRY(co_await mds.lock_for_mutation());
  const VolumeId volume(request.volume());
  const SessionId id(request.session());
  const Session* session = mds.state.find_session(volume, id);
  if (!session) co_return wire::CloseSessionReply();
  SessionChange change(mds, volume);
  if (fences_at_end(*session)) change.raise_fence();
  change.end(id);
  CO_TRY(co_await change.commit(mds));
  mds.env.logger.info("a session ends", {{"volume", volume}});
  co_return wire::CloseSessionReply();
}

}  // namespace cairn::mds::ops
