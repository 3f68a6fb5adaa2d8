/// CatchUp: copies to this disk the chunks that its incomplete replicas lack, a few replicas at
/// once and a piece of each at a time. Bounds:   copysets_at_once_max; the ChunkFetcher's rate. The
/// rest waits by its id alone. Threads:  one reactor. Lifetime: the context outlives it; stop()
/// before Host::stop(). Source:   docs/architecture.md, "When a replica lags".
#pragma once

#include <set>

#include "chunkserver/service.h"

namespace cairn::chunkserver {

class CatchUp {
 public:
  struct Options {
    size_t copysets_at_once_max = 4;
    /// After a piece that nobody could give; doubled from the one to the other.
    Duration retry_delay_min = 50ms;
    Duration retry_delay_max = 1s;
  };

  CatchUp(ServiceContext& context, Options options);

  /// `copyset` lacks chunks; may be said before start(), and more than once.
  void add(CopysetId copyset);
  void start();
  io::Task<void> stop();

 private:
  void begin_some();
  io::Task<void> run(CopysetId copyset);
  /// False: there is nothing (more) to do.
  io::Task<Result<bool>> step(CopysetId copyset);
  io::Task<void> wait(uint32_t failures_count);

  ServiceContext& context_;
  const Options options_;
  io::Gate gate_;
  bool is_started_ = false;
  std::set<CopysetId> waiting_;
  std::set<CopysetId> running_;
};

}  // namespace cairn::chunkserver
