#include "sim/io/world.h"

namespace cairn::sim {

namespace {
/// Not zero, so that "an hour ago" and a default Instant are times like others.
constexpr Instant kWorldBegin{std::chrono::hours(24)};
}  // namespace

World::World(uint64_t seed)
    : seed_(seed), rng_(seed), now_(kWorldBegin), fabric_(std::make_unique<Fabric>(*this)) {}

World::~World() {
  for (auto& host : hosts_) {
    if (host->is_running()) host->crash(CrashKind::kKill);
  }
}

Host& World::add_host(std::string name, HostOptions options) {
  const size_t number = hosts_.size() + 1;
  CHECK(number < 65000, "hosts have addresses 10.0.x.y");
  std::string ip = "10.0." + std::to_string(number / 250) + "." + std::to_string(number % 250);
  hosts_.push_back(std::make_unique<Host>(*this, number, std::move(name), std::move(ip), options));
  hosts_.back()->boot();
  return *hosts_.back();
}

EventId World::at(Instant when, std::function<void()> work) {
  return queue_.push(std::max(when, now_), kWorldItself, std::move(work));
}

void World::mix_into_trace(uint64_t value) {
  trace_hash_ = (trace_hash_ ^ value) * 0xff51afd7ed558ccd;
  trace_hash_ ^= trace_hash_ >> 32;
}

bool World::step(Instant not_after) {
  if (queue_.empty() || queue_.next_time() > not_after) return false;
  const EventQueue::Due due = queue_.pop();
  CHECK(due.at >= now_, "time does not go back");
  now_ = due.at;
  ++events_count_;
  mix_into_trace(static_cast<uint64_t>(due.at.time_since_epoch().count()) ^ (due.sequence << 20) ^
                 (static_cast<uint64_t>(due.owner) << 56));
  if (due.owner == kWorldItself) {
    if (auto work = queue_.claim(due.id)) (*work)();
  } else if (Process* owner = process(due.owner)) {
    owner->deliver(due.id);
  } else {
    queue_.cancel(due.id);
  }
  return true;
}

void World::finish_open_turns() {
  // What a test did outside of a turn (spawn, send) is ended like a turn.
  for (auto& host : hosts_) {
    if (host->is_running()) host->process().finish_turn();
  }
}

bool World::run_until(const std::function<bool()>& done, Duration limit) {
  const Instant not_after = now_ + limit;
  finish_open_turns();
  while (!done()) {
    if (!step(not_after)) return false;
  }
  return true;
}

void World::run_for(Duration duration) {
  const Instant until = now_ + duration;
  finish_open_turns();
  while (step(until)) {
  }
  now_ = until;
}

bool World::run_until_idle(Duration limit) {
  const Instant not_after = now_ + limit;
  finish_open_turns();
  while (step(not_after)) {
  }
  return queue_.empty();
}

void World::set_log(LogSink* sink, LogLevel level_min) {
  log_sink_ = sink;
  log_level_min_ = level_min;
}

Logger World::logger(const std::string& component) const {
  return log_sink_ ? Logger(*log_sink_, component, log_level_min_) : Logger();
}

uint32_t World::enlist(Process& process) {
  processes_.push_back(&process);
  return static_cast<uint32_t>(processes_.size() - 1);
}

void World::dismiss(uint32_t number) {
  CHECK(processes_[number] != nullptr);
  processes_[number] = nullptr;
}

Process* World::process(uint32_t number) {
  CHECK(number < processes_.size());
  return processes_[number];
}

void World::deliver(uint32_t number, std::function<void()> work) {
  if (Process* owner = process(number)) owner->deliver(queue_.park(std::move(work)));
}

}  // namespace cairn::sim
