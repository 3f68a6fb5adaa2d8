/// Mds: the metadata server: topology, placement, volumes; one process, one reactor.
///
///   auto store = kv::RocksMetaStore::open(env, "/var/lib/cairn/mds");
///   mds::Mds mds(env, **store, options);
///   CO_TRY(co_await mds.start());   // mds.address() is where it listens
///   ...
///   co_await mds.stop();
/// Its state is the store's: it may be killed at any time and started again on the same store. All
/// decisions come from the store, the heartbeats, the monotonic clock and the injected Rng, so a
/// simulated run repeats.
/// Threads:  one reactor.
/// Lifetime: the store outlives it; stop() has returned before it is destroyed, or its executor's
///           frames have been destroyed (a simulated crash).
/// Source:   design of the metadata: docs/formats/meta.md.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "io/env.h"
#include "mds/options.h"
#include "store/kv/election.h"

namespace cairn::rpc {
class Server;
}

namespace cairn::mds {

/// One term of office in a process that is one of several MDS: its server listens and outlives the
/// term, and the store is that of the term.
struct Office {
  kv::Election& election;
  uint64_t term = 0;
  rpc::Server& server;
};

class Mds {
 public:
  Mds(io::Env env, kv::MetaStore& store, Options options);
  Mds(io::Env env, kv::MetaStore& store, Options options, Office office);
  ~Mds();
  Mds(const Mds&) = delete;
  Mds& operator=(const Mds&) = delete;

  /// Loads the state (or makes a new cluster in an empty store), listens, starts the jobs.
  /// Errors: kInvalidArgument an option, or the store of another cluster; the store's and the
  ///         network's. Nothing runs then.
  io::Task<Status> start();
  /// Ends what is under way and waits for it.
  io::Task<void> stop();
  /// Ok while it serves; otherwise why not.
  Status health() const;
  /// What people look at, as one JSON object: the reply of the operation that `name` names, with
  /// the message's field names. It shows what this process knows and asks nobody.
  /// Errors: kNotFound, naming the views that there are; kUnavailable while starting.
  Result<std::string> view(std::string_view name) const;
  /// The names that view() knows.
  static const std::vector<std::string>& views();
  /// Where it listens, with the port that the system chose if 0 was asked for. After start().
  io::Address address() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace cairn::mds
