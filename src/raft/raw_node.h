/// RawNode: one member of a Raft group, driven by its host.
///
/// The host feeds it messages (step), time (tick) and proposals, and whenever has_ready() takes
/// what there is to do. Storage and the state machine work in one of two ways:
///
///   synchronous    write ready.hard_state, .entries and .snapshot (flush if .must_sync or if there
///                  is a snapshot), then send .messages, apply .committed_entries, and advance().
///   asynchronous   (Config::async_storage_writes) send .messages at once; those to kAppendThread
///                  and kApplyThread are work for the host: when it is done, step those of their
///                  `responses` that are for this node, and send the others. No advance(). Work of
///                  one kind is done in the order in which it was handed out. The other fields
///                  tell the same once more.
///
/// For each committed entry of a conf-change type the host calls apply_conf_change() as it applies
/// it.
///
/// Threads:  one reactor. Lifetime: what Config borrows outlives the node.
/// Source:   the contract of etcd-io/raft's RawNode.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "raft/raft.h"

namespace cairn::raft {

/// What is to be done. Empty members: nothing of that kind.
struct Ready {
  std::optional<SoftState> soft_state;  ///< if it changed
  HardState hard_state;                 ///< empty() if it did not change
  std::vector<ReadState> read_states;   ///< serve each once its index is applied
  Entries entries;                      ///< to be written before .messages leave
  SnapshotPtr snapshot;                 ///< to be installed before .messages leave; null: none
  Entries committed_entries;            ///< to be applied, in order
  std::vector<Message> messages;
  /// Term, vote or entries must be flushed. Otherwise only the commit index changed, which may be
  /// lost: writing without a flush will do.
  bool must_sync = false;
};

/// Everything that a person may want to know of a node.
struct RaftStatus {
  NodeId id;
  HardState hard_state;
  SoftState soft_state;
  LogIndex applied;
  NodeId transferee;
  TrackerConfig config;
  ProgressMap progress;  ///< leader only
};

class RawNode {
 public:
  /// Errors: kInvalidArgument (config), kCorrupt (what storage holds contradicts itself).
  static Result<std::unique_ptr<RawNode>> create(Config config);

  /// Makes the first members of a new group: entries that add `peers`, committed at once. Every
  /// member is given the same peers. (Storage that starts with a snapshot needs none of this.)
  /// Errors: kPreconditionFailed if the log is not empty; kInvalidArgument.
  Status bootstrap(const std::vector<NodeId>& peers);

  void tick() { raft_->tick(); }
  /// A leader sends its heartbeats now, besides those that tick() sends.
  void send_heartbeats();
  /// Starts an election, unless this node may not lead.
  void campaign();

  /// Errors: kUnavailable: no leader, or it is being replaced, or its limit of uncommitted bytes is
  ///         reached. Nothing was proposed. Success promises nothing yet.
  Status propose(Entries entries);
  Status propose(Buffer head);
  /// As propose(). A change that cannot be made now is committed as an empty entry.
  Status propose_conf_change(const ConfChangeV2& change);
  Status propose_conf_change(const ConfChange& change);
  /// Returns the configuration from now on. The change must be one that was committed.
  /// Errors: kPreconditionFailed: it is illegal; nothing changed, on any member.
  Result<ConfState> apply_conf_change(const ConfChangeV2& change) {
    return raft_->apply_conf_change(change);
  }

  /// Whether propose_conf_change() would do what it is asked to, and its entry not be emptied.
  /// Errors: kPreconditionFailed: the change is illegal, or another one is not applied yet.
  Status check_conf_change(const ConfChangeV2& change) const {
    return raft_->check_conf_change(change);
  }
  /// Leader only: whether `member` has all but the last `lag_entries_max` entries of the log, and
  /// was heard from lately. A new member joins as a learner and votes when this says so: as a voter
  /// with an empty log it would hold up the commits that need it.
  bool is_caught_up(NodeId member, uint64_t lag_entries_max) const;
  /// Proposes that a learner votes, and that a voter becomes a learner (also before it is removed:
  /// then it cannot disturb elections while it does not know yet that it is gone). The leader may
  /// demote or remove itself; see Config::step_down_on_removal.
  /// Errors: kNotLeader. kNotFound: no such learner or voter. kPreconditionFailed: it has not
  ///         caught up, or see check_conf_change(). kUnavailable: see propose().
  Status promote(NodeId learner, uint64_t lag_entries_max);
  Status demote(NodeId voter);

