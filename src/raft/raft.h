/// Raft: the state machine of one member of a group. Pure: messages and ticks in, state and
/// messages out; no clock, thread or I/O. RawNode wraps it for its host.
///
/// Where to find what:
///   raft.cc         making it, ticks, roles and what a change of role resets, sending
///   step.cc         the term of an incoming message, and who handles it
///   election.cc     campaigns and votes
///   proposal.cc     proposals, the leader's appends, limits
///   replication.cc  the leader: appends, snapshots and heartbeats to followers, their answers
///   follower.cc     a follower's answers to the leader
///   membership.cc   configuration changes and snapshots' configurations
///   reads.cc        linearizable reads
///   transfer.cc     leadership transfer
///   reset.cc        a new configuration for a group that lost its quorum
///
/// Source: Raft paper and dissertation; the behaviour of etcd-io/raft, to the message.
#pragma once

#include <concepts>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "raft/confchange/changer.h"
#include "raft/config.h"
#include "raft/log.h"
#include "raft/message.h"
#include "raft/read_only.h"
#include "raft/tracker/tracker.h"

namespace cairn::raft {

enum class Role : uint8_t { kFollower, kPreCandidate, kCandidate, kLeader };
std::string_view to_string(Role role);

/// State that need not be durable.
struct SoftState {
  NodeId leader;
  Role role = Role::kFollower;
  bool operator==(const SoftState&) const = default;
};

/// In a vote request: the leader wants this election, so leases do not stand against it.
inline constexpr std::string_view kTransferContext = "transfer";

/// Reads that wait for the leader to commit in its term; beyond that many they are refused.
inline constexpr size_t kEarlyReadsMax = kPendingReadsMax;

/// Terms come in generations of so many; elections never use one up. See reset.cc.
inline constexpr uint64_t kTermsPerGeneration = uint64_t{1} << 40;

class Raft {
 public:
  /// `config` is validated(); the configuration and hard state come from its storage.
  /// Errors: kCorrupt if what storage holds contradicts itself.
  static Result<std::unique_ptr<Raft>> create(const Config& config);

  /// Takes a message, local or from a member.
  /// Errors: kUnavailable "raft proposal dropped": a proposal was not taken here, nor passed on.
  ///         kOverloaded: a read was refused.
  Status step(Message message);
  void tick();
  /// Errors: kPreconditionFailed: the change is illegal; the configuration stays as it is.
  Result<ConfState> apply_conf_change(const ConfChangeV2& change);
  /// Whether apply_conf_change() would take `change` now, and no other one is on its way.
  /// Errors: kPreconditionFailed, with the reason.
  Status check_conf_change(const ConfChangeV2& change) const;
  /// See RawNode::reset_configuration().
  Status reset_configuration(const NodeSet& voters, const NodeSet& learners);

  NodeId id() const { return id_; }
  Term term() const { return term_; }
  NodeId leader() const { return leader_; }
  Role role() const { return role_; }
  NodeId transferee() const { return transferee_; }
  const Log& log() const { return log_; }
  const ProgressTracker& tracker() const { return tracker_; }
  SoftState soft_state() const { return {.leader = leader_, .role = role_}; }
  HardState hard_state() const {
    return {.term = term_, .vote = vote_, .commit = log_.committed()};
  }
  bool is_learner() const { return is_learner_; }
  /// A voter whose log is not waiting for a snapshot.
  bool promotable() const;
  void set_priority(uint32_t priority);
  bool is_partial() const { return is_partial_; }
  void set_partial(bool is_partial);
  void set_randomized_election_timeout(uint32_t ticks) { randomized_election_timeout_ = ticks; }
  void check_invariants() const;

 private:
  friend class RawNode;
  enum class Campaign { kPreElection, kElection, kTransfer };

  explicit Raft(const Config& config);
  Status restore(const Storage::InitialState& state, LogIndex applied);

