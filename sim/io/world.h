/// World: a cluster of simulated hosts in one thread, with virtual time.
///
/// Everything that happens is an event of one queue; all chance comes from one seed; so a run is
/// repeated exactly by its seed, and `trace_hash()` proves it. Between two events no time passes;
/// what a process does in a turn costs it HostOptions::turn_cost, and events that come due to it
/// meanwhile run together in its next turn, as under a real reactor.
///
///   World world(7);
///   Host& host = world.add_host("a");
///   Result<int> answer = world.run(host, compute(host.env()));
/// Threads: one.
#pragma once

#include <concepts>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/rng.h"
#include "io/task.h"
#include "sim/io/event_queue.h"
#include "sim/io/fabric.h"
#include "sim/io/host.h"

namespace cairn::sim {

class World {
 public:
  explicit World(uint64_t seed);
  /// Crashes what still runs. A component that a frame refers to has to be gone through
  /// Host::crash() before, or hold no frame any more.
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  uint64_t seed() const { return seed_; }
  /// The world's own time; hosts' clocks differ from it by their offset and drift.
  Instant now() const { return now_; }
  /// For the faults and the workload that the owner of the world injects.
  Rng& rng() { return rng_; }
  Fabric& fabric() { return *fabric_; }

  /// A host that is up, with an address of its own (10.0.0.1, 10.0.0.2, ...).
  Host& add_host(std::string name, HostOptions options = {});
  const std::vector<std::unique_ptr<Host>>& hosts() const { return hosts_; }

  /// Calls `work` at a time, outside of any process.
  EventId at(Instant when, std::function<void()> work);
  EventId after(Duration delay, std::function<void()> work) { return at(now_ + delay, work); }
  bool cancel(EventId id) { return queue_.cancel(id); }

  /// Runs until `done()` holds (looked at after each event); false if `limit` passed first or
  /// nothing is left to happen.
  bool run_until(const std::function<bool()>& done, Duration limit);
  void run_for(Duration duration);
  /// Runs until nothing is pending; false if that took longer than `limit`.
  bool run_until_idle(Duration limit = std::chrono::hours(1));
  /// Runs a task on a host's executor to its end, which has to come within `limit`.
  template <typename T>
  T run(Host& host, io::Task<T> task, Duration limit = std::chrono::hours(1));

  /// Depends on every event so far: its time, order and owner. Owners may mix in what they saw.
  uint64_t trace_hash() const { return trace_hash_; }
  void mix_into_trace(uint64_t value);
  uint64_t events_count() const { return events_count_; }

  /// Where the processes log from now on (those booted later); null: nowhere.
  void set_log(LogSink* sink, LogLevel level_min = LogLevel::kInfo);
  Logger logger(const std::string& component) const;

  // For Host, Process, SimClock and Fabric:
  EventQueue& queue() { return queue_; }
  Rng fork_rng() { return rng_.fork(); }
  uint32_t enlist(Process& process);
  void dismiss(uint32_t process_number);
  Process* process(uint32_t number);
  /// Runs `work` in a turn of the process, now or when it is free again; nothing if it is gone.
  void deliver(uint32_t process_number, std::function<void()> work);

 private:
  bool step(Instant not_after);
  void finish_open_turns();

  const uint64_t seed_;
  Rng rng_;
  Instant now_;
  EventQueue queue_;
  std::vector<Process*> processes_{nullptr};  ///< by number; null: gone
  std::unique_ptr<Fabric> fabric_;
  std::vector<std::unique_ptr<Host>> hosts_;
  uint64_t trace_hash_ = 0x9e3779b97f4a7c15;
  uint64_t events_count_ = 0;
  LogSink* log_sink_ = nullptr;
  LogLevel log_level_min_ = LogLevel::kInfo;
};

namespace detail {
template <typename T>
io::Task<void> store_result(io::Task<T> task, std::optional<T>* into) {
  into->emplace(co_await std::move(task));
}
inline io::Task<void> store_end(io::Task<void> task, bool* ended) {
  co_await std::move(task);
  *ended = true;
}
}  // namespace detail

template <typename T>
T World::run(Host& host, io::Task<T> task, Duration limit) {
  if constexpr (std::same_as<T, void>) {
    bool ended = false;
    host.spawn(detail::store_end(std::move(task), &ended));
    CHECK(run_until([&] { return ended; }, limit), "the task did not end within its limit");
  } else {
    std::optional<T> result;
    host.spawn(detail::store_result(std::move(task), &result));
    CHECK(run_until([&] { return result.has_value(); }, limit),
          "the task did not end within its limit");
    return std::move(*result);
  }
}

}  // namespace cairn::sim
