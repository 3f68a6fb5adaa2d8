/// GrpcEtcd: one member of an etcd, by gRPC.
///
/// gRPC talks on threads of its own; each answer comes to the reactor's by an Inbox. A lost
/// connection is made again with a backoff of at most a second; meanwhile calls fail at once.
/// Errors:   as Etcd; those of etcd with its words.
/// Bounds:   kCallsMax calls under way, of what Etcd's bounds allow each.
/// Threads:  one reactor.
/// Lifetime: the inbox outlives it. The destructor ends the calls under way; whoever still waits
///           for one then has to be gone, or is told kClosed in a later turn.
/// Source:   docs/adr/0014-etcd.md.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "io/env.h"
#include "io/inbox.h"
#include "store/etcd/failover.h"

namespace cairn::etcd {

inline constexpr size_t kCallsMax = 256;

/// What an encrypted connection needs, each as PEM. With no authority: not encrypted.
struct Tls {
  std::string authority;    ///< who signed etcd's certificate
  std::string certificate;  ///< this client's, with its key; both empty: it shows none
  std::string key;

  bool is_on() const { return !authority.empty(); }
};

class GrpcEtcd final : public Etcd {
 public:
  /// `address` is HOST:PORT. Connects with the first call.
  GrpcEtcd(io::Executor& executor, io::Inbox& inbox, const std::string& address, const Tls& tls);
  ~GrpcEtcd() override;

  io::Task<Result<Outcome>> run(Transaction transaction, Duration timeout) override;
  io::Task<Result<Lease>> grant(Duration time_to_live, Duration timeout) override;
  io::Task<Result<Lease>> keep_alive(LeaseId lease, Duration timeout) override;
  io::Task<Status> revoke(LeaseId lease, Duration timeout) override;

 private:
  struct Parts;
  const std::unique_ptr<Parts> parts_;
};

/// "HOST:PORT", "http://HOST:PORT" and, with TLS, "https://HOST:PORT", as etcd's own clients take
/// them.
/// Errors: kInvalidArgument: none, or not of that form; TLS wanted by only one of endpoint and
/// `tls`; a certificate without its key.
Result<std::vector<Endpoint>> connect(io::Executor& executor, io::Inbox& inbox,
                                      const std::vector<std::string>& endpoints,
                                      const Tls& tls = {});

}  // namespace cairn::etcd