  // raft.cc
  void become_follower(Term term, NodeId leader);
  void become_candidate();
  void become_pre_candidate();
  void become_leader();
  void reset(Term term);
  void tick_election();
  void tick_heartbeat();
  bool past_election_timeout() const {
    const uint32_t extra = (kPriorityMax - priority_) * election_timeout_;
    return election_elapsed_ >= randomized_election_timeout_ + extra;
  }
  void send(Message message);

  // step.cc
  Status step_in_term(Message message);
  bool step_term(const Message& message);
  bool step_newer_term(const Message& message);
  void step_older_term(const Message& message);
  Status step_by_role(Message message);
  Status step_leader(Message message);
  Status step_candidate(Message message);
  Status step_follower(Message message);
  void storage_appended(const Message& message);
  void snapshot_applied(const Snapshot& snapshot);
  void applied_to(LogIndex index, uint64_t bytes);
  void leave_joint_if_due();

  // election.cc
  void hup(Campaign kind);
  void campaign(Campaign kind);
  bool has_unapplied_conf_changes() const {
    return find_conf_change(log_.applied() + 1, log_.committed() + 1).has_value();
  }
  std::optional<LogIndex> find_conf_change(LogIndex low, LogIndex high) const;
  void answer_vote(const Message& message);
  void take_vote(const Message& message);

  // proposal.cc
  Status propose(Message message);
  void check_proposed_conf_change(Entry& entry, LogIndex index);
  bool append_entries(Entries entries);
  void acknowledge_own(LogIndex index);
  bool increase_uncommitted(uint64_t bytes);
  void reduce_uncommitted(uint64_t bytes);
  bool maybe_commit();
  bool committed_in_term() const;

  // replication.cc
  void broadcast_append();
  void send_due_appends();
  void send_what_is_due(NodeId to, Progress& progress);
  void broadcast_heartbeat();
  void broadcast_heartbeat(uint64_t read_sequence);
  void send_append(NodeId to, Progress& progress) { maybe_send_append(to, progress, true); }
  bool maybe_send_append(NodeId to, Progress& progress, bool send_if_empty);
  bool maybe_send_snapshot(NodeId to, Progress& progress);
  void send_heartbeat(NodeId to, Progress& progress, const Buffer& context);
  void take_append_response(const Message& message, Progress& progress);
  bool take_acknowledgment(const Message& message, Progress& progress);
  void announce_commit();
  void take_append_rejection(const Message& message, Progress& progress);
  void take_heartbeat_response(const Message& message, Progress& progress);
  void take_snapshot_status(const Message& message, Progress& progress);
  void check_quorum_active();

  // follower.cc
  Status follow(Message message);
  Status handle_append(const Message& message);
  Status handle_heartbeat(const Message& message);
  void handle_snapshot(const Message& message);
  bool restore_snapshot(const SnapshotPtr& snapshot);
  Status forward(Message message);
  void forget_leader();

  // membership.cc
  ConfState install(Changer::Outcome outcome);
  void replicate_to_new_configuration();
  void note_own_removal(const ConfChangeV2& change, LogIndex index);
  void find_own_removal();

  // reset.cc
  void resume_reset();
  bool is_reset_replaced(const Entries& entries) const;
  bool is_overtaken_by_reset(const Message& message) const;

  // reads.cc
  Status read_index(Message message);
  bool reads_by_lease() const {
    return read_only_option_ == ReadOnlyOption::kLeaseBased && !lease_void_;
  }
  void accept_read(NodeId from, Buffer context);
  void answer_read(NodeId from, Buffer context, LogIndex index);
  void release_early_reads();
  void release_confirmed_reads();

  // transfer.cc
  void transfer_leader(const Message& message, Progress& progress);
  void send_timeout_now(NodeId to);
  bool has_uncertain_conf_changes() const;
  void abort_transfer() { transferee_ = NodeId(); }

