/// EtcdMds: what a process runs that is one of several MDS which keep their metadata in etcd.
/// Threads: one reactor. Lifetime: the process outlives it; stop() before it is destroyed.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cli/context.h"
#include "io/inbox.h"
#include "mds/member.h"
#include "rpc/server.h"
#include "store/etcd/election.h"
#include "store/etcd/failover.h"

namespace CLI {
class App;
}

namespace cairn::cli {

struct EtcdFlags {
  std::vector<std::string> endpoints;
  std::string prefix = "cairn";
  std::string ca_file;  ///< of TLS, as the next two; empty: none
  std::string cert_file;
  std::string key_file;
};
void add_etcd_options(CLI::App& command, EtcdFlags& flags);

/// How a process reaches an etcd.
class EtcdConnection {
 public:
  /// Errors: kInvalidArgument: an endpoint, the prefix, what TLS needs; kNotFound: a file of TLS.
  static Result<std::unique_ptr<EtcdConnection>> open(Process& process, const EtcdFlags& flags);
  etcd::Etcd& etcd() { return failover_; }

 private:
  EtcdConnection(io::Env env, std::unique_ptr<io::Inbox> inbox,
                 std::vector<etcd::Endpoint> endpoints)
      : inbox_(std::move(inbox)), failover_(env, std::move(endpoints)) {}

  std::unique_ptr<io::Inbox> inbox_;
  etcd::Failover failover_;
};

class EtcdMds {
 public:
  /// `advertise`: HOST:PORT at which others reach this MDS.
  static Result<std::unique_ptr<EtcdMds>> open(Process& process, const EtcdFlags& flags,
                                               const std::string& advertise, mds::Options options);
  io::Task<Status> start();
  io::Task<void> stop();
  Status health() const;
  /// As mds::Mds::view; kNotLeader where another one is the active one, and which.
  Result<std::string> view(std::string_view name) const { return member_.view(name); }

 private:
  EtcdMds(Process& process, std::unique_ptr<EtcdConnection> connection,
          etcd::ElectionOptions election, mds::Options options);

  const io::Address listen_;
  const std::unique_ptr<EtcdConnection> connection_;
  rpc::Server server_;
  etcd::EtcdElection election_;
  mds::Member member_;
};

}  // namespace cairn::cli
