/// FakeEtcd: an etcd in memory for tests, with its revisions, leases, limits and faults.
///
/// One FakeEtcd is what the members of an etcd agree on; a FakeMember is how a process reaches it.
#pragma once

#include <algorithm>
#include <map>
#include <optional>

#include "io/env.h"
#include "store/etcd/etcd.h"

namespace cairn::etcd::testing {

class FakeEtcd {
 public:
  explicit FakeEtcd(io::Clock& clock) : clock_(clock) {}

  size_t operations_max = kTransactionOperationsMax;
  size_t bytes_max = kTransactionBytesMax;

  Result<Outcome> run(const Transaction& transaction) {
    end_leases();
    TRY(check_size(transaction));
    Outcome outcome;
    outcome.has_held = std::ranges::all_of(transaction.compares,
                                           [&](const Compare& compare) { return holds(compare); });
    const Operations& branch = outcome.has_held ? transaction.then : transaction.otherwise;
    for (const Range& range : branch.reads) {
      if (!range.at.is_zero() && range.at < compacted_) {
        return error(Errc::kPreconditionFailed, "the revision is compacted");
      }
    }
    if (!branch.is_read_only()) write(branch);
    outcome.revision = revision_;
    for (const Range& range : branch.reads) outcome.reads.push_back(read(range));
    return outcome;
  }
  Result<Lease> grant(Duration time_to_live) {
    const LeaseId id(++leases_count_);
    leases_[id] = {time_to_live, clock_.now() + time_to_live};
    return Lease{id, time_to_live};
  }
  Result<Lease> keep_alive(LeaseId id) {
    end_leases();
    const auto found = leases_.find(id);
    if (found == leases_.end()) return error(Errc::kNotFound, "the lease has ended");
    found->second.until = clock_.now() + found->second.time_to_live;
    return Lease{id, found->second.time_to_live};
  }
  Status revoke(LeaseId id) {
    end_leases();
    if (leases_.erase(id) == 0) return error(Errc::kNotFound, "the lease has ended");
    remove_keys_of(id);
    return ok();
  }

  // What tests do to it.
  void compact() { compacted_ = revision_; }
  void end_all_leases() {
    while (!leases_.empty()) (void)revoke(leases_.begin()->first);
  }
  std::optional<std::string> value_of(const std::string& key) {
    end_leases();
    const auto found = now().find(key);
    if (found == now().end()) return std::nullopt;
    return found->second.value;
  }
  size_t leases_count() {
    end_leases();
    return leases_.size();
  }

 private:
  using Keys = std::map<std::string, Entry>;
  struct Granted {
    Duration time_to_live{};
    Instant until;
  };

  /// What a later revision is made from: a copy of everything, which small tests can afford.
  Keys& now() { return history_.rbegin()->second; }
  Keys& begin_revision() {
    ++revision_;
    Keys copy = now();
    // Enough for every scan of a test, and no more memory than that.
    while (history_.size() > kRevisionsKept) history_.erase(history_.begin());
    return history_[revision_] = std::move(copy);
  }
  void write(const Operations& operations) {
    Keys& keys = begin_revision();
    for (const Range& range : operations.deletes) {
      const auto first = keys.lower_bound(range.first);
      const auto end =
          range.end.empty() ? keys.upper_bound(range.first) : keys.lower_bound(range.end);
      keys.erase(first, end);
    }
    for (const Put& put : operations.puts) {
      const auto found = keys.find(put.key);
      const Revision created = found == keys.end() ? revision_ : found->second.created;
      keys[put.key] = {put.key, put.value, created, put.lease};
    }
  }
  void remove_keys_of(LeaseId id) {
    std::erase_if(begin_revision(), [&](const auto& pair) { return pair.second.lease == id; });
  }
  void end_leases() {
    for (auto one = leases_.begin(); one != leases_.end();) {
      if (clock_.now() < one->second.until) {
        ++one;
        continue;
      }
      remove_keys_of(one->first);
      one = leases_.erase(one);
    }
  }
  bool holds(const Compare& compare) {
    const auto found = now().find(compare.key);
    if (compare.what == Compare::What::kCreated) {
      return compare.created == (found == now().end() ? Revision() : found->second.created);
    }
    return found != now().end() && found->second.value == compare.value;
  }
  RangeResult read(const Range& range) {
    const auto at = range.at.is_zero() ? history_.end() : history_.upper_bound(range.at);
    CHECK(at != history_.begin(), "the fake keeps enough revisions");
    const Keys& keys = std::prev(at)->second;
    RangeResult result;
    auto one = keys.lower_bound(range.first);
    const auto end =
        range.end.empty() ? keys.upper_bound(range.first) : keys.lower_bound(range.end);
    for (; one != end; ++one) {
      if (range.entries_max != 0 && result.entries.size() == range.entries_max) {
        result.has_more = true;
        break;
      }
      result.entries.push_back(one->second);
    }
    return result;
  }
  Status check_size(const Transaction& transaction) const {
    size_t bytes = 0;
    for (const Compare& compare : transaction.compares) {
      bytes += compare.key.size() + compare.value.size();
    }
    size_t operations = transaction.compares.size();
    for (const Operations* branch : {&transaction.then, &transaction.otherwise}) {
      operations =
          std::max(operations, branch->puts.size() + branch->deletes.size() + branch->reads.size());
      for (const Put& put : branch->puts) bytes += put.key.size() + put.value.size();
    }
    if (operations > operations_max) return error(Errc::kInvalidArgument, "too many operations");
    if (bytes > bytes_max) return error(Errc::kInvalidArgument, "request is too large");
    return ok();
  }

