#include "mds/keys.h"
#include "mds/ops/ops.h"
#include "mds/validate.h"
#include "mds/volume_changes.h"

namespace cairn::mds::ops {

namespace {

/// What the volume's end added to a segment that it cut short before, if that is allocated.
io::Task<Result<uint64_t>> grown_bytes(Context& mds, wire::VolumeInfo info, uint64_t size_bytes) {
  const uint64_t index = info.size_bytes() / info.segment_bytes();
  const uint64_t begin = index * info.segment_bytes();
  if (begin == info.size_bytes()) co_return uint64_t{0};
  const auto stored = CO_TRY(co_await mds.store.get(keys::segment(VolumeId(info.id()), index)));
  if (!stored) co_return uint64_t{0};
  co_return std::min(begin + info.segment_bytes(), size_bytes) - info.size_bytes();
}

}  // namespace

io::Task<Result<wire::ExtendVolumeReply>> extend_volume(Context& mds,
                                                        wire::ExtendVolumeRequest request) {
  CO_TRY(check_volume_name(request.name()));
  CO_TRY(check_volume_size(request.size_bytes(), mds.options.limits.volume_bytes_max));
  const auto lock = CO_TRY(co_await mds.lock_for_mutation());
  const auto* volume = mds.state.find_volume(request.name());
  if (!volume) co_return no_such_volume(request.name());
  wire::VolumeRecord record = *volume;  // nobody else changes it while this holds the lock
  wire::VolumeInfo& info = *record.mutable_info();
  if (request.size_bytes() < info.size_bytes()) {
    co_return error(Errc::kInvalidArgument,
                    "volume '" + request.name() + "' has " + std::to_string(info.size_bytes()) +
                        " bytes and cannot shrink to " + std::to_string(request.size_bytes()) +
                        "; nothing was changed");
  }
  wire::ExtendVolumeReply reply;
  if (request.size_bytes() > info.size_bytes()) {
    const uint64_t grown = CO_TRY(co_await grown_bytes(mds, info, request.size_bytes()));
    info.set_allocated_bytes(info.allocated_bytes() + grown);
    info.set_size_bytes(request.size_bytes());
    CO_TRY(co_await store_volume(mds, record));
    mds.env.logger.info(
        "extended a volume",
        {{"volume", info.id()}, {"name", info.name()}, {"size_bytes", info.size_bytes()}});
  }
  *reply.mutable_volume() = info;
  co_return reply;
}

}  // namespace cairn::mds::ops
