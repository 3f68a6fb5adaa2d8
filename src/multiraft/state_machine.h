/// StateMachine: what a user of the Raft library replicates.
///
/// Order:    all calls of one group come from one flow, one at a time and in log order: the next
///           begins when the Task of the last has ended, but for on_snapshot_save, which begins
///           between two on_apply and overlaps with those that follow. The calls without a Task may
///           come while another call of the same group is suspended; they must not wait. Different
///           groups' calls overlap.
/// When:     on_recover first, once; on_epoch with it. on_apply for committed commands alone.
///           on_leader_start when this member leads and has applied all that was committed before;
///           on_leader_stop once for each, at the latest before the next on_leader_start. A member
///           that is stopped (Host::stop, Host::remove) is told nothing more.
/// Errors:   what an Error does depends on its code, see is_refusal(). A refusal is waited out: the
///           same call comes again, less and less often, and a leader hands over to another member.
///           Everything else puts this one member out of service, with on_error, and no other group
///           but with kIo: a device that failed once is dead for all groups.
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
  /// Set by an on_apply that then fails with a refusal: this command has taken effect, and does not
  /// come again. Those that are not marked must have left no trace.
  bool is_done = false;
};

/// What a state machine answers when it cannot do something now and may later: no space, too much
/// to do, something that it needs does not answer.
constexpr bool is_refusal(Errc code) {
  return code == Errc::kNoSpace || code == Errc::kOverloaded || code == Errc::kUnavailable ||
         code == Errc::kTimeout;
}

/// What on_snapshot_save leaves behind: everything up to `index` is durable in the state machine.
struct SavedState {
  Buffer data;  ///< small; given to on_snapshot_load here after a restart and on lagging members
};

class StateMachine {
 public:
  virtual ~StateMachine() = default;

  /// Applies committed commands in order.
  /// Errors: a refusal: the commands that are not marked is_done come again. Any other: the group
  /// is out of service.
  virtual io::Task<Status> on_apply(std::span<Command> commands) = 0;

  /// The log moved to `index` by an entry that is not a command (a new leader's first one, a change
  /// of configuration): `epoch` counts these.
  virtual void on_epoch(Epoch epoch, LogIndex index) = 0;

  /// Makes durable everything applied so far and describes it. Begins between two calls of
  /// on_apply and describes the state before it first suspends; on_apply goes on beside the rest.
  /// Errors: a refusal: the log is not cut, and a snapshot is tried again later. Any other: the
  /// group is out of service, since what could not be made durable must not be relied on.
  virtual io::Task<Result<SavedState>> on_snapshot_save() = 0;

  /// At restart: the state that on_snapshot_save described is the one on this disk; commands after
  /// it come again. Replaying must be harmless.
  virtual io::Task<Status> on_recover(Buffer data) = 0;

  /// On a member that lags: replaces the state by the one that `data` describes, fetched from
  /// `source`, and makes it durable. May have got newer state than `data` says: the log after it is
  /// replayed. Tried again, from whoever leads by then, when it fails, but for kIo and kCorrupt:
  /// then the group is out of service. on_epoch tells when the log begins after `data`. May leave a
  /// partial state, see missing_count(): then on_snapshot_save is called at once, and what it
  /// describes takes the place of `data`.
  virtual io::Task<Status> on_snapshot_load(Buffer data, NodeId source) = 0;

  /// How many parts of the state, in whatever unit, are still to come; 0: it is complete. A machine
  /// may return from on_snapshot_load with a partial state and fetch the rest beside on_apply; what
  /// it describes then says what is missing, so that it goes on from there after a restart. Until
  /// it is complete, and that is durable, the member counts towards no quorum; if it is elected it
  /// does not lead (no on_leader_start) but hands over, and nobody gets its snapshot. Asked often;
  /// must not wait.
  virtual uint64_t missing_count() const { return 0; }

  /// This member leads `term`, and everything committed before it is applied.
  virtual void on_leader_start(Term term) { (void)term; }
  virtual void on_leader_stop() {}
  virtual void on_configuration_committed(const raft::ConfState& configuration) {
    (void)configuration;
  }
  /// The group is out of service until the process restarts, or Host::reset.
  virtual void on_error(const Error& reason) { (void)reason; }
};

}  // namespace cairn::multiraft
