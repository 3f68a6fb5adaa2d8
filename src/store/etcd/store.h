/// Store: a MetaStore in etcd, of the process that is the active MDS in one term.
///
/// A term is the revision that created the key PREFIX/active. Every transaction, reads too,
/// compares that the key is still of that revision: whoever was displaced is refused by etcd
/// itself, whatever it believes of the time.
/// Errors:
///   - those of a MetaStore
///   - kNotLeader: another term has begun, nothing was written
///   - kOverloaded, kNoSpace, and kInvalidArgument for etcd's own limits: nothing was written
/// Bounds:   those of MetaStore; what is under way at once is bounded by the Etcd below.
/// Threads:  one reactor.
/// Lifetime: the Etcd outlives it.
/// Source:   docs/adr/0014-etcd.md.
#pragma once

#include "store/etcd/etcd.h"
#include "store/etcd/layout.h"
#include "store/kv/meta_store.h"

namespace cairn::etcd {

struct StoreTimeouts {
  /// A member that hangs costs half of it.
  Duration read = 4s;
  /// Longer than a change of etcd's leader takes with its default settings. What a member had sent
  /// to the leader that is lost is never answered: so long the MDS stands still then.
  Duration commit = 2500ms;
  Duration commit_per_mib = 250ms;
};

class Store final : public kv::MetaStore {
 public:
  Store(Etcd& etcd, Layout layout, Revision term, StoreTimeouts timeouts = {});

  io::Task<Result<std::optional<std::string>>> get(std::string key) override;
  io::Task<Result<std::vector<kv::KeyValue>>> scan(std::string prefix, size_t limit,
                                                   std::string after) override;
  io::Task<Status> commit(kv::WriteBatch batch) override;

 private:
  io::Task<Result<Outcome>> run_in_term(Transaction transaction, Duration timeout);
  io::Task<Result<std::vector<kv::KeyValue>>> scan_as_one(Range range, size_t limit);
  io::Task<Error> explain_refusal(std::vector<kv::Precondition> preconditions);

  Etcd& etcd_;
  const Layout layout_;
  const Revision term_;
  const StoreTimeouts timeouts_;
};

}  // namespace cairn::etcd
