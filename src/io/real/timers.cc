#include "io/real/timers.h"

#include <time.h>

#include "base/check.h"

namespace cairn::io::real {

namespace {
int64_t read_clock_ns(clockid_t which) {
  timespec time{};
  CHECK(::clock_gettime(which, &time) == 0);
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}
}  // namespace

Instant Timers::now() const {
  return Instant(Duration(read_clock_ns(CLOCK_BOOTTIME)));
}

int64_t Timers::wall_time_ns() const {
  return read_clock_ns(CLOCK_REALTIME);
}

uint64_t Timers::schedule(Instant when, std::function<void()> callback) {
  const uint64_t id = next_id_++;
  const auto [place, is_new] = due_.emplace(std::pair(when, id), std::move(callback));
  CHECK(is_new);
  by_id_.emplace(id, place);
  return id;
}

void Timers::cancel(uint64_t id) {
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return;  // It has fired, or fires just now.
  due_.erase(found->second);
  by_id_.erase(found);
}

bool Timers::fire_due(Instant now) {
  bool any = false;
  const uint64_t added_from_id = next_id_;
  for (auto first = due_.begin(); first != due_.end() && first->first.first <= now;) {
    if (first->first.second >= added_from_id) {  // Due at once again: it must not hold us here.
      ++first;
      continue;
    }
    auto callback = std::move(first->second);
    by_id_.erase(first->first.second);
    due_.erase(first);
    callback();
    any = true;
    first = due_.begin();  // The callback may have cancelled or added anything.
  }
  CHECK(due_.size() == by_id_.size());
  return any;
}

std::optional<Instant> Timers::earliest() const {
  if (due_.empty()) return std::nullopt;
  return due_.begin()->first.first;
}

}  // namespace cairn::io::real
