#include "mds/keys.h"
#include "mds/ops/ops.h"
#include "mds/validate.h"
#include "mds/volume_changes.h"
#include "wire/stripes.h"

namespace cairn::mds::ops {

namespace {

Status check_stripes(const wire::CreateVolumeRequest& request, const wire::PoolRecord& pool) {
  const wire::Layout layout{.segment_bytes = pool.segment_bytes(),
                            .chunk_bytes = pool.chunk_bytes(),
                            .stripe_unit_bytes = request.stripe_unit_bytes(),
                            .stripe_count = request.stripe_count()};
  if (wire::is_sound(layout)) return ok();
  return error(Errc::kInvalidArgument,
               "stripes of " + std::to_string(layout.stripe_unit_bytes) + " bytes over " +
                   std::to_string(layout.stripe_count) +
                   " chunks do not fit: the unit is a multiple of 4096, at least " +
                   std::to_string(wire::kStripeUnitBytesMin) + ", and divides a chunk's " +
                   std::to_string(layout.chunk_bytes) + " bytes; the count is between 2 and " +
                   std::to_string(wire::kStripeCountMax) + " and divides a segment's " +
                   std::to_string(layout.segment_bytes / layout.chunk_bytes) +
                   " chunks; give both, or neither. Nothing was made");
}

}  // namespace

io::Task<Result<wire::CreateVolumeReply>> create_volume(Context& mds,
                                                        wire::CreateVolumeRequest request) {
  CO_TRY(check_volume_name(request.name()));
  CO_TRY(check_owner(request.owner()));
  CO_TRY(check_volume_size(request.size_bytes(), mds.options.limits.volume_bytes_max));
  const auto lock = CO_TRY(co_await mds.lock_for_mutation());
  const wire::PoolRecord* found = mds.state.find_pool(request.pool());
  if (!found) {
    co_return error(Errc::kInvalidArgument, "there is no pool '" + request.pool().substr(0, 64) +
                                                "'; `cairn pool list` shows those that are");
  }
  const wire::PoolRecord& pool = *found;  // nobody else changes it while this holds the lock
  CO_TRY(check_stripes(request, pool));
  CO_TRY(check_name_is_free(mds, request.name(), "nothing was made"));
  if (mds.state.volumes.size() >= mds.options.limits.volumes_max) {
    co_return error(Errc::kNoSpace,
                    "the cluster has " + std::to_string(mds.state.volumes.size()) +
                        " volumes, its limit (volumes_max); delete some with --now, or purge those "
                        "of `cairn volume list --deleted`, and wait for their chunks to go");
  }
  kv::WriteBatch batch;
  wire::VolumeRecord record;
  record.set_pool(pool.id());
  wire::VolumeInfo& info = *record.mutable_info();
  info.set_id(mds.ids.take(IdKind::kVolume, 1, batch));
  info.set_name(request.name());
  info.set_size_bytes(request.size_bytes());
  info.set_chunk_bytes(pool.chunk_bytes());
  info.set_segment_bytes(pool.segment_bytes());
  info.set_pool(pool.name());
  info.set_owner(request.owner());
  info.set_stripe_unit_bytes(request.stripe_unit_bytes());
  info.set_stripe_count(request.stripe_count());
  info.set_created_unix_ns(mds.env.clock.wall_time_ns());
  const VolumeId id(info.id());
  wire::VolumeNameRecord name;
  name.set_volume(id.value());
  create_record(batch, keys::volume(id), record);
  create_record(batch, keys::volume_name(request.name()), name);
  CO_TRY(co_await mds.commit(std::move(batch)));

  wire::CreateVolumeReply reply;
  *reply.mutable_volume() = record.info();
  mds.state.volumes[id] = std::move(record);
  mds.state.volume_names[request.name()] = id;
  mds.env.logger.info(
      "made a volume",
      {{"volume", id}, {"name", request.name()}, {"size_bytes", request.size_bytes()}});
  co_return reply;
}

}  // namespace cairn::mds::ops
