/// Node: this process's member of one Raft group. The public face of the library, with
/// StateMachine.
///
///   auto index = co_await node.apply(head, payload);      // replicated, committed, applied here
///   CO_TRY(co_await node.read_barrier());                 // then read the state machine
///
/// Threads:  the reactor of the Host that the node lives on.
/// Lifetime: made and owned by the Host; valid until Host::remove or Host::stop.
/// Source:   docs/architecture.md, "A write, step by step".
#pragma once

#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/ids.h"
#include "base/result.h"
#include "io/task.h"

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
  LogIndex snapshot;  ///< the state machine is durable up to here
  std::vector<NodeId> members;
  std::string error;  ///< why the group is out of service; empty: it is not
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
