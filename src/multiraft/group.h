/// Group: one member of one Raft group, between the pure core and the host's log, network and state
/// machine. What its parts do stands in:
///   group.cc           start, messages in, Ready out, proposals
///   group_storage.cc   the log: writes, completions, payloads read back
///   group_apply.cc     committed entries to the state machine, proposers resumed
///   group_reads.cc     lease, heartbeats, read barrier
///   group_quiet.cc     followers bound to their leader's host, leaders at rest
///   group_snapshot.cc  snapshots taken and installed
///   group_members.cc   changes of members, transfer of leadership
///
/// Order:   term and vote stand in the log before entries of that term; a message that claims
///          durability leaves when the log says that all it rests on is durable; everything else
///          leaves at the end of its turn, so that followers write while the leader does.
/// Threads: one reactor. Internal to multiraft: users see Node and StateMachine.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <set>

#include "base/planted_bug.h"
#include "io/env.h"
#include "io/sync.h"
#include "multiraft/codec.h"
#include "multiraft/group_log.h"
#include "multiraft/host_beats.h"
#include "multiraft/lease.h"
#include "multiraft/node.h"
#include "multiraft/options.h"
#include "multiraft/payload_cache.h"
#include "multiraft/snapshot_files.h"
#include "multiraft/state_machine.h"
#include "multiraft/transport.h"
#include "raft/raw_node.h"
#include "store/wal/wal.h"

namespace cairn::multiraft {

/// What a group uses of its host.
class GroupHost {
 public:
  virtual ~GroupHost() = default;
  virtual io::Env& env() = 0;
  virtual const HostOptions& options() const = 0;
  /// Log that a group keeps behind its snapshot, for members that lag.
  virtual uint64_t retained_log_bytes() const = 0;
  virtual NodeId self() const = 0;
  virtual wal::Wal& wal() = 0;
  virtual Transport& transport() = 0;
  virtual PayloadCache& cache() = 0;
  virtual wal::Lsn durable() const = 0;
  virtual HostBeats& beats() = 0;
  virtual SnapshotFiles& snapshot_files() = 0;
  virtual io::Task<Status> wait_durable(wal::Lsn lsn) = 0;
  /// The beats of `leader` have stopped: the groups that are bound to it are released.
  virtual void on_leader_silent(NodeId leader) = 0;
  /// Group::on_durable() is called once the log has reached `after`; in the order of calls.
  virtual void notify_when_durable(Group& group, wal::Lsn after) = 0;
  /// The group has put itself out of service. A device error is the disk's: all groups follow.
  virtual void on_group_failed(const Error& reason) = 0;
  /// process_ready() is called at the end of this turn, and tick() from the next tick on.
  virtual void mark_ready(Group& group) = 0;
  /// process_ready() is called now, if it was due: its memory is at hand.
  virtual void settle(Group& group) = 0;
};

class Group {
 public:
  /// Starts from what the write-ahead log held. Errors: kCorrupt.
  static Result<std::unique_ptr<Group>> create(GroupHost& host, GroupId id, StateMachine& machine,
                                               wal::RecoveredGroup recovered);
  ~Group();
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;

  GroupId id() const { return id_; }
  Node& node() { return node_; }
  StateMachine& machine() { return machine_; }
  /// What the state machine described at the last snapshot, for StateMachine::on_recover.
  const GroupState& recovered_state() const { return recovered_state_; }
  /// After on_recover: takes part from now on.
  void start();

  // From the host.
  /// `beats`: a leader sends its heartbeats in this tick. Ticks go on while the group marks itself
  /// ready: not while it is bound to a leader's host, nor while it leads and all is at rest.
  void tick(bool beats);
  void receive(raft::Message message);
  void receive_heartbeat(NodeId from, const GroupHeartbeat& heartbeat);
  void receive_heartbeat_answer(NodeId from, const GroupHeartbeatAnswer& answer);
  /// The host that this member is bound to; none: its own ticks tell it that a leader is gone.
  NodeId bound_to() const { return bound_to_; }
  enum class LeaderIs : uint8_t { kGone, kNotKnown };
  /// The bond ends. With kGone this member, or the next in rank, campaigns in its turn.
  void release(LeaderIs leader_is);
  /// The host of a member answers again after a silence, has fallen silent, or has left bonds.
  void on_peer_news(NodeId peer);
  void undeliverable(const raft::Message& message);
  void process_ready();
  void on_durable(wal::Lsn up_to);
  /// Out of service, for good: its waiters are told, and it takes no part any more.
  void fail(Error reason);
  bool drop_payload(LogIndex index, Term term);
  bool can_snapshot() const;
  bool wants_snapshot() const;
  /// What a restart would have to apply again.
  uint64_t replay_bytes() const { return written_bytes_; }
  /// No new work begins, and everything that waits is told kClosed.
  void begin_stop();
  /// The same; returns when nothing of the group is under way any more.
  io::Task<void> stop();
  bool has_failed() const { return failed_.has_value(); }
  /// What the log's mark says: members and epoch as of the last snapshot, and what the machine
  /// saved with it.
  const raft::SnapshotPtr& last_snapshot() const { return log_.last_snapshot(); }

