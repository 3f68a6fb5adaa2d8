#include "store/etcd/election.h"

namespace cairn::etcd {

io::Task<Status> check_limits(Etcd& etcd, Layout layout, Duration timeout) {
  // The first comparison never holds, and nothing is written in either case: a transaction that
  // does not even pass through etcd's log, but through all checks of what is let in.
  Transaction large;
  constexpr size_t kFramingBytes = 24;  // of one comparison
  constexpr size_t kValueBytes = kTransactionBytesMax / kTransactionOperationsMax - kFramingBytes;
  const std::string key = layout.loading();
  const std::string value(kValueBytes > key.size() ? kValueBytes - key.size() : 1, 'x');
  large.compares.assign(kTransactionOperationsMax, Compare::holds(key, value));
  large.compares.front() = Compare::created_at(key, Revision(INT64_MAX));
  const auto outcome = co_await etcd.run(std::move(large), timeout);
  if (outcome.ok()) co_return ok();
  if (outcome.code() != Errc::kInvalidArgument) co_return outcome.error();
  co_return error(
      Errc::kInvalidArgument,
      "etcd refuses transactions as large as an MDS needs (" + outcome.error().message() +
          "); start each etcd with --max-txn-ops=" + std::to_string(kTransactionOperationsMax) +
          " --max-request-bytes=" + std::to_string(kTransactionBytesMax));
}

}  // namespace cairn::etcd
