#include "mds/copyset_round.h"

namespace cairn::mds {

io::Task<void> CopysetRound::work() {
  while (next_ < copysets_.size() && !mds_.is_stopping()) {
    const CopysetId copyset = copysets_[next_++];
    co_await visit(copyset);
  }
  --workers_count_;
  worker_ended_.notify_all();
}

io::Task<void> CopysetRound::visit_all(std::vector<CopysetId> copysets) {
  CHECK(workers_count_ == 0, "one round at a time");
  copysets_ = std::move(copysets);
  next_ = 0;
  // Counted first: a worker may end before spawn() returns.
  workers_count_ = std::min(kVisitsAtOnceMax, copysets_.size());
  for (size_t left = workers_count_; left > 0; --left) mds_.env.executor.spawn(work());
  while (workers_count_ > 0) co_await worker_ended_.wait_next();
}

}  // namespace cairn::mds
