/// Failover: the members of one etcd as one Etcd that outlives the loss of some of them.
///
/// Calls go to one member until it fails; then the next one's turn comes. What may be done twice
/// (reads, and everything about leases) is tried at each member within the call's time; what writes
/// is tried once, since nobody knows whether it was done.
/// Threads: one reactor. Lifetime: calls under way end before it is destroyed.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "io/env.h"
#include "store/etcd/etcd.h"

namespace cairn::etcd {

struct Endpoint {
  std::string name;  ///< for people
  std::unique_ptr<Etcd> etcd;
};

class Failover final : public Etcd {
 public:
  Failover(io::Env env, std::vector<Endpoint> endpoints);

  io::Task<Result<Outcome>> run(Transaction transaction, Duration timeout) override;
  io::Task<Result<Lease>> grant(Duration time_to_live, Duration timeout) override;
  io::Task<Result<Lease>> keep_alive(LeaseId lease, Duration timeout) override;
  io::Task<Status> revoke(LeaseId lease, Duration timeout) override;

  const std::string& current() const { return endpoints_[current_].name; }

 private:
  template <typename R>
  using Call = std::function<io::Task<R>(Etcd&, Duration)>;
  template <typename R>
  io::Task<R> try_each(Call<R> call, Duration timeout);
  void turn_from(size_t failed, const Error& why);

  io::Env env_;
  const std::vector<Endpoint> endpoints_;
  size_t current_ = 0;
};

}  // namespace cairn::etcd
