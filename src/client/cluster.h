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
#include "io/env.h"

namespace cairn::wire {
class ClusterStatusReply;
class CopysetInfo;
class OpenSessionReply;
class OpenSessionRequest;
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

  /// `pool` may be empty: the only one.
  io::Task<Result<wire::VolumeInfo>> create_volume(std::string name, uint64_t size_bytes,
                                                   std::string pool = {});
  io::Task<Result<wire::VolumeInfo>> stat_volume(std::string name);
  io::Task<Result<std::vector<wire::VolumeInfo>>> list_volumes();
  io::Task<Status> delete_volume(std::string name);
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
