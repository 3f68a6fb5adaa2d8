#include "cli/dev_etcd.h"

#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "store/etcd/etcd.h"

namespace cairn::cli {

Result<std::string> find_etcd() {
  const char* path = std::getenv("PATH");
  std::istringstream folders(path == nullptr ? "/usr/bin" : path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    std::error_code failed;
    const std::string program = folder + "/etcd";
    if (std::filesystem::is_regular_file(program, failed)) return program;
  }
  return error(Errc::kNotFound, "there is no etcd on this machine; apt install etcd-server");
}

std::vector<std::string> etcd_command(const std::string& program,
                                      const std::vector<DevProcess>& members,
                                      const DevProcess& self) {
  std::string cluster;
  for (const DevProcess& one : members) {
    cluster += (cluster.empty() ? "" : ",") + one.name + "=http://" + one.peer;
  }
  const std::string clients = "http://" + self.address;
  const std::string peers = "http://" + self.peer;
  return {program,
          "--name",
          self.name,
          "--data-dir",
          self.dir,
          "--listen-client-urls",
          clients,
          "--advertise-client-urls",
          clients,
          "--listen-peer-urls",
          peers,
          "--initial-advertise-peer-urls",
          peers,
          "--initial-cluster",
          cluster,
          "--initial-cluster-state",
          "new",
          "--max-txn-ops",
          std::to_string(etcd::kTransactionOperationsMax),
          "--max-request-bytes",
          std::to_string(etcd::kTransactionBytesMax),
          "--auto-compaction-mode",
          "periodic",
          "--auto-compaction-retention",
          "10m",
          "--quota-backend-bytes",
          std::to_string(4 * kGiB),
          "--logger",
          "zap"};
}

}  // namespace cairn::cli
