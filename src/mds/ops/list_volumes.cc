#include "mds/ops/ops.h"

namespace cairn::mds::ops {

Result<wire::ListVolumesReply> list_volumes(Context& mds, const wire::ListVolumesRequest&) {
  wire::ListVolumesReply reply;
  for (const auto& [name, id] : mds.state.volume_names) {
    *reply.add_volumes() = mds.state.volumes.at(id).info();
  }
  return reply;
}

}  // namespace cairn::mds::ops
