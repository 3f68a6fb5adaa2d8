/// RaftMember: one process of a Raft run: a multiraft Host with its machines on a simulated host,
/// and the supervisor that starts it again.
/// Threads: one.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>

#include "multiraft/host.h"
#include "rpc/server.h"
#include "sim/io/world.h"
#include "sim/raft/register_machine.h"

namespace cairn::sim {

rpc::ClusterKey raft_sim_key();
/// What frames look like on the wire, for the fabric's frame faults.
FrameCodec raft_sim_frame_codec();

class RaftMember {
 public:
  RaftMember(Host& host, NodeId self, multiraft::PeerDirectory peers, RunContext& context);
  ~RaftMember();
  RaftMember(const RaftMember&) = delete;
  RaftMember& operator=(const RaftMember&) = delete;

  Host& host() { return host_; }
  NodeId self() const { return self_; }
  bool is_up() const { return host_.is_running(); }
  /// The current start has succeeded.
  bool has_started() const { return has_started_; }
  /// All groups that belong here have been made: from now on none may be missing.
  bool is_formed() const { return is_formed_; }
  const std::string& start_error() const { return start_error_; }

  void start();
  void crash(CrashKind kind);

  /// Null unless it has started.
  multiraft::Host* raft() { return has_started_ ? raft_.get() : nullptr; }
  /// Null unless the group is in service here.
  multiraft::Node* node(GroupId group);
  RegisterMachine* machine(GroupId group);
  bool leads_any();

  /// The nemesis has damaged the log on the disk: groups may be found quarantined.
  void note_corruption() { is_corrupted_ = true; }
  bool is_corrupted() const { return is_corrupted_; }
  /// A number of this start.
  uint32_t starts_count() const { return starts_count_; }
  /// Lets the witness look at every group here.
  void look(bool at_all = false);
  /// The process ends when its disk is dead or a group has failed; true if it did.
  bool restart_if_failed();

 private:
  void build();
  io::Task<void> run_start();
  void retry_later();
  io::Task<Status> open();
  io::Task<Status> form();
  void check_recovered();
  void on_batch(rpc::Call<wire::RaftBatch> batch);

  Host& host_;
  const NodeId self_;
  const multiraft::PeerDirectory peers_;
  RunContext& context_;
  bool has_started_ = false;
  bool is_formed_ = false;
  bool is_corrupted_ = false;
  uint32_t starts_count_ = 0;
  std::string start_error_;
  std::set<GroupId> quarantined_;  ///< once found so, for ever
  std::unique_ptr<rpc::Client> client_;
  std::unique_ptr<rpc::Server> server_;
  std::map<GroupId, std::unique_ptr<RegisterMachine>> machines_;
  std::unique_ptr<multiraft::Host> raft_;
};

}  // namespace cairn::sim
