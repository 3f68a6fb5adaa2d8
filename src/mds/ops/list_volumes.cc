#include "mds/ops/ops.h"
#include "mds/validate.h"
#include "mds/volume_changes.h"

namespace cairn::mds::ops {

namespace {

void list_deleted(const Context& mds, std::string_view prefix, wire::ListVolumesReply* reply) {
  for (const auto& [id, volume] : mds.state.volumes) {
    if (!is_in_bin(volume) || !volume.info().name().starts_with(prefix)) continue;
    *reply->add_volumes() = describe_volume(mds, volume);
  }
}

/// A volume below one of the folder's own folders: counted there.
void count_in_folder(std::string_view name, wire::ListVolumesReply* reply) {
  // Names are in order: what lies in one folder stands together.
  const int count = reply->folders_size();
  if (count == 0 || reply->folders(count - 1).name() != name) {
    reply->add_folders()->set_name(std::string(name));
  }
  auto* folder = reply->mutable_folders(reply->folders_size() - 1);
  folder->set_volumes_count(folder->volumes_count() + 1);
}

}  // namespace

Result<wire::ListVolumesReply> list_volumes(Context& mds, const wire::ListVolumesRequest& request) {
  std::string prefix;
  if (!request.folder().empty()) {
    TRY(check_volume_name(request.folder()));
    prefix = request.folder() + "/";
  }
  wire::ListVolumesReply reply;
  if (request.is_deleted()) {
    list_deleted(mds, prefix, &reply);
    return reply;
  }
  const auto& names = mds.state.volume_names;
  for (auto at = names.lower_bound(prefix); at != names.end(); ++at) {
    const std::string_view name = at->first;
    if (!name.starts_with(prefix)) break;
    const size_t slash = name.find('/', prefix.size());
    if (request.is_direct() && slash != std::string_view::npos) {
      count_in_folder(name.substr(0, slash), &reply);
    } else {
      *reply.add_volumes() = describe_volume(mds, mds.state.volumes.at(at->second));
    }
  }
  if (!prefix.empty() && reply.volumes_size() == 0 && reply.folders_size() == 0) {
    return error(Errc::kNotFound, "there is no folder '" + request.folder() +
                                      "': no volume's name begins with '" + prefix + "'");
  }
  return reply;
}

}  // namespace cairn::mds::ops
