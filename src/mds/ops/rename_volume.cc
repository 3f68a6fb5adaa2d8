#include "mds/ops/ops.h"
#include "mds/validate.h"
#include "mds/volume_changes.h"

namespace cairn::mds::ops {

io::Task<Result<wire::RenameVolumeReply>> rename_volume(Context& mds,
                                                        wire::RenameVolumeRequest request) {
  CO_TRY(check_volume_name(request.name()));
  CO_TRY(check_volume_name(request.new_name()));
  const auto lock = CO_TRY(co_await mds.lock_for_mutation());
  const auto* volume = mds.state.find_volume(request.name());
  if (!volume) co_return no_such_volume(request.name());
  wire::RenameVolumeReply reply;
  *reply.mutable_volume() = volume->info();
  if (request.name() == request.new_name()) co_return reply;
  CO_TRY(check_name_is_free(mds, request.new_name(), "nothing was renamed"));
  wire::VolumeRecord record = *volume;
  record.mutable_info()->set_name(request.new_name());
  *reply.mutable_volume() = record.info();
  CO_TRY(co_await store_volume(mds, std::move(record)));
  mds.env.logger.info(
      "renamed a volume",
      {{"volume", reply.volume().id()}, {"from", request.name()}, {"to", request.new_name()}});
  co_return reply;
}

}  // namespace cairn::mds::ops
