/// ReplicatedMds: what a process runs that is one of several MDS on a replicated store of their
/// own. Threads: one reactor. Lifetime: the process outlives it; stop() before it is destroyed.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cli/context.h"
#include "kv/replicated_store.h"
#include "mds/member.h"
#include "store/kv/rocks_meta_store.h"

namespace cairn::cli {

/// "1=HOST:PORT" and so on. kInvalidArgument says what is wrong with which.
Result<std::map<NodeId, io::Address>> parse_peers(const std::vector<std::string>& peers);

class ReplicatedMds {
 public:
  /// Opens the folders `data`/store and `data`/wal.
  static Result<std::unique_ptr<ReplicatedMds>> open(Process& process, std::string data,
                                                     kv::ReplicatedOptions store,
                                                     mds::Options options);
  io::Task<Status> start();
  io::Task<void> stop();
  Status health() const;
  /// As mds::Mds::view; kNotLeader where another one is the active one, and which.
  Result<std::string> view(std::string_view name) const { return member_.view(name); }

 private:
  ReplicatedMds(Process& process, std::unique_ptr<io::Disk> disk,
                std::unique_ptr<kv::RocksMetaStore> local, kv::ReplicatedOptions store,
                mds::Options options);

  const io::Address listen_;
  std::unique_ptr<io::Disk> disk_;
  std::unique_ptr<kv::RocksMetaStore> local_;
  rpc::Client client_;
  rpc::Server server_;
  kv::ReplicatedStore store_;
  mds::Member member_;
};

}  // namespace cairn::cli
