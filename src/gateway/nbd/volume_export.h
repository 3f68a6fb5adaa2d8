/// VolumeSource: the volumes of a cluster as NBD exports, opened when a client asks for them.
///
/// A volume has a session while a connection uses it: the first one opens it, and when the last
/// has ended it is closed, so that others may have it. A lost session makes the export fail with
/// kStaleFence until its connections have ended; the next connection opens the volume anew. A
/// volume that is renamed goes on for its connections, and is shared with those that ask for its
/// new name; one that is extended shows its new size to the connections that come then. Threads:
/// the reactor's. Lifetime: the cluster object outlives it; close() when the server has stopped. No
/// export that it
///           gave out outlives it.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "client/cluster.h"
#include "gateway/nbd/export.h"
#include "io/env.h"
#include "io/sync.h"

namespace cairn::client {
class Volume;
}

namespace cairn::nbd {

struct VolumeSourceOptions {
  /// The volumes that may be opened; empty: all of the cluster.
  std::vector<std::string> volumes;
  /// What a client that names no export gets; empty: the only one of `volumes`, or nothing.
  std::string default_volume;
  client::OpenOptions open{.mode = client::OpenMode::kExclusive};
};

class VolumeSource final : public ExportSource {
 public:
  VolumeSource(io::Env env, client::Cluster& cluster, VolumeSourceOptions options);
  ~VolumeSource() override;

  io::Task<Result<std::shared_ptr<Export>>> open(std::string name) override;
  io::Task<Result<std::vector<std::string>>> list() override;
  /// Closes the volumes that are open. Nothing is opened any more.
  io::Task<void> close();

 private:
  class VolumeExport;

  io::Task<Result<std::shared_ptr<Export>>> share(std::string name);
  io::Task<std::shared_ptr<Export>> find_open(std::string name);
  void release(std::shared_ptr<VolumeExport> unused);
  void close_unused();
  io::Task<void> close_one(std::shared_ptr<VolumeExport> unused);

  io::Env env_;
  client::Cluster& cluster_;
  const VolumeSourceOptions options_;
  /// Of each name at most one opens at a time; its waiters are bounded by the connections.
  std::map<std::string, std::unique_ptr<io::Semaphore>> opening_;
  /// In use. All connections share one Volume, so that its order per block holds across them.
  std::map<std::string, std::weak_ptr<Export>> open_;
  /// No connection uses them; they are closed at the timer's next call, which is at once.
  std::vector<std::shared_ptr<VolumeExport>> unused_;
  io::Timer unused_timer_;
  io::Gate gate_;
};

}  // namespace cairn::nbd