  // Behind Node.
  io::Task<Result<LogIndex>> apply(Buffer head, Buffer payload, Term only_in);
  io::Task<Status> read_barrier();
  io::Task<Status> drain();
  /// Keeps some log for members that lag, unless the log is over its limit.
  enum class Keep : uint8_t { kRetainedLog, kNothing };
  io::Task<Status> take_snapshot(Keep keep = Keep::kRetainedLog);
  io::Task<Result<Epoch>> change_members(raft::ConfChangeV2 change);
  io::Task<Status> add_learner(NodeId node);
  io::Task<Status> add_member(NodeId node);
  io::Task<Status> remove_member(NodeId node);
  io::Task<Status> set_members(std::vector<NodeId> voters);
  io::Task<Status> reset_members(std::vector<NodeId> to);
  io::Task<Status> transfer_leadership(NodeId to);
  Result<io::Gate::Holder> pin() { return gate_.enter(); }
  bool is_leader() const { return !failed_ && raw_->role() == raft::Role::kLeader; }
  Term term() const { return raw_->term(); }
  bool is_ready_leader() const { return started_term_ == raw_->term() && is_leader(); }
  NodeId leader() const { return failed_ ? NodeId() : raw_->leader(); }
  NodeStatus status() const;
  const raft::RawNode& core() const { return *raw_; }

  bool is_ready_marked = false;  ///< the host's note: stands in its list of this turn
  bool is_ticking = false;       ///< the host's note: stands in its list for the next tick

 private:
  /// A caller of apply(), in its frame; listed in the order of index.
  struct Proposal;
  struct PendingResponses {
    wal::Lsn after;
    std::vector<raft::Message> responses;
  };

  Group(GroupHost& host, GroupId id, StateMachine& machine, raft::HardState hard_state,
        raft::EntryId base, raft::SnapshotPtr snapshot, GroupState state);

  // group.cc
  Status check_in_service() const;
  void greet_members();
  void note_role();
  void dispatch(raft::Message message);
  void send_to_peer(raft::Message message);
  bool is_redundant_commit_notice(const raft::Message& message);
  void step(raft::Message message);
  void fail_proposals(const Error& reason);

  // group_storage.cc
  void store(raft::Message message);
  void write(raft::Message& message);
  void write_hard_state();
  void note_conf_change(LogIndex index);
  void deliver(std::vector<raft::Message> responses);
  void deliver_when_durable(std::vector<raft::Message> responses);
  bool needs_payloads(const raft::Message& message) const;
  struct PayloadReads;
  io::Task<Status> read_payloads(raft::Entries* entries);
  io::Task<void> read_some_payloads(PayloadReads* reads);
  io::Task<void> send_with_payloads();

  // group_apply.cc
  io::Task<void> apply_loop();
  io::Task<Status> apply_entries(raft::Entries entries);
  io::Task<Status> apply_refused(std::vector<Command>* commands, Error reason);
  void note_refusal(const Error& reason);
  io::Task<Status> apply_commands(std::vector<Command> commands);
  io::Task<Status> remember_change(LogIndex index);
  Status apply_marker(const raft::Entry& entry);
  Result<Status> apply_conf_change(const raft::Entry& entry);
  void resolve_proposals(Term term, LogIndex index, const Status& outcome);
  void maybe_start_leading();

  // group_reads.cc
  const std::vector<NodeId>& voters() const { return raw_->config().voters.incoming.ids(); }
  const std::vector<NodeId>& voters_outgoing() const {
    return raw_->config().voters.outgoing.ids();
  }
  void send_heartbeats();
  void answer_heartbeat(const raft::Message& answer);
  bool lease_valid(Instant now);
  bool confirmed_since(Instant started) const;

  // group_quiet.cc
  struct FollowerBond {
    NodeId follower;
    uint64_t epoch = 0;  ///< of its host's support for ours, when it said so
    LogIndex commit;     ///< what it knew as committed
  };
  void bind(NodeId leader, Term term, uint64_t vouch);
  /// Called after every step: a bond holds for one leader in one term.
  void check_bond();
  void leave_bond();
  bool may_vote(Instant now);
  uint32_t rank_without(NodeId leader) const;
  void note_bond(NodeId follower, uint64_t epoch, LogIndex commit);
  /// The follower's host answers in the epoch in which the follower was bound.
  bool bond_holds(const FollowerBond& bond) const;
  /// Null unless it holds now.
  const FollowerBond* bond_with(NodeId follower) const;
  bool is_at_rest() const;
  bool is_at_rest(NodeId follower, LogIndex last) const;

