/// Host: all Raft groups of one process on one disk, with the log that they share.
///
/// A turn: messages, completions and proposals reach their groups; at its end every group that was
/// touched is asked once for what it has to do; what they write goes into one batch of the log and
/// what they send into one frame a peer.
///
/// Groups come by create() on all of their first members, or by join() on one that is added later.
/// They go by remove(), after Node::remove_member() has been committed. A group that is found
/// damaged is out of service until reset() (ADR-0010).
/// Threads:  one reactor.
/// Lifetime: the state machines and everything in Env outlive the Host; stop() before it is
///           destroyed, or take its frames apart first (a simulated crash).
/// Source:   docs/architecture.md.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "multiraft/group.h"
#include "multiraft/options.h"
#include "multiraft/peers.h"

namespace cairn::multiraft {

/// Who keeps the state machines' data, told when that of a removed group is no longer needed.
class GroupRecycler {
 public:
  virtual ~GroupRecycler() = default;
  /// Deletes all that the group's state machine has on the disk. Comes again, also after a restart,
  /// until it has succeeded.
  virtual io::Task<Status> erase(GroupId id) = 0;
};

class Host final : private GroupHost,
                   private wal::Listener,
                   private TransportReceiver,
                   private io::TurnHook {
 public:
  /// Makes the state machine of a group that the log holds; null: the group is not wanted any more.
  using MachineFactory = std::function<StateMachine*(GroupId)>;

  Host(io::Env env, NodeId self, rpc::Client& client, const PeerDirectory& peers,
       HostOptions options);
  ~Host() override;

  /// Opens the log, brings every group back to where it was, and starts them.
  /// Errors: kNotFound            this node had a log here, and it is gone with its votes: the disk
  ///                              may join under another NodeId alone, as a learner of its groups;
  ///         kPreconditionFailed  the log is another node's, or of another incarnation than
  ///                              wal_options.store_token: a copied or misplaced directory;
  ///         kCorrupt, kIo, kNoSpace. Nothing was started in any of them.
  /// A group that cannot be trusted is left out of service and listed by out_of_service(); the
  /// others run.
  io::Task<Status> open(io::Disk& disk, wal::WalOptions wal_options, MachineFactory factory);

  /// Makes a new group of `voters`, of which this host is one; durable on return. All members are
  /// made alike. Returns the one that is there if the group exists.
  io::Task<Result<Node*>> create(GroupId id, std::vector<NodeId> voters, StateMachine& machine);

  /// Makes a replica of a group that runs elsewhere; durable on return. It is blank and takes no
  /// part until the group's leader adds this host as a learner (Node::add_learner or add_member);
  /// until then, and as long as it is counted as a voter, it takes nothing: a host that lost what
  /// it had must be removed from the group before it joins again.
  /// Errors, as of create(): kPreconditionFailed: data of a removed replica still lies here: see
  /// purge().
  io::Task<Result<Node*>> join(GroupId id, StateMachine& machine);

  /// Takes a group off this host: calls on its Node end with kClosed, and it takes no part any
  /// more, also after a restart. Its Node is gone when this returns, and its state machine is no
  /// longer called; what that has on the disk stays for HostOptions::removed_data_kept and goes
  /// then by the recycler (without one: by the host's owner). Also for a group that is out of
  /// service. A member is removed from its group first: whom the others count on is missed. And
  /// most of those who vote without it have reached the epoch of that change (NodeStatus::epoch):
  /// one that does not know of it yet needs the old members to be elected. Errors: kNotFound.
  /// kUnavailable: something else is being done to the group. kIo.
  io::Task<Status> remove(GroupId id);
  /// Groups whose data waits to be deleted.
  std::vector<GroupId> removed() const;
  /// Deletes what a removed group has left, now. Errors: kNotFound; the recycler's.
  io::Task<Status> purge(GroupId id);
  /// Before open(); outlives the host.
  void set_recycler(GroupRecycler& recycler) { recycler_ = &recycler; }

  /// Makes a replica that is out of service (damaged, or failed) a blank one, as after join(): its
  /// log is forgotten, and its state machine is overwritten by the group's snapshot. For a
  /// scheduler or an operator, in this order: the group removes this member; reset(); the group
  /// adds it anew. In another order it takes nothing until that was done. Errors: kNotFound.
  /// kPreconditionFailed: the group is in service here; nothing was done. kUnavailable: something
  /// else is being done to it. kIo: the disk is dead.
  io::Task<Result<Node*>> reset(GroupId id, StateMachine& machine);

  Node* find(GroupId id);
  /// Running groups, by id.
  std::vector<std::pair<GroupId, Node*>> nodes();
  /// Groups that were found damaged at open() and not reset since, with the reason.
  const std::map<GroupId, std::string>& out_of_service() const { return out_of_service_; }

  /// The handler of Method::kRaftBatch.
  void on_batch(rpc::Call<wire::RaftBatch> batch);
  /// The handler of Method::kFetchSnapshot. Errors: those of SnapshotFiles::read_piece.
  io::Task<Result<rpc::Answer<wire::FetchSnapshotReply>>> on_fetch_snapshot(
      rpc::Call<wire::FetchSnapshotRequest> call);

  /// The peer answers this host's beats: of those that follow groups led here, when they are asked.
  bool is_answered_by(NodeId peer) const { return beats_.answers(peer); }

  /// The log has failed: the disk is dead until the process starts again.
  const std::optional<Error>& disk_error() const { return disk_error_; }
  /// The same verdict from another user of the disk (a chunk file that cannot be flushed).
  void fail_disk(Error reason);
  wal::Wal& log() { return *wal_; }
  /// Of this node's log; drawn with it. What knows nodes may keep it and hand it to the next open()
  /// as wal_options.store_token, so that a node whose disk was exchanged does not pass for itself.
  uint64_t incarnation() const { return wal_->store_token(); }

  /// Tells all waiters, finishes what is under way, closes the log.
  io::Task<void> stop();

 private:
  // GroupHost
  io::Env& env() override { return env_; }
  const HostOptions& options() const override { return options_; }
  uint64_t retained_log_bytes() const override;
  NodeId self() const override { return self_; }
  wal::Wal& wal() override { return *wal_; }
  Transport& transport() override { return transport_; }
  PayloadCache& cache() override { return cache_; }
  wal::Lsn durable() const override { return durable_; }
  HostBeats& beats() override { return beats_; }
  SnapshotFiles& snapshot_files() override { return *snapshot_files_; }
  io::Task<Status> wait_durable(wal::Lsn lsn) override;
  void on_leader_silent(NodeId leader) override;
  void notify_when_durable(Group& group, wal::Lsn after) override;
  void on_group_failed(const Error& reason) override;
  void mark_ready(Group& group) override;
  void settle(Group& group) override;
  // wal::Listener
  void on_durable(wal::Lsn up_to) override;
  void on_failed(Error reason) override;
  // TransportReceiver
  void on_message(GroupId group, raft::Message message) override;
  void on_heartbeat(NodeId from, const GroupHeartbeat& heartbeat) override;
  void on_heartbeat_answer(NodeId from, const GroupHeartbeatAnswer& answer) override;
  void on_beat(NodeId from, uint64_t vouch, uint64_t stamp) override;
  void on_beat_answer(NodeId from, uint64_t epoch, uint64_t stamp) override;
  void on_undeliverable(GroupId group, const raft::Message& message) override;
  // io::TurnHook
  void on_turn_end() override;

  Group* group(GroupId id);
  io::Task<Status> recover(wal::RecoveredGroup recovered, MachineFactory* factory);
  io::Task<Status> add_group(wal::RecoveredGroup recovered, StateMachine& machine);
  io::Task<Result<Node*>> begin_group(GroupId id, wal::SnapshotMark mark, StateMachine* machine);
  io::Task<Result<Node*>> begin_alone(GroupId id, wal::SnapshotMark mark, StateMachine* machine);
  Status check_free(GroupId id) const;
  io::Task<Status> remove_alone(GroupId id);
  io::Task<Result<Node*>> reset_alone(GroupId id, StateMachine* machine);
  static wal::SnapshotMark blank_mark();
  io::Task<Status> purge_alone(GroupId id);
  io::Task<void> take_apart(GroupId id);
  void purge_expired();
  io::Task<void> purge_in_background(GroupId id);
  io::Task<Status> make_group(GroupId id, wal::SnapshotMark mark, StateMachine* machine);
  void tick();
  void tick_groups(bool beats);
  void release_bound_to(NodeId leader, Group::LeaderIs leader_is);
  void tell_peer_news(NodeId peer);
  void start_snapshots();
  std::vector<GroupId> groups_in_the_way() const;
  std::vector<GroupId> groups_by_replay() const;
  std::vector<GroupId> groups_to_save() const;
  void start_snapshot(GroupId id, Group::Keep keep);
  io::Task<void> snapshot(GroupId id, Group::Keep keep);
  io::Task<void> save_groups();
  void shrink_cache();

  /// Marks a group as one that is being made or removed, for as long as it lives.
  class ChangeOf {
   public:
    ChangeOf(Host& host, GroupId id) : host_(host), id_(id) {
      CHECK(host_.changing_.insert(id_).second, "one change of a group at a time");
    }
    ~ChangeOf() {
      host_.changing_.erase(id_);
      host_.changed_.notify_all();
    }
    ChangeOf(const ChangeOf&) = delete;
    ChangeOf& operator=(const ChangeOf&) = delete;

   private:
    Host& host_;
    const GroupId id_;
  };

  io::Env env_;
  NodeId self_;
  HostOptions options_;
  rpc::Client& client_;
  const PeerDirectory& peers_;
  Transport transport_;
  PayloadCache cache_;
  HostBeats beats_;
  io::Gate gate_;
  io::Event durable_moved_;
  wal::Lsn durable_;
  std::optional<Error> disk_error_;

  std::unique_ptr<SnapshotFiles> snapshot_files_;
  std::unique_ptr<wal::Wal> wal_;
  std::map<GroupId, std::unique_ptr<Group>> groups_;
  std::unordered_map<GroupId, Group*> groups_by_id_;  ///< the same, for the hot path
  Group* receiving_ = nullptr;  ///< within on_batch(): has messages that are not processed yet
  std::map<GroupId, std::string> out_of_service_;
  std::set<GroupId> changing_;          ///< being made or removed; bounded by the callers
  io::Event changed_;                   ///< one of changing_ is done
  io::Event snapshot_taken_;            ///< or has failed
  std::map<GroupId, Instant> removed_;  ///< and when their data is deleted
  GroupRecycler* recycler_ = nullptr;
  std::vector<Group*> ready_;
  std::deque<std::pair<wal::Lsn, GroupId>> durable_notices_;  ///< ascending
  std::vector<GroupId> ticking_;  ///< those that are not quiet; at most once each
  uint64_t ticks_ = 0;
  io::Timer tick_timer_;
  io::Timer snapshot_timer_;
  size_t snapshots_count_ = 0;  ///< under way
  GroupId last_snapshot_of_;    ///< the last one that was begun

  static constexpr size_t kPinningGroupsMax = 64;  ///< looked at in one check
  static constexpr int64_t kPressedChecks = 50;    ///< for one, while the log is over its limit

  Gauge& groups_gauge_;
  Gauge& groups_ticking_;
  Counter& groups_failed_;
  Gauge& disk_failed_;
};

}  // namespace cairn::multiraft
