/// StateMachine: what a user of the Raft library replicates.
///
/// All calls of one group come from one flow, one at a time and in log order: the next begins when
/// the Task of the last has ended, but for on_snapshot_save. Different groups' calls overlap.
/// Threads:  the reactor's.
/// Lifetime: a state machine outlives the Node that it was given to.
#pragma once

#include <span>
#include <vector>

#include "base/buffer.h"
#include "base/ids.h"
#include "base/result.h"
#include "io/task.h"
#include "raft/message.h"

namespace cairn::multiraft {

/// A committed command. `payload` is in memory even if the log had dropped it.
struct Command {
  Term term;
  LogIndex index;
  Buffer head;
  Buffer payload;
  /// What the proposer is told, if it waits here: on_apply may set a refusal that every replica
  /// reaches alike (a stale fence, say). A failure of this replica alone is on_apply's own error.
  Status outcome = ok();
};

/// What on_snapshot_save leaves behind: everything up to `index` is durable in the state machine.
struct SavedState {
  Buffer data;  ///< small; given to on_snapshot_load here after a restart and on lagging members
};

class StateMachine {
 public:
  virtual ~StateMachine() = default;

  /// Applies committed commands in order.
  /// Errors: any: the group stops with this error and the other groups go on.
  virtual io::Task<Status> on_apply(std::span<Command> commands) = 0;

  /// The log moved to `index` by an entry that is not a command (a new leader's first one, a change
  /// of configuration): `epoch` counts these.
  virtual void on_epoch(Epoch epoch, LogIndex index) = 0;

  /// Makes durable everything applied so far and describes it. Begins between two calls of
  /// on_apply and describes the state before it first suspends; on_apply goes on beside the rest.
  virtual io::Task<Result<SavedState>> on_snapshot_save() = 0;

  /// At restart: the state that on_snapshot_save described is the one on this disk; commands after
  /// it come again. Replaying must be harmless.
  virtual io::Task<Status> on_recover(Buffer data) = 0;

  /// On a member that lags: replaces the state by the one that `data` describes, fetched from
  /// `source`, and makes it durable. May have got newer state than `data` says: the log after it is
  /// replayed. Retried with another source when it fails.
  virtual io::Task<Status> on_snapshot_load(Buffer data, NodeId source) = 0;

  /// This member leads `term`, and everything committed before it is applied.
  virtual void on_leader_start(Term term) { (void)term; }
  virtual void on_leader_stop() {}
  virtual void on_configuration_committed(const raft::ConfState& configuration) {
    (void)configuration;
  }
  /// The group is out of service until the process restarts.
  virtual void on_error(const Error& reason) { (void)reason; }
};

}  // namespace cairn::multiraft
