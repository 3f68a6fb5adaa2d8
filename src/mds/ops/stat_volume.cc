#include "mds/ops/ops.h"
#include "mds/validate.h"
#include "mds/volume_changes.h"
#include "mds/volume_usage.h"

namespace cairn::mds::ops {

io::Task<Result<wire::StatVolumeReply>> stat_volume(Context& mds, wire::StatVolumeRequest request) {
  CO_TRY(check_volume_name(request.name()));
  const auto* volume = mds.state.find_volume(request.name());
  if (!volume) co_return no_such_volume(request.name());
  wire::StatVolumeReply reply;
  *reply.mutable_volume() = describe_volume(mds, *volume);
  if (!request.with_used()) co_return reply;
  const auto chunks_count = co_await count_chunks(mds, VolumeId(reply.volume().id()));
  if (chunks_count) {
    reply.mutable_volume()->set_used_bytes(*chunks_count * reply.volume().chunk_bytes());
  } else {
    reply.set_used_problem(chunks_count.error().message());
  }
  co_return reply;
}

}  // namespace cairn::mds::ops
