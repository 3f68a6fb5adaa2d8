/// CopysetRound: visits many copysets, a few at a time.
/// Threads:  one reactor.
/// Lifetime: it lives in the frame that awaits visit_all(), and the context outlives it.
#pragma once

#include <vector>

#include "mds/context.h"

namespace cairn::mds {

class CopysetRound {
 public:
  explicit CopysetRound(Context& mds) : mds_(mds), worker_ended_(mds.env.executor) {}
  virtual ~CopysetRound() = default;
  CopysetRound(const CopysetRound&) = delete;
  CopysetRound& operator=(const CopysetRound&) = delete;

  /// Once for each; returns when all have been visited, or the MDS stops. One call at a time.
  io::Task<void> visit_all(std::vector<CopysetId> copysets);

 protected:
  Context& mds() { return mds_; }

 private:
  virtual io::Task<void> visit(CopysetId copyset) = 0;
  io::Task<void> work();

  static constexpr size_t kVisitsAtOnceMax = 16;
  Context& mds_;
  std::vector<CopysetId> copysets_;
  size_t next_ = 0;
  size_t workers_count_ = 0;
  io::Event worker_ended_;
};

}  // namespace cairn::mds
