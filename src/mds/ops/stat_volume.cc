#include "mds/ops/ops.h"
#include "mds/validate.h"

namespace cairn::mds::ops {

Result<wire::StatVolumeReply> stat_volume(Context& mds, const wire::StatVolumeRequest& request) {
  TRY(check_volume_name(request.name()));
  const auto* volume = mds.state.find_volume(request.name());
  if (!volume) {
    return error(Errc::kNotFound, "there is no volume '" + request.name() +
                                      "'; `cairn volume list` shows those that are");
  }
  wire::StatVolumeReply reply;
  *reply.mutable_volume() = volume->info();
  return reply;
}

}  // namespace cairn::mds::ops
