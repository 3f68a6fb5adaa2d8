/// Cluster: a client's connection to a cluster; volumes are administered and opened here.
///
/// Errors:   kNotFound, kAlreadyExists, kInvalidArgument, kNoSpace as the MDS says;
///           kTimeout      nobody answered until the deadline;
///           kUnauthenticated  the cluster key differs;
///           kClosed       after stop().
/// Threads:  the reactor's.
/// Lifetime: stop() before the destructor; every Volume is gone before the destructor.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/ids.h"
#include "client/open_options.h"
#include "client/options.h"
#include "client/volume_options.h"
#include "io/env.h"

namespace cairn::wire {
class ClusterStatusReply;
class CopysetInfo;
class DeleteVolumeRequest;
class ListSessionsReply;
class ListVolumesReply;
class ListVolumesRequest;
class OpenSessionReply;
class OpenSessionRequest;
class PurgeVolumeRequest;
class RestoreVolumeRequest;
class StatVolumeReply;
class VolumeInfo;
}  // namespace cairn::wire

namespace cairn::client {

class Volume;

/// What the parts of one cluster object share; known to src/client alone.
struct Shared;

class Cluster {
 public:
  Cluster(io::Env env, ClientOptions options);
  ~Cluster();
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  // Volumes as a whole (cluster_volumes.cc). A call whose answer was lost is repeated: what an
  // earlier try has done by then is no error.

  io::Task<Result<wire::VolumeInfo>> create_volume(std::string name, uint64_t size_bytes,
                                                   VolumeOptions with = {});
  io::Task<Result<wire::VolumeInfo>> stat_volume(std::string name);
  /// The same with the bytes that its chunks take, which the MDS asks their leaders for.
  io::Task<Result<wire::StatVolumeReply>> measure_volume(std::string name);
  /// All.
  io::Task<Result<std::vector<wire::VolumeInfo>>> list_volumes();
  /// A folder's, or those in the recycle bin.
  io::Task<Result<wire::ListVolumesReply>> list_volumes(wire::ListVolumesRequest request);
  /// `size_bytes`: of the whole volume from then on.
  io::Task<Result<wire::VolumeInfo>> extend_volume(std::string name, uint64_t size_bytes);
  io::Task<Result<wire::VolumeInfo>> rename_volume(std::string name, std::string new_name);
  io::Task<Result<wire::VolumeInfo>> delete_volume(wire::DeleteVolumeRequest request);
  io::Task<Status> delete_volume(std::string name);
  /// From the recycle bin.
  io::Task<Result<wire::VolumeInfo>> restore_volume(wire::RestoreVolumeRequest request);
  io::Task<Result<wire::VolumeInfo>> purge_volume(wire::PurgeVolumeRequest request);
  io::Task<Result<wire::ListSessionsReply>> list_sessions(std::string volume);

  io::Task<Result<wire::ClusterStatusReply>> cluster_status();
  /// Empty: all.
  io::Task<Result<std::vector<wire::CopysetInfo>>> get_copysets(std::vector<CopysetId> copysets);

  /// Errors: kAlreadyExists others have it open whom the mode excludes, and `wait` is over;
  ///         kStaleFence    another client took it meanwhile.
  io::Task<Result<std::unique_ptr<Volume>>> open_volume(std::string name, OpenOptions how = {});

  /// Ends what is under way with kClosed, on open volumes too, and closes the connections. To let
  /// operations end well, close the volumes first.
  io::Task<Status> stop();

 private:
  Instant deadline() const;
  io::Task<Result<wire::OpenSessionReply>> open_session(wire::OpenSessionRequest request,
                                                        Duration wait);

  io::Env env_;
  std::unique_ptr<Shared> shared_;
  bool is_stopped_ = false;
};

}  // namespace cairn::client
