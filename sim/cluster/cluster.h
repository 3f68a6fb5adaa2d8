/// Cluster: the servers of a simulated run, each on a host of its own, and how they are started,
/// crashed and restarted as a supervisor does on real machines.
/// Threads: one.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "chunkserver/chunkserver.h"
#include "kv/replicated_store.h"
#include "mds/mds.h"
#include "mds/member.h"
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
  /// From now on start() does nothing: the machine is gone, or stands still until it is recalled.
  void retire() { is_retired_ = true; }
  void recall() { is_retired_ = false; }
  bool is_retired() const { return is_retired_; }

 protected:
  virtual void build(io::Env env) = 0;
  virtual io::Task<Status> start_server() = 0;
  virtual void destroy() = 0;
  /// What this object keeps for the host loses what was not durable.
  virtual void lose_unsynced() {}

 private:
  io::Task<void> run_start();
  void retry_later();

  Host& host_;
  bool has_started_ = false;
  bool is_retired_ = false;
  std::string start_error_;
  uint32_t starts_count_ = 0;
};

class MdsNode : public ServerNode {
 public:
  MdsNode(Host& host, const ClusterShape& shape);
  const io::Address& address() const { return address_; }
  virtual bool is_active() const = 0;

 protected:
  mds::Options options() const;
  kv::MemoryMetaStore store_;  ///< outlives crashes

 private:
  const ClusterShape shape_;
  const io::Address address_;
};

/// The only one.
class LoneMdsNode final : public MdsNode {
 public:
  using MdsNode::MdsNode;
  bool is_active() const override { return has_started(); }

 private:
  void build(io::Env env) override;
  io::Task<Status> start_server() override { return mds_->start(); }
  void destroy() override { mds_.reset(); }

  std::unique_ptr<mds::Mds> mds_;
};

/// One of several, each with a replica of the metadata.
class MemberMdsNode final : public MdsNode {
 public:
  /// `members` are the same on each.
  MemberMdsNode(Host& host, const ClusterShape& shape, NodeId self,
                std::map<NodeId, io::Address> members);
  bool is_active() const override { return has_started() && member_->active() != nullptr; }

 private:
  void build(io::Env env) override;
  io::Task<Status> start_server() override;
  void destroy() override;
  void lose_unsynced() override;

  kv::ReplicatedOptions options_;
  std::unique_ptr<rpc::Client> client_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<kv::ReplicatedStore> replica_;
  std::unique_ptr<mds::Member> member_;
};

class ChunkserverNode : public ServerNode {
 public:
  ChunkserverNode(Host& host, const Plan& plan, std::vector<io::Address> mds);
  const io::Address& address() const { return address_; }
  /// Its Raft groups; null while it is down or starting.
  multiraft::Host* raft() { return server_ ? server_->raft() : nullptr; }

 private:
  void build(io::Env env) override;
  io::Task<Status> start_server() override { return server_->start(); }
  void destroy() override { server_.reset(); }

  const Plan plan_;
  const std::vector<io::Address> mds_;
  const io::Address address_;
  std::unique_ptr<chunkserver::Chunkserver> server_;
};

class Cluster {
 public:
  /// Adds the hosts to the world and starts the servers.
  Cluster(World& world, const Plan& plan);
  /// Crashes what is up.
  ~Cluster();

  std::vector<std::unique_ptr<MdsNode>>& mds() { return mds_; }
  std::vector<io::Address> mds_addresses() const;
  std::vector<std::unique_ptr<ChunkserverNode>>& chunkservers() { return chunkservers_; }
  /// All servers, the MDS first; those that are retired, too.
  std::vector<ServerNode*> servers();
  /// On a host of its own; not started.
  ChunkserverNode& add_chunkserver();

 private:
  World& world_;
  const Plan plan_;
  std::vector<std::unique_ptr<MdsNode>> mds_;
  std::vector<std::unique_ptr<ChunkserverNode>> chunkservers_;
};

/// What frames look like on the wire, for the fabric's frame faults.
FrameCodec rpc_frame_codec();
/// The key of the simulated cluster.
rpc::ClusterKey cluster_key();

}  // namespace cairn::sim
