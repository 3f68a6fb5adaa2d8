#include "mds/ops/ops.h"
#include "mds/validate.h"
#include "mds/volume_changes.h"

namespace cairn::mds::ops {

io::Task<Result<wire::PurgeVolumeReply>> purge_volume(Context& mds,
                                                      wire::PurgeVolumeRequest request) {
  if (request.id() == 0) CO_TRY(check_volume_name(request.name()));
  const auto lock = CO_TRY(co_await mds.lock_for_mutation());
  wire::VolumeRecord record = *CO_TRY(find_in_bin(mds, request.name(), request.id()));
  record.set_deleted(true);
  wire::PurgeVolumeReply reply;
  *reply.mutable_volume() = record.info();
  CO_TRY(co_await store_volume(mds, std::move(record)));
  mds.volume_deleted.wake();
  mds.env.logger.info("took a volume out of the recycle bin; its chunks go",
                      {{"volume", reply.volume().id()}, {"name", reply.volume().name()}});
  co_return reply;
}

}  // namespace cairn::mds::ops
