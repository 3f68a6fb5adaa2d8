#include "store/etcd/store.h"

#include <algorithm>
#include <iterator>

#include "store/etcd/backup.h"

namespace cairn::etcd {

namespace {

/// Of a scan that meets compaction each time: etcd is told to compact far too often.
constexpr int kScanTriesMax = 3;

Compare compare_of(const Layout& layout, const kv::Precondition& precondition) {
  std::string key = layout.content(precondition.key);
  if (!precondition.expected) return Compare::absent(std::move(key));
  return Compare::holds(std::move(key), *precondition.expected);
}

Transaction transaction_of(const Layout& layout, kv::WriteBatch batch) {
  Transaction transaction;
  for (const auto& precondition : batch.preconditions) {
    transaction.compares.push_back(compare_of(layout, precondition));
  }
  for (auto& put : batch.puts) {
    transaction.then.puts.push_back({layout.content(put.key), std::move(put.value), LeaseId()});
  }
  for (const auto& key : batch.deletes) {
    transaction.then.deletes.push_back({.first = layout.content(key)});
  }
  return transaction;
}

Duration commit_time(const StoreTimeouts& timeouts, const kv::WriteBatch& batch) {
  size_t bytes = 0;
  for (const auto& put : batch.puts) bytes += put.key.size() + put.value.size();
  return timeouts.commit + timeouts.commit_per_mib * (bytes / kMiB);
}

Error displaced(const RangeResult& active) {
  std::string where = "and none is known";
  if (!active.entries.empty()) {
    if (const auto member = decode_member(active.entries.front().value); member) {
      where = "that is at " + member->address;
    }
  }
  return error(Errc::kNotLeader, "this MDS is not the active one; " + where);
}

}  // namespace

Store::Store(Etcd& etcd, Layout layout, Revision term, StoreTimeouts timeouts)
    : etcd_(etcd), layout_(std::move(layout)), term_(term), timeouts_(timeouts) {
  CHECK(!term.is_zero(), "a store is that of a term");
}

/// kNotLeader if the term is over. An outcome that has not held is the transaction's own compares'.
io::Task<Result<Outcome>> Store::run_in_term(Transaction transaction, Duration timeout) {
  transaction.compares.push_back(Compare::created_at(layout_.active(), term_));
  transaction.otherwise.reads.push_back({.first = layout_.active()});
  auto outcome = CO_TRY(co_await etcd_.run(std::move(transaction), timeout));
  if (outcome.has_held) co_return outcome;
  CHECK(outcome.reads.size() == 1, "a transaction answers each of its reads");
  const RangeResult& active = outcome.reads.front();
  const bool is_of_term = !active.entries.empty() && active.entries.front().created == term_;
  if (!is_of_term) co_return displaced(active);
  co_return outcome;
}

io::Task<Result<std::optional<std::string>>> Store::get(std::string key) {
  CO_TRY(kv::check_key(key));
  Transaction transaction;
  transaction.then.reads.push_back({.first = layout_.content(key)});
  auto outcome = CO_TRY(co_await run_in_term(std::move(transaction), timeouts_.read));
  CHECK(outcome.has_held && outcome.reads.size() == 1, "a read compares the term alone");
  auto& entries = outcome.reads.front().entries;
  if (entries.empty()) co_return std::nullopt;
  co_return std::move(entries.front().value);
}

io::Task<Result<std::vector<kv::KeyValue>>> Store::scan(std::string prefix, size_t limit,
                                                        std::string after) {
  CO_TRY(kv::check_scan_limit(limit));
  const Range range = layout_.content_behind(prefix, after);
  for (int tries = 1;; ++tries) {
    auto pairs = co_await scan_as_one(range, limit);
    if (pairs.ok() || pairs.code() != Errc::kPreconditionFailed) co_return pairs;
    if (tries == kScanTriesMax) {
      co_return error(Errc::kUnavailable,
                      "etcd compacted its history away under a scan, again and again; let its "
                      "--auto-compaction-retention keep more (docs/howto/run-with-etcd.md)");
    }
  }
}

/// In pages of one revision. kPreconditionFailed: that was compacted meanwhile.
io::Task<Result<std::vector<kv::KeyValue>>> Store::scan_as_one(Range range, size_t limit) {
  std::vector<kv::KeyValue> pairs;
  while (pairs.size() < limit && range.first < range.end) {
    range.entries_max = std::min<uint64_t>(kRangeEntriesMax, limit - pairs.size());
    Transaction transaction;
    transaction.then.reads.push_back(range);
    auto outcome = CO_TRY(co_await run_in_term(std::move(transaction), timeouts_.read));
    CHECK(outcome.has_held && outcome.reads.size() == 1, "a read compares the term alone");
    const bool has_more = outcome.reads.front().has_more;
    auto page = take_page(layout_, std::move(outcome.reads.front()), outcome.revision, range);
    std::ranges::move(page, std::back_inserter(pairs));
    if (!has_more) break;
  }
  co_return pairs;
}

io::Task<Status> Store::commit(kv::WriteBatch batch) {
  CO_TRY(kv::check_batch(batch));
  auto preconditions = batch.preconditions;
  const Duration timeout = commit_time(timeouts_, batch);
  const auto outcome =
      CO_TRY(co_await run_in_term(transaction_of(layout_, std::move(batch)), timeout));
  if (outcome.has_held) co_return ok();
  co_return co_await explain_refusal(std::move(preconditions));
}

/// Which of them does not hold, by halving: an answer never carries what keys hold. Where that has
/// changed since the refusal another one may be named; that the batch was refused stays true.
io::Task<Error> Store::explain_refusal(std::vector<kv::Precondition> preconditions) {
  CHECK(!preconditions.empty(), "a batch without preconditions is refused for the term alone");
  auto first = preconditions.begin();
  auto end = preconditions.end();
  while (end - first > 1) {
    const auto middle = first + (end - first) / 2;
    Transaction transaction;
    for (auto one = first; one != middle; ++one) {
      transaction.compares.push_back(compare_of(layout_, *one));
    }
    const auto outcome = co_await run_in_term(std::move(transaction), timeouts_.read);
    if (!outcome.ok()) {
      co_return error(Errc::kPreconditionFailed,
                      "one of " + std::to_string(preconditions.size()) +
                          " keys does not hold what was expected; nothing was written");
    }
    (outcome->has_held ? first : end) = middle;
  }
  co_return kv::precondition_error(*first);
}

}  // namespace cairn::etcd
