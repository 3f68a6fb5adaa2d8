#include "chunkserver/background/slow_disk.h"

#include <algorithm>

#include "raft/raw_node.h"

namespace cairn::chunkserver {

void SlowDiskJudge::note(Instant now, bool lags) {
  samples_.push_back({.at = now, .lags = lags});
  while (samples_.front().at + options_.window < now) samples_.pop_front();
}

bool SlowDiskJudge::is_slow() const {
  if (samples_.size() < options_.samples_min) return false;
  if (samples_.back().at - samples_.front().at < options_.sustained_min) return false;
  const auto lagging = std::ranges::count_if(samples_, [](const Sample& s) { return s.lags; });
  return static_cast<double>(lagging) >=
         options_.lagging_share_min * static_cast<double>(samples_.size());
}

SlowDiskWatch::SlowDiskWatch(io::Env env, multiraft::Host& host, NodeId self,
                             SlowDiskOptions options)
    : env_(env),
      host_(host),
      self_(self),
      options_(options),
      judge_(options),
      timer_(env.clock, [this] { sample(); }),
      gate_(env.executor),
      sheds_total_(env.metrics.counter("cairn_chunkserver_slow_disk_total",
                                       "Times that leaderships were handed over because this disk "
                                       "was much slower than the followers'")) {}

void SlowDiskWatch::start() {
  timer_.arm_after(options_.sample_interval);
}

void SlowDiskWatch::sample() {
  timer_.arm_after(options_.sample_interval);
  const wal::Lsn last = host_.log().last_lsn();
  const bool is_idle = last == seen_ && host_.log().durable_lsn() == last;
  seen_ = last;
  if (is_idle || is_shedding_ || host_.disk_error()) return;
  size_t active_count = 0, lagging_count = 0;
  std::map<GroupId, LogIndex> committed;
  for (const auto& [group, node] : host_.nodes()) {
    if (!node->is_ready_leader()) continue;
    const raft::RawNode& core = node->core();
    const raft::Progress* own = core.progress(self_);
    if (!own) continue;
    committed.emplace(group, core.committed());
    const auto before = committed_.find(group);
    if (before == committed_.end()) continue;
    const bool lags = own->match < before->second;
    active_count += lags || core.committed() > before->second ? 1 : 0;
    lagging_count += lags ? 1 : 0;
  }
  committed_ = std::move(committed);
  if (active_count == 0) return;
  // The groups share one log: where one of them lags for its disk, most that are active do.
  judge_.note(env_.clock.now(), 2 * lagging_count >= active_count);
  if (judge_.is_slow()) env_.executor.spawn(shed());
}

io::Task<void> SlowDiskWatch::shed() {
  auto inside = gate_.enter();
  if (!inside) co_return;
  is_shedding_ = true;
  judge_.reset();
  committed_.clear();
  sheds_total_.add();
  env_.logger.warn(
      "this disk is much slower than those of the followers: leaderships are handed over. Look at "
      "its latency and its errors; replace it if that does not pass");
  const size_t count = co_await hand_over_leaderships(env_, &host_, {});
  env_.logger.info("leaderships were handed over", {{"count", count}});
  is_shedding_ = false;
}

io::Task<void> SlowDiskWatch::stop() {
  timer_.disarm();
  co_await gate_.close();
}

}  // namespace cairn::chunkserver
