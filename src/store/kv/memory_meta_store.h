/// MemoryMetaStore: a store for the simulator and for tests; durable as far as its object is.
///
/// A simulated process that crashes loses its coroutine frames, not this object: whoever runs the
/// simulation owns it outside of the process and hands it to the next incarnation. What commit()
/// took is durable at once; what apply() took is not, see lose_unsynced().
#pragma once

#include <map>
#include <memory>

#include "base/rng.h"
#include "base/units.h"
#include "io/clock.h"
#include "store/kv/local_store.h"

namespace cairn::kv {

class MemoryMetaStore final : public LocalStore {
 public:
  MemoryMetaStore() = default;
  MemoryMetaStore(const MemoryMetaStore&) = delete;
  MemoryMetaStore& operator=(const MemoryMetaStore&) = delete;

  /// Makes calls take time: up to `latency_max` before a batch is applied and as much after it, so
  /// that a crash finds batches in every state. Called again for each new incarnation, whose clock
  /// it uses; without it every call completes at once.
  void set_latency(io::Clock& clock, Rng rng, Duration latency_max);
  void clear_latency() { latency_.reset(); }
  /// The next `count` commits fail with kIo; half of them are applied nevertheless, as a store
  /// whose answer was lost.
  void fail_next_commits(uint32_t count) { failures_count_ = count; }

  /// A power loss, between two incarnations: of what was applied and not synced only the first
  /// batches are left, how many is drawn.
  void lose_unsynced(Rng& rng);

  io::Task<Result<std::optional<std::string>>> get(std::string key) override;
  io::Task<Result<std::vector<KeyValue>>> scan(std::string prefix, size_t limit,
                                               std::string after) override;
  io::Task<Status> commit(WriteBatch batch) override;
  io::Task<Status> apply(WriteBatch batch, std::string mark) override;
  Result<std::string> mark() override { return mark_; }
  io::Task<Status> sync() override;
  Result<std::unique_ptr<StoreView>> view() override;
  io::Task<Status> replace(Content content) override;

  const std::map<std::string, std::string>& content() const { return content_; }

 private:
  struct Latency {
    io::Clock& clock;
    Rng rng;
    Duration max;
  };
  using Map = std::map<std::string, std::string>;
  struct Applied {
    WriteBatch batch;
    std::string mark;
  };
  io::Task<void> pass_time();
  Status check_preconditions(const WriteBatch& batch) const;
  static void write(const WriteBatch& batch, Map* into);
  void forget_unsynced();

  Map content_;
  std::string mark_;
  Map synced_content_;  ///< before what is unsynced, if anything is
  std::string synced_mark_;
  std::vector<Applied> unsynced_;
  std::unique_ptr<Latency> latency_;
  uint32_t failures_count_ = 0;
};

}  // namespace cairn::kv
