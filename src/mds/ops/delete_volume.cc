#include "mds/ops/ops.h"
#include "mds/validate.h"
#include "mds/volume_changes.h"

namespace cairn::mds::ops {

namespace {

Error in_use_by(const wire::DeleteVolumeRequest& request, const Session& holder) {
  const bool is_exclusive = holder.record.mode() == wire::SESSION_EXCLUSIVE;
  return error(Errc::kPreconditionFailed,
               "volume '" + request.name() + "' is open" + (is_exclusive ? " exclusively" : "") +
                   " by '" + holder.record.client() +
                   "'; close it there, or delete it all the same with --force; nothing was deleted "
                   "(`cairn volume sessions` shows who has what open)");
}

}  // namespace

io::Task<Result<wire::DeleteVolumeReply>> delete_volume(Context& mds,
                                                        wire::DeleteVolumeRequest request) {
  CO_TRY(check_volume_name(request.name()));
  const auto lock = CO_TRY(co_await mds.lock_for_mutation());
  const auto* volume = mds.state.find_volume(request.name());
  if (!volume) co_return no_such_volume(request.name());
  const VolumeId id(volume->info().id());
  const Session* holder = live_session(mds, id);
  if (holder && !request.force()) co_return in_use_by(request, *holder);
  wire::VolumeRecord record = *volume;
  const bool is_final = request.is_final() || mds.options.deleted_volume_keep == Duration::zero();
  record.mutable_info()->set_deleted_unix_ns(mds.env.clock.wall_time_ns());
  record.set_deleted(is_final);
  CO_TRY(co_await store_volume(mds, std::move(record)));

  wire::DeleteVolumeReply reply;
  *reply.mutable_volume() = describe_volume(mds, mds.state.volumes.at(id));
  (is_final ? mds.volume_deleted : mds.bin_changed).wake();
  mds.env.logger.info(
      is_final ? "deleted a volume; its chunks follow" : "put a volume into the recycle bin",
      {{"volume", id}, {"name", request.name()}});
  co_return reply;
}

}  // namespace cairn::mds::ops