  /// UNSAFE, an operator's last resort: gives a group that has lost its quorum for ever the members
  /// `voters` and `learners`, by the word of this survivor alone, which must be one of `voters`.
  /// This member's log becomes the group's: what it does not hold is lost, acknowledged or not, and
  /// what it holds is committed, acknowledged or not. So of several survivors take the one with the
  /// greatest (term, index) of its last entry, and never reset two of them.
  ///
  /// The reset stands in the log as an entry of a new generation of terms (see kTermsPerGeneration)
  /// and in force from now on, also after a restart. This member campaigns at once; the reset is
  /// done when the new voters have committed the entry and apply_conf_change() has taken it. Until
  /// then it may be done again, differently. Members that are left out cannot come back: this
  /// group neither takes nor answers what they say, so that they never learn of its terms.
  /// Errors: kInvalidArgument: this node is no voter, or a member is named twice.
  ///         kPreconditionFailed: it follows a leader, or leads and would notice if it had lost its
  ///         quorum; or the generations are used up.
  ///         kUnavailable: a snapshot is being installed; try again. Nothing was changed.
  Status reset_configuration(const std::vector<NodeId>& voters,
                             const std::vector<NodeId>& learners);

  /// Takes a message from a member, or a response of the host's own storage or state machine.
  /// Errors: kInvalidArgument: a local message from outside. kNotFound: an answer from a stranger.
  ///         kProtocol: a message that makes no sense. kCorrupt: the log lost what was
  ///         acknowledged; this member must not go on. kUnavailable, kOverloaded: see propose(),
  ///         read_index(). In each case the message had no effect.
  Status step(Message message);

  bool has_ready() const;
  /// Takes what there is to do. In the synchronous way, advance() comes before the next ready().
  Ready ready();
  void advance();
  void advance(const Ready&) { advance(); }

  /// The transport could not deliver to `id`; it delivered a snapshot, or failed to. What becomes
  /// of a snapshot must be reported: until then nothing else is sent to its receiver.
  void report_unreachable(NodeId id);
  void report_snapshot(NodeId id, bool delivered);
  /// Asks the leader to hand over to `to`. Ends by itself, one way or the other. Does nothing while
  /// a configuration change is not applied.
  void transfer_leader(NodeId to);
  /// See Config::priority. From now on.
  void set_priority(uint32_t priority) { raft_->set_priority(priority); }
  /// This member's log has what it acknowledges, but its state machine lacks parts of what went
  /// before. While that is so it takes entries like others and votes, and what it acknowledges
  /// counts towards no quorum: nothing is committed that rests on it. Set before a snapshot is
  /// acknowledged that leaves the state partial, and taken back only once what was missing is
  /// durable. It may be elected; then the host should hand over.
  void set_partial(bool is_partial) { raft_->set_partial(is_partial); }
  bool is_partial() const { return raft_->is_partial(); }
  /// A follower stops believing in its leader, so that it may vote before its timeout.
  void forget_leader();
  /// A linearizable read: `context` comes back in Ready::read_states with the index to wait for; or
  /// never, if leadership changes, and then the caller asks again.
  /// Errors: kOverloaded: kPendingReadsMax wait already.
  Status read_index(Buffer context);

  NodeId id() const { return raft_->id(); }
  Role role() const { return raft_->role(); }
  bool is_leader() const { return role() == Role::kLeader; }
  Term term() const { return raft_->term(); }
  /// None if not known.
  NodeId leader() const { return raft_->leader(); }
  NodeId transferee() const { return raft_->transferee(); }
  HardState hard_state() const { return raft_->hard_state(); }
  LogIndex committed() const { return raft_->log().committed(); }
  LogIndex applied() const { return raft_->log().applied(); }
  LogIndex last_index() const { return raft_->log().last_index(); }
  LogIndex first_index() const { return raft_->log().first_index(); }
  /// Read by checkers.
  const Log& log() const { return raft_->log(); }
  const TrackerConfig& config() const { return raft_->tracker().config; }
  /// Of a member, as the leader sees it; null if there is no such member. Leader only.
  const Progress* progress(NodeId id) const { return raft_->tracker().progress.find(id); }
  RaftStatus status() const;

  /// For tests that need to know when a node campaigns: until the next change of role.
  void set_randomized_election_timeout(uint32_t ticks) {
    raft_->set_randomized_election_timeout(ticks);
  }
  void check_invariants() const { raft_->check_invariants(); }

 private:
  RawNode(std::unique_ptr<Raft> raft, bool async_storage_writes);

  bool allow_unstable_apply() const { return !async_storage_writes_; }
  bool needs_append_response(const Ready& ready) const;
  Message append_response(const Ready& ready) const;
  Message apply_response(const Ready& ready) const;
  void hand_out_asynchronously(Ready& ready);
  void hand_out_synchronously(Ready& ready);

  std::unique_ptr<Raft> raft_;
  const bool async_storage_writes_;
  SoftState previous_soft_state_;
  HardState previous_hard_state_;
  /// Synchronous only: what the host's work amounts to once it is done.
  std::vector<Message> steps_on_advance_;
};

}  // namespace cairn::raft
