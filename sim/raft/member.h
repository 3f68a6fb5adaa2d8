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
#include "sim/raft/under_way.h"

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

  // What an operator has done to a group's replica here; each ends by itself, or with a crash. One
  // at a time for a group; nothing is done unless it has started.
  /// Makes a blank replica unless there is one; what a removed one has left goes first.
  void order_join(GroupId group);
  /// The group must not count on this member any more. `purges`: its data is deleted at once.
  void order_remove(GroupId group, bool purges);
  /// Of a group that is out of service here.
  void order_reset(GroupId group);
  /// One of these is under way.
  bool is_changing(GroupId group) const {
    const auto found = changes_.find(group);
    return found != changes_.end() && found->second > 0;
  }
  bool is_out_of_service(GroupId group);

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
  void retry_later(CrashKind kind);
  io::Task<Status> open();
  io::Task<Status> form();
  void check_recovered();
  void check_recovered(GroupId group);
  RegisterMachine& make_machine(GroupId group);
  void retire_machine(GroupId group);
  bool may_change(GroupId group) { return has_started_ && !is_changing(group); }
  io::Task<void> join(GroupId group);
  io::Task<void> remove(GroupId group, bool purges);
  io::Task<void> reset(GroupId group);
  void on_batch(rpc::Call<wire::RaftBatch> batch);
  io::Task<Result<rpc::Answer<wire::FetchSnapshotReply>>> on_fetch_snapshot(
      rpc::Call<wire::FetchSnapshotRequest> call);

  Host& host_;
  const NodeId self_;
  const multiraft::PeerDirectory peers_;
  RunContext& context_;
  bool has_started_ = false;
  bool is_formed_ = false;
  bool is_corrupted_ = false;
  uint32_t starts_count_ = 0;
  std::string start_error_;
  std::set<GroupId> quarantined_;  ///< once found so, until it was reset or removed
  std::set<GroupId> held_;         ///< have a replica here that must survive whatever comes
  std::set<GroupId> gone_;         ///< have been removed for good, and not joined since
  std::map<GroupId, size_t> changes_;
  std::unique_ptr<rpc::Client> client_;
  std::unique_ptr<rpc::Server> server_;
  std::map<GroupId, std::unique_ptr<RegisterMachine>> machines_;
  /// Of replicas that are gone: kept until the process ends, to see that nobody calls them.
  std::vector<std::unique_ptr<RegisterMachine>> retired_machines_;
  std::unique_ptr<multiraft::Host> raft_;
};

/// The one that believes to lead the group in the greatest term, and is not paused; null: none.
RaftMember* believed_leader(std::vector<std::unique_ptr<RaftMember>>& members, GroupId group);

}  // namespace cairn::sim
