#include "store/etcd/backup.h"

#include "base/check.h"

namespace cairn::etcd {

namespace {

/// Of one transaction of a load: far below etcd's limits, so that others get their turn.
constexpr size_t kLoadPairsMax = 4096;
constexpr size_t kLoadBytesMax = 4 * kMiB;

struct Found {
  bool has_active = false;
  bool has_content = false;
  Revision loading;  ///< since when a load has been under way; zero: none is
};

io::Task<Result<Found>> look(Etcd& etcd, const Layout& layout, Duration timeout) {
  Transaction transaction;
  Range some = layout.all_content();
  some.entries_max = 1;
  transaction.then.reads = {{.first = layout.active()}, {.first = layout.loading()}, some};
  const auto outcome = CO_TRY(co_await etcd.run(std::move(transaction), timeout));
  const auto& loading = outcome.reads[1].entries;
  co_return Found{.has_active = !outcome.reads[0].entries.empty(),
                  .has_content = !outcome.reads[2].entries.empty(),
                  .loading = loading.empty() ? Revision() : loading.front().created};
}

/// What is there of a load that did not end goes. The revision that created the mark.
io::Task<Result<Revision>> begin_load(Etcd& etcd, const Layout& layout, Duration timeout) {
  const Found found = CO_TRY(co_await look(etcd, layout, timeout));
  if (found.has_active) {
    co_return error(Errc::kUnavailable, "an MDS is active on this etcd; stop all of them first");
  }
  if (found.loading.is_zero() && found.has_content) {
    co_return error(Errc::kAlreadyExists,
                    "this etcd holds metadata under that prefix; nothing was loaded");
  }
  if (!found.loading.is_zero()) {
    Transaction clear;
    clear.compares.push_back(Compare::created_at(layout.loading(), found.loading));
    clear.then.deletes = {layout.all_content(), {.first = layout.loading()}};
    CO_TRY(co_await etcd.run(std::move(clear), timeout));
  }
  Transaction begin;
  begin.compares = {Compare::absent(layout.active()), Compare::absent(layout.loading())};
  begin.then.puts.push_back({layout.loading(), "a load has begun", LeaseId()});
  const auto begun = CO_TRY(co_await etcd.run(std::move(begin), timeout));
  if (!begun.has_held) {
    co_return error(Errc::kUnavailable,
                    "an MDS has become active, or another load has begun; nothing was loaded");
  }
  co_return begun.revision;
}

io::Task<Status> write_in_load(Etcd& etcd, const Layout& layout, Revision loading,
                               Operations operations, Duration timeout) {
  Transaction transaction;
  transaction.compares.push_back(Compare::created_at(layout.loading(), loading));
  transaction.then = std::move(operations);
  const auto written = CO_TRY(co_await etcd.run(std::move(transaction), timeout));
  if (written.has_held) co_return ok();
  co_return error(Errc::kUnavailable, "another load has begun; this one ends here");
}

}  // namespace

std::vector<kv::KeyValue> take_page(const Layout& layout, RangeResult page, Revision at,
                                    Range& range) {
  std::vector<kv::KeyValue> pairs;
  if (page.entries.empty()) return pairs;
  range.first = page.entries.back().key + '\0';
  if (range.at.is_zero()) range.at = at;
  pairs.reserve(page.entries.size());
  for (auto& entry : page.entries) {
    pairs.push_back({layout.key_of(entry.key), std::move(entry.value)});
  }
  return pairs;
}

ContentReader::ContentReader(Etcd& etcd, Layout layout, Duration timeout)
    : etcd_(etcd), layout_(std::move(layout)), timeout_(timeout), range_(layout_.all_content()) {
  range_.entries_max = kRangeEntriesMax;
}

io::Task<Result<std::vector<kv::KeyValue>>> ContentReader::next() {
  if (is_at_end_) co_return std::vector<kv::KeyValue>();
  Transaction transaction;
  transaction.then.reads.push_back(range_);
  auto outcome = CO_TRY(co_await etcd_.run(std::move(transaction), timeout_));
  CHECK(outcome.reads.size() == 1, "a transaction answers each of its reads");
  is_at_end_ = !outcome.reads.front().has_more;
  co_return take_page(layout_, std::move(outcome.reads.front()), outcome.revision, range_);
}

io::Task<Status> load(Etcd& etcd, Layout layout, std::vector<kv::KeyValue> pairs,
                      Duration timeout) {
  for (const auto& pair : pairs) CO_TRY(kv::check_key(pair.key));
  const Revision loading = CO_TRY(co_await begin_load(etcd, layout, timeout));
  Operations part;
  size_t part_bytes = 0;
  for (auto& pair : pairs) {
    part_bytes += pair.key.size() + pair.value.size();
    part.puts.push_back({layout.content(pair.key), std::move(pair.value), LeaseId()});
    if (part.puts.size() < kLoadPairsMax && part_bytes < kLoadBytesMax) continue;
    CO_TRY(co_await write_in_load(etcd, layout, loading, std::exchange(part, {}), timeout));
    part_bytes = 0;
  }
  part.deletes.push_back({.first = layout.loading()});
  co_return co_await write_in_load(etcd, layout, loading, std::move(part), timeout);
}

}  // namespace cairn::etcd
