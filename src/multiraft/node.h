/// Node: this process's member of one Raft group. The public face of the library, with
/// StateMachine.
///
/// What is serial with what: calls overlap as their callers like. apply() keeps the order of calls;
/// of changes of members one is under way at a time, the second is refused; of snapshots likewise.
/// Errors tell what was not done. After kUnavailable, kIo or kClosed the outcome of what had been
/// proposed is open: the group's log decides, and whoever leads can tell.
/// A member that fails is out of service (status().error says why) until the process restarts or
/// Host::reset; it neither votes nor leads, and its calls answer with that error.
///
///   auto index = co_await node.apply(head, payload);      // replicated, committed, applied here
///   CO_TRY(co_await node.read_barrier());                 // then read the state machine
///
/// Threads:  the reactor of the Host that the node lives on.
/// Lifetime: made and owned by the Host; valid until Host::remove, reset or stop. Whoever suspends
/// in
///           between holds a pin().
/// Source:   docs/architecture.md, "A write, step by step".
#pragma once

#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/ids.h"
#include "base/result.h"
#include "io/sync.h"
#include "io/task.h"
#include "raft/confchange/conf_change.h"

namespace cairn::raft {
class RawNode;
}

namespace cairn::multiraft {

class Group;

struct NodeStatus {
  bool is_leader = false;
  NodeId leader;  ///< none: not known
  Term term;
  Epoch epoch;
  LogIndex committed;
  LogIndex applied;
  LogIndex first;
  LogIndex last;
  LogIndex snapshot;             ///< the state machine is durable up to here
  std::vector<NodeId> members;   ///< the voters; in a joint configuration those of its new half
  std::vector<NodeId> learners;  ///< they have a copy and no vote
  bool is_joint = false;
  std::string error;  ///< why the group is out of service; empty: it is not
  std::string waits;  ///< why the state machine takes nothing at present; empty: it does
};

class Node {
 public:
  explicit Node(Group& group) : group_(group) {}
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  /// Replicates a command and returns its index when it has been applied here.
  /// Units:    `payload` is a multiple of 4096 bytes in aligned memory, or empty; `head` is at most
  ///           64 KiB; one of them is not empty.
  /// Errors:   kNotLeader    nothing was proposed.
  ///           kOverloaded   too much is uncommitted; nothing was proposed.
  ///           kUnavailable  leadership was lost meanwhile: it may be applied, now or later, or
  ///           not. kIo, kClosed  this member is out of service or stopping; as above. any other
  ///           what on_apply set as the command's outcome.
  /// Order:    commands are applied in the order in which apply() was called and first awaited.
  /// `only_in`, unless zero: kNotLeader in any other term. For a command that was derived from the
  /// state machine: another leader may have changed that, even if this one leads again.
  io::Task<Result<LogIndex>> apply(Buffer head, Buffer payload, Term only_in = Term());

  /// Returns once a read of the local state machine is linearizable: at once while the lease holds,
  /// else after a round of heartbeats; and when all that was committed before is applied.
  /// Errors: kNotLeader, kUnavailable (no quorum answers), kClosed.
  io::Task<Status> read_barrier();

  /// Waits until everything proposed so far here has been applied or dropped.
  io::Task<Status> drain();

  /// Takes a snapshot now and cuts the log, keeping what lagging members may need.
  io::Task<Status> snapshot();

  // Members. All of these are for the leader: kNotLeader elsewhere, and nothing was proposed.

  /// Commits one change of the configuration and returns the epoch once it is applied here: as a
  /// simple change if it is one, else as a joint one, which is left again before this returns
  /// (unless it asks for kJointExplicit: then an empty change leaves it).
  /// A node becomes a voter only after it was a learner that has caught up: one that has nothing,
  /// or has lost what it had, must not be counted on.
  /// Errors: kInvalidArgument     not a change, or one that leaves no voter; nothing was proposed.
  ///         kPreconditionFailed  the new voter has not caught up, or the present configuration
  ///                              does not allow the change; nothing changed.
  ///         kOverloaded          another change is not finished; nothing was proposed.
  ///         kUnavailable         leadership was lost: it may be made or not. kIo, kClosed: as for
  ///                              apply().
  io::Task<Result<Epoch>> change_members(raft::ConfChangeV2 change);

  /// Lets `node` have a copy. Its Host must have joined the group (Host::join). Nothing is done if
  /// it is a member already. Errors: those of change_members().
  io::Task<Status> add_learner(NodeId node);
  /// As a learner, waited for until it has caught up, and then as a voter.
  /// Errors: those of change_members(); kTimeout: it does not catch up; it stays a learner.
  io::Task<Status> add_member(NodeId node);
  /// Whoever it is, this leader as well: then another is elected. Nothing is done if it is none.
  io::Task<Status> remove_member(NodeId node);
  /// Makes `voters` the group's members by one joint change, after the new ones have caught up as
  /// learners. Learners that are not among them stay. Errors: those of add_member().
  io::Task<Status> set_members(std::vector<NodeId> voters);

  /// UNSAFE, an operator's last resort for a group that has lost its quorum for ever: makes
  /// `voters` its members by the word of this survivor alone, which must be one of them. What this
  /// member does not hold is lost, acknowledged or not; so ask it of the survivor whose log ends
  /// last, and of no other. The old members cannot come back but blank (Host::reset, remove or
  /// purge and join). Returns when this member leads the new group. Errors: kInvalidArgument: this
  /// member is not one of `voters`. kPreconditionFailed: the group has
  ///         a leader. kUnavailable: a snapshot is being installed. Nothing was changed.
  ///         kTimeout: it is in force here, and the other new members have not answered yet. kIo,
  ///         kClosed.
  io::Task<Status> reset_members(std::vector<NodeId> voters);

  /// Hands leadership to the voter `to`, or to the one that has most of the log. No command is
  /// taken meanwhile (kOverloaded). ok: `to` leads, or this node has given up its leadership to it.
  /// Errors: kInvalidArgument: not a voter. kOverloaded: a change of members is not finished.
  ///         kTimeout: it did not take over within two election timeouts; this node leads on.
  ///         kUnavailable: another one leads, or nobody can be chosen.
  io::Task<Status> transfer_leadership(NodeId to = NodeId());

  /// Keeps the node in its place: Host::remove, reset and stop wait until every pin is let go.
  /// Calls end with kClosed meanwhile, so hold one over other calls than these for a bounded time
  /// only. kClosed: it is being taken away.
  Result<io::Gate::Holder> pin();

  Term term() const;
  bool is_leader() const;
  /// Leads, and has applied all that earlier leaders committed.
  bool is_ready_leader() const;
  NodeId leader() const;
  NodeStatus status() const;
  /// The core, for checkers and for a person who wants to see everything.
  const raft::RawNode& core() const;

 private:
  Group& group_;
};

}  // namespace cairn::multiraft
