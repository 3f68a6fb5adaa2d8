#include "chunkserver/background/catch_up.h"

#include <algorithm>

namespace cairn::chunkserver {

CatchUp::CatchUp(ServiceContext& context, Options options)
    : context_(context), options_(options), gate_(context.env().executor) {}

void CatchUp::add(CopysetId copyset) {
  waiting_.insert(copyset);
  begin_some();
}

void CatchUp::start() {
  is_started_ = true;
  begin_some();
}

io::Task<void> CatchUp::stop() {
  co_await gate_.close();
}

void CatchUp::begin_some() {
  if (!is_started_ || gate_.is_closed()) return;
  for (auto next = waiting_.begin();
       next != waiting_.end() && running_.size() < options_.copysets_at_once_max;) {
    const CopysetId copyset = *next;
    if (!running_.insert(copyset).second) {
      ++next;  // told again: its run looks again before it ends
      continue;
    }
    next = waiting_.erase(next);
    context_.env().executor.spawn(run(copyset));
  }
}

io::Task<void> CatchUp::run(CopysetId copyset) {
  auto inside = gate_.enter();
  co_await io::later(context_.env().executor);  // whoever told it is not done yet
  uint32_t failures_count = 0;
  while (inside && !gate_.is_closed()) {
    auto more = co_await step(copyset);
    if (more && !*more) break;
    if (more) {
      failures_count = 0;
      continue;
    }
    if (failures_count++ == 0) {
      context_.env().logger.info("catching up waits",
                                 {{"copyset", copyset}, {"why", more.error().message()}});
    }
    if (more.code() == Errc::kIo) context_.report(more.error());
    if (more.code() == Errc::kIo || more.code() == Errc::kClosed) break;
    co_await wait(failures_count);
  }
  running_.erase(copyset);
  begin_some();
}

io::Task<Result<bool>> CatchUp::step(CopysetId copyset) {
  // Pinned for a piece at a time, so that the replica can be removed.
  auto found = context_.find_copyset(copyset);
  if (!found) co_return false;  // it says so again when it is back and still lacks something
  const PinnedCopyset pinned = std::move(*found);
  if (pinned->is_complete()) co_return false;
  CO_TRY(co_await pinned->copy_next_piece());
  co_return true;
}

io::Task<void> CatchUp::wait(uint32_t failures_count) {
  const Duration delay = std::min(options_.retry_delay_max,
                                  options_.retry_delay_min * (1 << std::min(failures_count, 8u)));
  co_await context_.env().clock.sleep(delay);
}

}  // namespace cairn::chunkserver
