// Making a copyset's chunks durable: names first, then each chunk's table with its data.
#include "store/chunk/in_place_state.h"

namespace cairn::chunk {

/// What the workers of one flush share. It lives in the frame of flush_handles(), which waits for
/// them; a worker that is destroyed in mid-flight does not touch it.
struct InPlaceStore::FlushRun {
  explicit FlushRun(io::Executor& executor) : ended(executor) {}
  std::deque<Handle*> waiting;
  size_t workers_count = 0;
  std::optional<Error> failure;
  io::Event ended;
};

void InPlaceStore::latch_failure(const Error& error) {
  if (failure_) return;
  env_.logger.error("a flush failed: nothing more is made durable", {{"error", error.describe()}});
  failure_ = error;
}

bool InPlaceStore::needs_flush(CopysetId copyset) const {
  if (dirty_count_ < options_.dirty_chunks_max) return false;
  const Copyset* present = find(copyset);
  if (present == nullptr || present->dirty.empty()) return false;
  // Those above the mean: flushing the few large ones gives the most room for a log entry.
  return present->dirty.size() * copysets_.size() >= dirty_count_;
}

InPlaceStore::Copyset* InPlaceStore::dirtiest() const {
  Copyset* most = nullptr;
  for (const auto& [id, copyset] : copysets_) {
    if (copyset->dirty.empty()) continue;
    const bool is_more = most == nullptr || copyset->dirty.size() > most->dirty.size() ||
                         (copyset->dirty.size() == most->dirty.size() && id < most->id);
    if (is_more) most = copyset.get();
  }
  return most;
}

io::Task<Status> InPlaceStore::flush(CopysetId copyset) {
  const auto running = CO_TRY(gate_.enter());
  co_return co_await flush_locked(copyset);
}

io::Task<Status> InPlaceStore::flush_locked(CopysetId copyset) {
  Copyset* present = find(copyset);
  if (present == nullptr) {
    co_return error(Errc::kNotFound, "copyset " + to_string(copyset) + " is not on this disk");
  }
  ++present->users_count;
  Status flushed = ok();
  {
    const auto turn = co_await present->flush_turn.acquire();
    if (failure_) {
      flushed = *failure_;
    } else {
      flushed = co_await flush_handles(present);
      if (!flushed.ok()) latch_failure(flushed.error());
    }
  }
  --present->users_count;
  changed_.notify_all();
  co_return flushed;
}

io::Task<Status> InPlaceStore::flush_handles(Copyset* copyset) {
  CHECK(copyset->flushing.empty(), "one flush of a copyset at a time");
  // Taken before the names are synced, so that each chunk here has a durable name when its first
  // header is written: a ready file of the pool never carries one (docs/formats/pool.md).
  while (!copyset->dirty.empty()) move_to(*copyset->dirty.back(), copyset->flushing);
  FlushRun run(env_.executor);
  std::vector<Pin> pins;
  pins.reserve(copyset->flushing.size());
  for (Handle* handle : copyset->flushing) {
    handle->is_changed_while_flushing = false;
    pins.emplace_back(*this, *handle);
    run.waiting.push_back(handle);
  }
  const bool has_removals = std::exchange(copyset->has_removals, false);
  const bool are_names_dirty = std::exchange(copyset->are_names_dirty, false);
  if (has_removals) CO_TRY(co_await pool_.sync());
  if (are_names_dirty) CO_TRY(co_await disk_.sync_directory(directory_of(copyset->id)));
  // Counted first: a worker may end before spawn() returns.
  run.workers_count = std::min(pins.size(), options_.flushes_inflight_max);
  for (size_t left = run.workers_count; left > 0; --left) {
    env_.executor.spawn(flush_worker(&run));
  }
  while (run.workers_count > 0) co_await run.ended.wait_next();
  if (run.failure) co_return *run.failure;
  CHECK(copyset->flushing.empty());
  co_return ok();
}

io::Task<void> InPlaceStore::flush_worker(FlushRun* run) {
  while (!run->waiting.empty() && !run->failure) {
    Handle& handle = *run->waiting.front();
    run->waiting.pop_front();
    const Status flushed = co_await handle.file->flush();
    if (!flushed.ok()) {
      if (!run->failure) run->failure = flushed.error();
      break;
    }
    flushes_total_.add();
    if (handle.is_changed_while_flushing) {
      move_to(handle, handle.copyset->dirty);
    } else {
      move_to(handle, clean_);
      dirty_gauge_.set(static_cast<int64_t>(--dirty_count_));
    }
  }
  if (--run->workers_count == 0) run->ended.notify_all();
}

}  // namespace cairn::chunk
