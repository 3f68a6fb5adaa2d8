/// EtcdElection: which of the MDS on one etcd is the active one.
///
/// Each MDS has a lease that it keeps alive. The one that creates PREFIX/active, bound to its
/// lease, is the active one; its term is the revision of that. The others look at the key and try
/// when it is gone. An MDS ends its own term when its lease may have run out by its own clock,
/// counted from when it sent the last keepalive that was answered: that is before etcd lets anybody
/// else begin, as long as clocks do not run faster than each other by more than a tenth. What does
/// not rest on clocks at all are writes: see Store. A lease that was given up is never taken up
/// again: each term has a lease in good standing.
///
/// Threads:  one reactor.
/// Lifetime: the Etcd outlives it; stop() has returned before it is destroyed, or its executor's
///           frames have been destroyed (a simulated crash).
/// Source:   docs/adr/0014-etcd.md.
#pragma once

#include "io/env.h"
#include "store/etcd/layout.h"
#include "store/etcd/store.h"
#include "store/kv/election.h"

namespace cairn::etcd {

struct ElectionOptions {
  std::string prefix = "cairn";
  MemberName self;
  /// How long a dead MDS is missed by nobody. etcd takes whole seconds, at least 2.
  Duration lease = 3s;
  Duration renew_interval = 500ms;
  Duration look_interval = 200ms;  ///< between two looks at who is active
  Duration call_timeout = 1s;
  /// How long start() waits for an etcd that answers.
  Duration start_wait = 30s;
  StoreTimeouts store;
};

class EtcdElection final : public kv::Election {
 public:
  EtcdElection(io::Env env, Etcd& etcd, ElectionOptions options);
  ~EtcdElection() override;

  /// Looks whether etcd can keep the metadata (check_limits), and takes part from then on.
  /// Errors: kInvalidArgument    an option, or one of etcd's limits, with the flag that sets it;
  ///         kUnavailable        no etcd answered;
  ///         kPreconditionFailed a load of a dump has not ended.
  io::Task<Status> start();
  /// Gives the lease back, so that others need not wait for its end.
  io::Task<void> stop();
  /// Ok while etcd answers.
  Status health() const;

  uint64_t term() const override { return term_.value(); }
  io::Event& changed() override { return changed_; }
  std::string active_address() const override;
  std::vector<Member> members() const override;
  std::unique_ptr<kv::MetaStore> store_of(uint64_t term) override;
  /// By the lease, without a call.
  io::Task<Status> confirm(uint64_t term) override;
  io::Task<void> resign() override;

 private:
  io::Task<void> run_lease();
  io::Task<void> run_looks();
  io::Task<Status> obtain_lease();
  io::Task<Status> renew_lease();
  io::Task<Status> look();
  io::Task<Status> campaign();
  io::Task<Status> check_loaded();
  io::Task<void> pause(Duration duration);

  void take_note_of(const Outcome& outcome);
  void set_term(Revision term);
  void extend_lease(Instant sent_at, Duration time_to_live);
  void give_lease_up(std::string_view why);
  bool holds_lease() const { return !lease_.is_none() && env_.clock.now() < lease_until_; }
  void note(const Status& outcome);
  Error not_leader() const;

  io::Env env_;
  Etcd& etcd_;
  const ElectionOptions options_;
  const Layout layout_;
  Revision term_;  ///< zero: another MDS is active, or none
  /// In good standing; none: there is none. While term_ is set, PREFIX/active is bound to it.
  LeaseId lease_;
  Instant lease_until_;  ///< by this clock, with a margin
  LeaseId given_up_;     ///< to be revoked
  io::Timer lease_end_;
  std::optional<MemberName> active_;
  std::vector<MemberName> members_;
  Instant no_campaign_before_;
  std::optional<Error> failure_;  ///< of the latest call
  bool is_stopping_ = false;
  io::Event changed_;
  io::Event woken_;
  io::Gate gate_;
};

/// Ok if etcd takes transactions of kTransactionOperationsMax and kTransactionBytesMax; writes
/// nothing.
/// Errors: kInvalidArgument with the flags that etcd needs; those of a call.
io::Task<Status> check_limits(Etcd& etcd, Layout layout, Duration timeout);

}  // namespace cairn::etcd
