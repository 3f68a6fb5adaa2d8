/// ReplicatedStore: a MetaStore that a Raft group of processes keeps, each with a LocalStore.
///
///   ReplicatedStore store(env, disk, local, client, options);
///   store.add_to(server);                       // the members' own calls
///   CO_TRY(co_await store.start());
///   co_await store.changed().wait_next();       // store.term() != 0: this member is the active
///   one auto active = store.store_of(store.term()); // refuses once another one is
///
/// What commit() acknowledged is durable in the logs of a majority and applied here. Reads are
/// linearizable; both are served by the leader alone (kNotLeader names it, where it is known).
/// Errors of commit(), besides those of a MetaStore: kNotLeader, kOverloaded: nothing was written.
///           kUnavailable, kIo, kClosed: the outcome is open; whoever leads then can tell.
/// Bounds:   those of MetaStore, and HostOptions::uncommitted_bytes_max.
/// Threads:  one reactor.
/// Lifetime: disk, local store and client outlive it; stop() before it is destroyed, or its frames
///           are taken apart first (a simulated crash).
/// Source:   docs/adr/0011-replicated-metadata.md.
#pragma once

#include <map>
#include <memory>

#include "kv/store_machine.h"
#include "multiraft/host.h"
#include "rpc/server.h"
#include "store/kv/election.h"
#include "store/kv/local_store.h"

namespace cairn::kv {

struct ReplicatedOptions {
  NodeId self;
  std::map<NodeId, io::Address> members;  ///< with this one; the same on each
  /// The first start of a new group: of every member, once. A member that finds nothing of its own
  /// may have forgotten votes; without this it refuses to start.
  bool is_new = false;
  multiraft::HostOptions raft;
  wal::WalOptions wal;
};

class ReplicatedStore final : public MetaStore, public Election {
 public:
  ReplicatedStore(io::Env env, io::Disk& disk, LocalStore& local, rpc::Client& client,
                  ReplicatedOptions options);
  ~ReplicatedStore() override;

  void add_to(rpc::Server& server);
  /// Errors: kInvalidArgument     the options; kNotFound: nothing is here, and it is no new group;
  ///         kCorrupt, kIo, kNoSpace, kPreconditionFailed  as of multiraft::Host::open(), and what
  ///         a person can do. Nothing runs but what stop() ends.
  io::Task<Status> start();
  io::Task<void> stop();
  /// Ok while this member takes part.
  Status health() const;

  // MetaStore, in whatever term this member leads.
  io::Task<Result<std::optional<std::string>>> get(std::string key) override;
  io::Task<Result<std::vector<KeyValue>>> scan(std::string prefix, size_t limit,
                                               std::string after) override;
  io::Task<Status> commit(WriteBatch batch) override;

  // Election
  uint64_t term() const override { return term_.value(); }
  io::Event& changed() override { return changed_; }
  std::string active_address() const override;
  std::vector<Member> members() const override;
  std::unique_ptr<MetaStore> store_of(uint64_t term) override;
  io::Task<Status> confirm(uint64_t term) override;
  io::Task<void> resign() override;

  /// Null before start().
  multiraft::Node* node() { return node_; }

 private:
  class TermStore;

  void on_raft_batch(rpc::Call<wire::RaftBatch> batch);
  io::Task<Result<rpc::Answer<wire::FetchSnapshotReply>>> on_fetch_snapshot(
      rpc::Call<wire::FetchSnapshotRequest> call);
  Status check_options() const;
  io::Task<Status> open_group();
  io::Task<Status> commit_in(Term term, WriteBatch batch);
  Error not_leader() const;
  bool is_running() const { return node_ && !is_stopping_; }

  io::Env env_;
  io::Disk& disk_;
  LocalStore& local_;
  const ReplicatedOptions options_;
  multiraft::PeerDirectory peers_;
  StoreMachine machine_;
  std::unique_ptr<multiraft::Host> host_;
  multiraft::Node* node_ = nullptr;
  Term term_;  ///< that this member leads; zero: it does not
  std::optional<Error> failure_;
  bool is_open_ = false;
  bool is_stopping_ = false;
  io::Event changed_;
};

/// The defaults that suit a few processes that keep metadata.
multiraft::HostOptions metadata_raft_options();

}  // namespace cairn::kv
