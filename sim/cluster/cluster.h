/// Cluster: the servers of a simulated run, each on a host of its own, and how they are started,
/// crashed and restarted as a supervisor does on real machines.
/// Threads: one.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "chunkserver/chunkserver.h"
#include "mds/mds.h"
#include "sim/cluster/plan.h"
#include "sim/io/world.h"
#include "store/kv/memory_meta_store.h"

namespace cairn::sim {

/// One server: its host, what runs on it, and how to build that anew.
class ServerNode {
 public:
  explicit ServerNode(Host& host) : host_(host) {}
  virtual ~ServerNode() = default;
  ServerNode(const ServerNode&) = delete;
  ServerNode& operator=(const ServerNode&) = delete;

  Host& host() { return host_; }
  bool is_up() const { return host_.is_running(); }
  /// Whether the current start has succeeded.
  bool has_started() const { return has_started_; }
  const std::string& start_error() const { return start_error_; }
  uint32_t starts_count() const { return starts_count_; }

  /// Boots the host unless it is up, and starts the server on it.
  void start();
  void crash(CrashKind kind);

 protected:
  virtual void build(io::Env env) = 0;
  virtual io::Task<Status> start_server() = 0;
  virtual void destroy() = 0;

 private:
  io::Task<void> run_start();
  void retry_later();

  Host& host_;
  bool has_started_ = false;
  std::string start_error_;
  uint32_t starts_count_ = 0;
};

class MdsNode : public ServerNode {
 public:
  MdsNode(Host& host, const ClusterShape& shape);
  io::Address address() const { return address_; }

 private:
  void build(io::Env env) override;
  io::Task<Status> start_server() override { return mds_->start(); }
  void destroy() override { mds_.reset(); }

  const ClusterShape shape_;
  const io::Address address_;
  kv::MemoryMetaStore store_;  ///< outlives crashes
  std::unique_ptr<mds::Mds> mds_;
};

class ChunkserverNode : public ServerNode {
 public:
  ChunkserverNode(Host& host, const Plan& plan, io::Address mds);
  io::Address address() const { return address_; }
  /// Its Raft groups; null while it is down or starting.
  multiraft::Host* raft() { return server_ ? server_->raft() : nullptr; }

 private:
  void build(io::Env env) override;
  io::Task<Status> start_server() override { return server_->start(); }
  void destroy() override { server_.reset(); }

  const Plan plan_;
  const io::Address mds_;
  const io::Address address_;
  std::unique_ptr<chunkserver::Chunkserver> server_;
};

class Cluster {
 public:
  /// Adds the hosts to the world and starts the servers.
  Cluster(World& world, const Plan& plan);
  /// Crashes what is up.
  ~Cluster();

  MdsNode& mds() { return *mds_; }
  std::vector<std::unique_ptr<ChunkserverNode>>& chunkservers() { return chunkservers_; }
  /// All servers, the MDS first.
  std::vector<ServerNode*> servers();

 private:
  std::unique_ptr<MdsNode> mds_;
  std::vector<std::unique_ptr<ChunkserverNode>> chunkservers_;
};

/// What frames look like on the wire, for the fabric's frame faults.
FrameCodec rpc_frame_codec();
/// The key of the simulated cluster.
rpc::ClusterKey cluster_key();

}  // namespace cairn::sim
