#include "mds/ops/ops.h"
#include "mds/validate.h"
#include "mds/volume_changes.h"

namespace cairn::mds::ops {

Result<wire::StatVolumeReply> stat_volume(Context& mds, const wire::StatVolumeRequest& request) {
  TRY(check_volume_name(request.name()));
  const auto* volume = mds.state.find_volume(request.name());
  if (!volume) return no_such_volume(request.name());
  wire::StatVolumeReply reply;
  *reply.mutable_volume() = describe_volume(mds, *volume);
  return reply;
}

}  // namespace cairn::mds::ops
