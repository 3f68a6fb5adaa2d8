#include "mds/ops/ops.h"
#include "mds/validate.h"
#include "mds/volume_changes.h"

namespace cairn::mds::ops {

io::Task<Result<wire::RestoreVolumeReply>> restore_volume(Context& mds,
                                                          wire::RestoreVolumeRequest request) {
  if (request.id() == 0) CO_TRY(check_volume_name(request.name()));
  if (!request.new_name().empty()) CO_TRY(check_volume_name(request.new_name()));
  const auto lock = CO_TRY(co_await mds.lock_for_mutation());
  wire::VolumeRecord record = *CO_TRY(find_in_bin(mds, request.name(), request.id()));
  wire::VolumeInfo& info = *record.mutable_info();
  if (!request.new_name().empty()) info.set_name(request.new_name());
  CO_TRY(check_name_is_free(mds, info.name(),
                            "nothing was restored (--as NAME restores it under another name)"));
  info.set_deleted_unix_ns(0);
  wire::RestoreVolumeReply reply;
  *reply.mutable_volume() = info;
  CO_TRY(co_await store_volume(mds, std::move(record)));
  mds.env.logger.info("restored a volume from the recycle bin",
                      {{"volume", reply.volume().id()}, {"name", reply.volume().name()}});
  co_return reply;
}

}  // namespace cairn::mds::ops
