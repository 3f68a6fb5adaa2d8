/// Member: an MDS that serves while it is elected, in a process that is one of several.
///
/// For each term that this process is the active one in it makes an Mds anew, which loads its state
/// from the store of that term; when the term ends, that is stopped. In between every call of a
/// client is answered kNotLeader with the active one's address.
/// Threads:  one reactor.
/// Lifetime: election and server outlive it; stop() has returned before it is destroyed, or its
///           executor's frames have been destroyed (a simulated crash).
/// Source:   docs/adr/0011-replicated-metadata.md.
#pragma once

#include <memory>

#include "io/env.h"
#include "io/sync.h"
#include "mds/mds.h"
#include "rpc/server.h"

namespace cairn::mds {

class Member {
 public:
  /// Takes the answers to what `server` does not serve.
  Member(io::Env env, kv::Election& election, rpc::Server& server, Options options);
  ~Member();

  /// Errors: kInvalidArgument: an option.
  Status start();
  /// Lets another one take over, if there is one, and ends.
  io::Task<void> stop();
  /// Ok while it serves or waits for its election; else why it could not serve.
  Status health() const;
  /// As Mds::view; kNotLeader while another one is the active one, with its address.
  Result<std::string> view(std::string_view name) const;
  /// Null while another one is the active one.
  const Mds* active() const { return mds_.get(); }

 private:
  io::Task<void> run();
  io::Task<void> serve(uint64_t term);
  Error absent() const;

  io::Env env_;
  kv::Election& election_;
  rpc::Server& server_;
  const Options options_;
  std::unique_ptr<kv::MetaStore> store_;  ///< of the present term
  std::unique_ptr<Mds> mds_;
  std::optional<Error> failure_;  ///< of the latest try to serve
  bool is_stopping_ = false;
  io::Gate gate_;
};

}  // namespace cairn::mds