  static constexpr size_t kRevisionsKept = 50;
  io::Clock& clock_;
  std::map<Revision, Keys> history_{{Revision(1), {}}};
  Revision revision_{1};
  Revision compacted_;
  std::map<LeaseId, Granted> leases_;
  uint64_t leases_count_ = 0;
};

/// How one process reaches an etcd, by one of its members.
class FakeMember final : public Etcd {
 public:
  enum class Fault : uint8_t {
    kNone,
    kDown,        ///< refuses connections
    kHangs,       ///< takes calls and does not answer in time; does nothing
    kLosesReply,  ///< does what it is asked for, and does not answer in time
  };

  FakeMember(FakeEtcd& etcd, io::Env env) : etcd_(etcd), env_(env) {}
  Fault fault = Fault::kNone;
  /// Half of it before the call comes to effect, half after.
  Duration latency = 2ms;
  uint64_t calls_count = 0;

  io::Task<Result<Outcome>> run(Transaction transaction, Duration timeout) override {
    CO_TRY(co_await arrive(timeout));
    auto outcome = etcd_.run(transaction);
    CO_TRY(co_await leave(timeout));
    co_return outcome;
  }
  io::Task<Result<Lease>> grant(Duration time_to_live, Duration timeout) override {
    CO_TRY(co_await arrive(timeout));
    auto lease = etcd_.grant(time_to_live);
    CO_TRY(co_await leave(timeout));
    co_return lease;
  }
  io::Task<Result<Lease>> keep_alive(LeaseId id, Duration timeout) override {
    CO_TRY(co_await arrive(timeout));
    auto lease = etcd_.keep_alive(id);
    CO_TRY(co_await leave(timeout));
    co_return lease;
  }
  io::Task<Status> revoke(LeaseId id, Duration timeout) override {
    CO_TRY(co_await arrive(timeout));
    Status revoked = etcd_.revoke(id);
    CO_TRY(co_await leave(timeout));
    co_return revoked;
  }

 private:
  io::Task<Status> arrive(Duration timeout) {
    ++calls_count;
    co_await env_.clock.sleep(latency / 2);
    if (fault == Fault::kDown) co_return error(Errc::kUnavailable, "connection refused");
    if (fault != Fault::kHangs) co_return ok();
    co_await env_.clock.sleep(timeout);
    co_return error(Errc::kTimeout, "no answer");
  }
  io::Task<Status> leave(Duration timeout) {
    co_await env_.clock.sleep(latency - latency / 2);
    if (fault != Fault::kLosesReply) co_return ok();
    co_await env_.clock.sleep(timeout);
    co_return error(Errc::kTimeout, "no answer");
  }

  FakeEtcd& etcd_;
  io::Env env_;
};

}  // namespace cairn::etcd::testing