  // group_members.cc
  Status check_leads() const;
  Status check_change(const raft::ConfChangeV2& change) const;
  Status check_new_voter(NodeId node) const;
  bool is_voter(NodeId node) const;
  bool is_learner(NodeId node) const;
  io::Task<Status> leave_joint(Term term);
  io::Task<Status> wait_caught_up(NodeId learner);
  NodeId best_successor() const;
  std::vector<NodeId> successors() const;
  void give_way();
  io::Task<Status> wait_transferred(NodeId to, Term term);
  io::Task<void> hand_over();
  /// Joined and given nothing yet, or reset: it has no configuration, and may have forgotten what
  /// it voted and acknowledged under the same name.
  bool is_blank() const { return log_.last_snapshot()->empty(); }
  bool may_take(const raft::Message& message) const;

  // group_snapshot.cc
  io::Task<void> take_wanted_snapshot();
  enum class Of : uint8_t { kWholeState, kPartialState };
  io::Task<Result<GroupState>> keep_saved(LogIndex index, Epoch epoch, Buffer data, Of of);
  bool names_file(LogIndex index) const;
  io::Task<void> remove_old_files();
  bool has_to_be_fetched(const raft::Message& message);
  io::Task<void> fetch_snapshot(SnapshotFile file);
  io::Task<void> replace_rotten_entries();
  io::Task<bool> sleep_before_retry(uint32_t attempt);
  /// The core has got a snapshot that is not installed: its configuration is ahead of ours.
  bool is_overtaken() const { return raw_->first_index() > applied_ + 1; }
  io::Task<void> install_loop();
  io::Task<Status> install(raft::Message message);
  io::Task<Status> describe_partial(raft::SnapshotPtr* snapshot, Epoch epoch);
  void adopt_snapshot(raft::Message& message, Epoch epoch, uint64_t missing_count);
  /// Enough has come of what the last snapshot says is missing that a restart should not have to
  /// look at it again; or all of it.
  bool has_become_fuller() const;
  io::Task<Status> count_again();
  void reprobe_snapshots();
  io::Task<Status> wait_between_batches();
  io::Task<Status> save_and_cut(Keep keep);
  void cut_log(raft::SnapshotPtr snapshot, Keep keep);

  GroupHost& host_;
  const GroupId id_;
  StateMachine& machine_;
  Logger logger_;
  Node node_;
  io::Gate gate_;  ///< of the flows in this group, those of Node's callers included

  GroupLog log_;
  GroupState recovered_state_;
  std::unique_ptr<raft::RawNode> raw_;
  std::optional<Error> failed_;
  bool stopping_ = false;
  bool processing_ = false;

  // What is in the write-ahead log, and what waits for it to be durable.
  Term written_term_;
  NodeId written_vote_;
  LogIndex written_commit_;  ///< what a restart will know as committed, beside the snapshot
  LogIndex written_change_;  ///< the last change of members that stands in the log
  wal::Lsn last_written_;
  std::deque<PendingResponses> pending_responses_;
  std::deque<raft::Message> sends_without_payloads_;  ///< bounded by the followers' windows
  bool sending_with_payloads_ = false;

  // Apply.
  std::deque<raft::Message> apply_queue_;  ///< bounded by the core: apply_bytes_max under way
  bool applying_ = false;                  ///< apply_loop() runs
  bool applying_batch_ = false;            ///< it has given entries to the state machine
  std::optional<Error> refusal_;           ///< why the machine takes nothing at present
  LogIndex applied_;
  Epoch epoch_;
  raft::ConfState configuration_;  ///< as of applied_; the core's may be ahead of it
  Instant configured_at_;          ///< when the last change of it was applied here
  io::Event progress_;             ///< applied_, role, lease or failure moved
  Proposal* proposals_first_ = nullptr;
  Proposal* proposals_last_ = nullptr;
  size_t proposals_count_ = 0;

  // Leadership.
  Term noted_term_;
  bool noted_leader_ = false;
  LogIndex leader_first_index_;  ///< once this is applied, so is all that came before our term
  Term started_term_;            ///< on_leader_start was called for it
  LeaderLease lease_;
  VoteGuard guard_;
  /// Follower: no ticks are counted while set; see host_beats.h.
  NodeId bound_to_;
  Term bound_term_;
  std::vector<FollowerBond> bonds_;  ///< leader: one a follower that has answered in this term
  uint64_t heartbeat_stamp_ = 0;     ///< of the heartbeat that is being answered
  /// Followers that answered a heartbeat while appends to them were unanswered: the next append
  /// without entries goes out, since its refusal is what tells that those were lost.
  std::set<NodeId> suspects_;

  // Snapshots.
  std::deque<raft::Message> held_appends_;  ///< behind a snapshot that is being installed
  std::optional<raft::Message> fetching_;   ///< to be stepped once its file is here
  bool installing_ = false;
  bool saving_ = false;
  bool save_waits_ = false;     ///< for the batch that is being applied; no other begins
  uint64_t written_bytes_ = 0;  ///< of entries since the last snapshot: what a restart applies
  uint64_t written_entries_ = 0;
  uint32_t ticks_to_reprobe_ = 0;
  uint32_t ticks_to_give_way_ = 0;
};

}  // namespace cairn::multiraft
