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

Status MemoryMetaStore::check_preconditions(const WriteBatch& batch) const {
  for (const auto& precondition : batch.preconditions) {
    const auto found = content_.find(precondition.key);
    const bool holds = precondition.expected
                           ? found != content_.end() && found->second == *precondition.expected
                           : found == content_.end();
    if (!holds) return precondition_error(precondition);
  }
  return ok();
}

io::Task<Status> MemoryMetaStore::commit(WriteBatch batch) {
  CO_TRY(check_batch(batch));
  co_await pass_time();
  // From here to write() nothing is awaited: the batch is checked and applied as one.
  CO_TRY(check_preconditions(batch));
  const bool fails = failures_count_ > 0;
  if (fails) --failures_count_;
  if (!fails || failures_count_ % 2 == 0) {
    write(batch, &content_);
    forget_unsynced();
  }
  co_await pass_time();
  if (fails) co_return error(Errc::kIo, "an injected failure; the outcome is unknown");
  co_return ok();
}

io::Task<Status> MemoryMetaStore::apply(WriteBatch batch, std::string mark) {
  CO_TRY(check_batch(batch));
  co_await pass_time();
  CO_TRY(check_preconditions(batch));
  if (unsynced_.empty()) {
    synced_content_ = content_;
    synced_mark_ = mark_;
  }
  write(batch, &content_);
  mark_ = mark;
  unsynced_.push_back({std::move(batch), std::move(mark)});
  co_return ok();
}

io::Task<Status> MemoryMetaStore::sync() {
  co_await pass_time();
  forget_unsynced();
  co_return ok();
}

void MemoryMetaStore::forget_unsynced() {
  unsynced_.clear();
  synced_content_.clear();
}

void MemoryMetaStore::lose_unsynced(Rng& rng) {
  if (unsynced_.empty()) return;
  const size_t kept_count = rng.below(unsynced_.size() + 1);
  content_ = std::move(synced_content_);
  mark_ = synced_mark_;
  for (size_t i = 0; i < kept_count; ++i) {
    write(unsynced_[i].batch, &content_);
    mark_ = unsynced_[i].mark;
  }
  forget_unsynced();
}

namespace {

class MemoryView final : public StoreView {
 public:
  MemoryView(std::map<std::string, std::string> content, std::string mark)
      : content_(std::move(content)), mark_(std::move(mark)), at_(content_.begin()) {}
  const std::string& mark() const override { return mark_; }
  Result<std::vector<KeyValue>> next(size_t limit) override {
    std::vector<KeyValue> pairs;
    for (; at_ != content_.end() && pairs.size() < limit; ++at_) {
      pairs.push_back({at_->first, at_->second});
    }
    return pairs;
  }

 private:
  const std::map<std::string, std::string> content_;
  const std::string mark_;
  std::map<std::string, std::string>::const_iterator at_;
};

}  // namespace

Result<std::unique_ptr<StoreView>> MemoryMetaStore::view() {
  return std::unique_ptr<StoreView>(std::make_unique<MemoryView>(content_, mark_));
}

io::Task<Status> MemoryMetaStore::replace(Content content) {
  CO_TRY(check_content(content));
  co_await pass_time();
  content_.clear();
  for (auto& pair : content.pairs) content_[std::move(pair.key)] = std::move(pair.value);
  mark_ = std::move(content.mark);
  forget_unsynced();
  co_return ok();
}

void MemoryMetaStore::write(const WriteBatch& batch, Map* into) {
  for (const auto& put : batch.puts) (*into)[put.key] = put.value;
  for (const auto& key : batch.deletes) into->erase(key);
}

}  // namespace cairn::kv
