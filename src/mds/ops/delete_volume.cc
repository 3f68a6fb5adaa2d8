#include "mds/keys.h"
#include "mds/ops/ops.h"
#include "mds/record.h"
#include "mds/validate.h"

namespace cairn::mds::ops {

io::Task<Result<wire::DeleteVolumeReply>> delete_volume(Context& mds,
                                                        wire::DeleteVolumeRequest request) {
  CO_TRY(check_volume_name(request.name()));
  const auto lock = CO_TRY(co_await mds.lock_for_mutation());
  const auto* volume = mds.state.find_volume(request.name());
  if (!volume) {
    co_return error(Errc::kNotFound, "there is no volume '" + request.name() +
                                         "'; `cairn volume list` shows those that are");
  }
  const VolumeId id(volume->info().id());
  wire::VolumeRecord record = *volume;
  record.set_deleted(true);
  wire::VolumeNameRecord name;
  name.set_volume(id.value());
  kv::WriteBatch batch;
  replace_record(batch, keys::volume(id), *volume, record);
  const std::string name_key = keys::volume_name(request.name());
  batch.require(name_key, encode_record(name_key, name));
  batch.remove(name_key);
  for (const auto& [session_id, session] : mds.state.sessions_of(id)) {
    const std::string key = keys::session(id, session_id);
    batch.require(key, encode_record(key, session.record));
    batch.remove(key);
  }
  CO_TRY(co_await mds.commit(std::move(batch)));

  mds.state.volumes.at(id) = std::move(record);
  mds.state.volume_names.erase(request.name());
  mds.state.sessions.erase(id);
  mds.volume_deleted.wake();
  mds.env.logger.info("deleted a volume; its chunks follow",
                      {{"volume", id}, {"name", request.name()}});
  co_return wire::DeleteVolumeReply();
}

}  // namespace cairn::mds::ops
