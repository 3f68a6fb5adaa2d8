/// DevState: the development cluster of `cairn dev` as it stands in DIR/cluster.json.
///
/// Processes are known by pid and start time, so that `dev down` ends only what `dev up` started.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace cairn::cli {

struct DevProcess {
  std::string name;     ///< "etcd-1", "mds" (of several "mds-1"), "chunkserver-1", "nbd"
  std::string address;  ///< HOST:PORT; of nbd: the URI
  std::string http;     ///< HOST:PORT of /metrics and /healthz; empty: none
  std::string dir;      ///< its data; empty: none
  int pid = 0;          ///< 0: not running
  std::string started;  ///< the kernel's start time of the pid
  std::string peer;     ///< HOST:PORT where an etcd listens for the others of it
};

struct DevState {
  std::string dir;
  std::vector<DevProcess> etcd;  ///< that keep the metadata; none: the MDS do
  std::vector<DevProcess> mds;   ///< at least one
  std::vector<DevProcess> chunkservers;
  DevProcess nbd;
  std::string nbd_uri;
  std::string volume = "demo";

  std::string key_file() const { return dir + "/cluster.key"; }
  /// In the order in which they are started.
  std::vector<DevProcess*> processes();
  /// Of all MDS, with commas between.
  std::string mds_addresses() const;
  std::string etcd_addresses() const;
};

/// kNotFound where there is no cluster, with what to run.
Result<DevState> load_dev_state(const std::string& dir);
Status save_dev_state(const DevState& state);

}  // namespace cairn::cli
