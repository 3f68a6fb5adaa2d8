/// StoreMachine: the state machine of a replicated store: batches of the log into a LocalStore.
///
/// The index of the entry stands in the local store's mark, written with its batch: an entry comes
/// to effect once, however often it is replayed. An entry whose preconditions fail writes nothing,
/// not even the mark: seen again it meets the same content and fails again.
/// The local store is synced when the log is to be cut. A snapshot is a dump of a view, so that
/// entries are applied while it is taken and sent.
/// Threads:  one reactor. Lifetime: the local store outlives it.
/// Source:   docs/adr/0011-replicated-metadata.md; docs/formats/meta.md.
#pragma once

#include "io/env.h"
#include "multiraft/state_machine.h"
#include "store/kv/local_store.h"

namespace cairn::kv {

class StoreMachine final : public multiraft::StateMachine {
 public:
  /// `leads_in`: this member leads in the term, and has applied all before it; zero: it does not.
  /// `failed`: the group is out of service here.
  struct Events {
    std::function<void(Term)> leads_in;
    std::function<void(const Error&)> failed;
  };

  StoreMachine(io::Env env, LocalStore& store, Events events);

  io::Task<Status> on_apply(std::span<multiraft::Command> commands) override;
  void on_epoch(Epoch, LogIndex) override {}
  io::Task<Result<multiraft::SavedState>> on_snapshot_save() override;
  io::Task<Status> on_recover(Buffer data) override;
  io::Task<Status> on_snapshot_load(Buffer data, NodeId source) override;
  void on_leader_start(Term term) override { events_.leads_in(term); }
  void on_leader_stop() override { events_.leads_in(Term()); }
  void on_error(const Error& reason) override { events_.failed(reason); }

 private:
  io::Task<Status> apply(multiraft::Command* command);

  io::Env env_;
  LocalStore& store_;
  Events events_;
  LogIndex applied_;  ///< of the local store's mark
};

}  // namespace cairn::kv
