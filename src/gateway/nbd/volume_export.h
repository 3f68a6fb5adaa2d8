/// VolumeSource: the volumes of a cluster as NBD exports, opened when a client asks for them.
/// Threads:  the reactor's.
/// Lifetime: the cluster object outlives it; close() when the server has stopped.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "client/cluster.h"
#include "gateway/nbd/export.h"
#include "io/env.h"

namespace cairn::client {
class Volume;
}

namespace cairn::nbd {

struct VolumeSourceOptions {
  /// The volumes that may be opened; empty: all of the cluster.
  std::vector<std::string> volumes;
  /// What a client that names no export gets; empty: the only one of `volumes`, or nothing.
  std::string default_volume;
};

class VolumeSource final : public ExportSource {
 public:
  VolumeSource(io::Env env, client::Cluster& cluster, VolumeSourceOptions options);
  ~VolumeSource() override;

  io::Task<Result<std::shared_ptr<Export>>> open(std::string name) override;
  io::Task<Result<std::vector<std::string>>> list() override;
  /// Closes the volumes that are open.
  io::Task<void> close();

 private:
  class VolumeExport;

  io::Env env_;
  client::Cluster& cluster_;
  const VolumeSourceOptions options_;
  /// Kept open until close(): clients come back. All connections share one Volume, so that its
  /// order per block holds across them. Bounded by the volumes that may be opened.
  std::map<std::string, std::shared_ptr<VolumeExport>> open_;
};

}  // namespace cairn::nbd
