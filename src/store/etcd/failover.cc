#include "store/etcd/failover.h"

namespace cairn::etcd {

namespace {

bool is_members_fault(Errc code) {
  return code == Errc::kUnavailable || code == Errc::kTimeout || code == Errc::kProtocol;
}

}  // namespace

Failover::Failover(io::Env env, std::vector<Endpoint> endpoints)
    : env_(env), endpoints_(std::move(endpoints)) {
  CHECK(!endpoints_.empty(), "an etcd has at least one member");
}

void Failover::turn_from(size_t failed, const Error& why) {
  if (failed != current_ || endpoints_.size() == 1) return;
  current_ = (current_ + 1) % endpoints_.size();
  env_.logger.warn("another member of etcd is asked from now on",
                   {{"instead_of", endpoints_[failed].name},
                    {"member", endpoints_[current_].name},
                    {"why", why.message()}});
}

template <typename R>
io::Task<R> Failover::try_each(Call<R> call, Duration timeout) {
  const Instant until = env_.clock.now() + timeout;
  for (size_t tries_left = endpoints_.size();; --tries_left) {
    const size_t member = current_;
    const Duration left = until - env_.clock.now();
    // Half of the time for a member that may hang, so that another one's answer still counts.
    auto answer = co_await call(*endpoints_[member].etcd, tries_left > 1 ? left / 2 : left);
    if (answer.ok() || !is_members_fault(answer.code())) co_return answer;
    turn_from(member, answer.error());
    if (tries_left == 1 || env_.clock.now() >= until) co_return answer;
  }
}

io::Task<Result<Outcome>> Failover::run(Transaction transaction, Duration timeout) {
  if (transaction.is_read_only()) {
    Call<Result<Outcome>> call = [transaction = std::move(transaction)](Etcd& etcd, Duration time) {
      return etcd.run(transaction, time);
    };
    co_return co_await try_each(std::move(call), timeout);
  }
  const size_t member = current_;
  auto outcome = co_await endpoints_[member].etcd->run(std::move(transaction), timeout);
  if (!outcome.ok() && is_members_fault(outcome.code())) turn_from(member, outcome.error());
  co_return outcome;
}

io::Task<Result<Lease>> Failover::grant(Duration time_to_live, Duration timeout) {
  Call<Result<Lease>> call = [time_to_live](Etcd& etcd, Duration time) {
    return etcd.grant(time_to_live, time);
  };
  return try_each(std::move(call), timeout);
}

io::Task<Result<Lease>> Failover::keep_alive(LeaseId lease, Duration timeout) {
  Call<Result<Lease>> call = [lease](Etcd& etcd, Duration time) {
    return etcd.keep_alive(lease, time);
  };
  return try_each(std::move(call), timeout);
}

io::Task<Status> Failover::revoke(LeaseId lease, Duration timeout) {
  Call<Status> call = [lease](Etcd& etcd, Duration time) { return etcd.revoke(lease, time); };
  return try_each(std::move(call), timeout);
}

}  // namespace cairn::etcd
