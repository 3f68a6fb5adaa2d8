#include "store/kv/memory_meta_store.h"

namespace cairn::kv {

void MemoryMetaStore::set_latency(io::Clock& clock, Rng rng, Duration latency_max) {
  CHECK(latency_max > Duration::zero());
  latency_ = std::make_unique<Latency>(Latency{clock, rng, latency_max});
}

io::Task<void> MemoryMetaStore::pass_time() {
  if (!latency_) co_return;
  const auto delay = Duration(latency_->rng.below(static_cast<uint64_t>(latency_->max.count())));
  co_await latency_->clock.sleep(delay);
}

io::Task<Result<std::optional<std::string>>> MemoryMetaStore::get(std::string key) {
  CO_TRY(check_key(key));
  co_await pass_time();
  const auto found = content_.find(key);
  if (found == content_.end()) co_return std::optional<std::string>();
  co_return std::optional<std::string>(found->second);
}

io::Task<Result<std::vector<KeyValue>>> MemoryMetaStore::scan(std::string prefix, size_t limit,
                                                              std::string after) {
  CO_TRY(check_scan_limit(limit));
  co_await pass_time();
  std::vector<KeyValue> found;
  auto at = after < prefix ? content_.lower_bound(prefix) : content_.upper_bound(after);
  for (; at != content_.end() && at->first.starts_with(prefix) && found.size() < limit; ++at) {
    found.push_back({at->first, at->second});
  }
  co_return found;
}

io::Task<Status> MemoryMetaStore::commit(WriteBatch batch) {
  CO_TRY(check_batch(batch));
  co_await pass_time();
  // From here to apply() nothing is awaited: the batch is checked and applied as one.
  for (const auto& precondition : batch.preconditions) {
    const auto found = content_.find(precondition.key);
    const bool holds = precondition.expected
                           ? found != content_.end() && found->second == *precondition.expected
                           : found == content_.end();
    if (!holds) co_return precondition_error(precondition);
  }
  const bool fails = failures_count_ > 0;
  if (fails) --failures_count_;
  if (!fails || failures_count_ % 2 == 0) apply(std::move(batch));
  co_await pass_time();
  if (fails) co_return error(Errc::kIo, "an injected failure; the outcome is unknown");
  co_return ok();
}

void MemoryMetaStore::apply(WriteBatch batch) {
  for (auto& put : batch.puts) content_[std::move(put.key)] = std::move(put.value);
  for (const auto& key : batch.deletes) content_.erase(key);
}

}  // namespace cairn::kv