  void trace(std::string_view name, const Message* message = nullptr) const {
    if (trace_) [[unlikely]]
      trace_->on_event(trace_line(name, *this, message));
  }
  void trace_commit();

  // Parts are rendered only if somebody listens: pass objects, not their text.
  template <typename... Parts>
  void note(LogLevel level, const Parts&... parts) const {
    if (!observer_) [[likely]]
      return;
    std::string text;
    (put(text, parts), ...);
    observer_->on_log(level, text);
  }
  template <typename T>
  static void put(std::string& out, const T& part) {
    if constexpr (std::convertible_to<const T&, std::string_view>) {
      out += std::string_view(part);
    } else if constexpr (std::integral<T>) {
      out += std::to_string(part);
    } else {
      out += to_string(part);
    }
  }
  template <typename... Parts>
  void debug(const Parts&... parts) const {
    note(LogLevel::kDebug, parts...);
  }
  template <typename... Parts>
  void info(const Parts&... parts) const {
    note(LogLevel::kInfo, parts...);
  }
  template <typename... Parts>
  void warn(const Parts&... parts) const {
    note(LogLevel::kWarn, parts...);
  }

  // What the host configured.
  const NodeId id_;
  Rng& rng_;
  Observer* const observer_;
  TraceSink* trace_ = nullptr;  ///< set once there is a state to tell of
  const uint32_t election_timeout_;
  const uint32_t heartbeat_timeout_;
  const uint64_t size_per_message_max_;
  const uint64_t uncommitted_bytes_max_;
  const bool check_quorum_;
  const bool pre_vote_;
  const bool disable_proposal_forwarding_;
  const bool disable_conf_change_validation_;
  const bool step_down_on_removal_;
  const bool hold_proposals_on_removal_;
  const bool batch_appends_;
  const ReadOnlyOption read_only_option_;

  // Durable: see HardState.
  Term term_;
  NodeId vote_;

  Role role_ = Role::kFollower;
  bool is_learner_ = false;
  bool is_partial_ = false;  ///< see RawNode::set_partial()
  uint32_t priority_;        ///< see Config::priority
  NodeId leader_;
  NodeId transferee_;  ///< leader only: proposals are refused while a transfer is under way
  Log log_;
  ProgressTracker tracker_;

  /// Leader only: no configuration change is proposed before this index is applied. It is set
  /// generously (to the last index, on election), since it only delays.
  LogIndex pending_conf_index_;
  /// Leader only: the change that ends its own vote, if it has proposed one in this term.
  LogIndex leaving_index_;
  /// A reset that was ordered here, is in the log and not applied: its configuration is in force
  /// already, and changes that stand before it in the log change nothing any more.
  std::optional<ConfChangeV2> pending_reset_;
  LogIndex pending_reset_index_;
  /// Leader only: payload bytes proposed and not yet applied; an estimate from below.
  uint64_t uncommitted_bytes_ = 0;

  uint32_t election_elapsed_ = 0;   ///< ticks since the leader was heard from, or (leader) checked
  uint32_t heartbeat_elapsed_ = 0;  ///< leader only
  uint32_t randomized_election_timeout_ = 0;  ///< in [election_timeout_, 2 * election_timeout_)

  /// A transferee was told to campaign in this term. It may do so at any time, and its votes ignore
  /// leases, so that none is relied on any more.
  bool lease_void_ = false;
  PendingReads reads_;
  std::vector<PendingReads::Read> early_reads_;  ///< wait for committed_in_term(); bounded
  std::vector<ReadState> read_states_;           ///< for the next Ready

  LogIndex traced_commit_;  ///< what the trace has told of the commit index

  bool appends_due_ = false;  ///< with batch_appends_: the next Ready sends what followers lack

  std::vector<Message> messages_;  ///< for the next Ready; may leave at once
  /// For the next Ready; claim durability, so they leave once the unstable state is written.
  std::vector<Message> messages_after_append_;
};

}  // namespace cairn::raft
