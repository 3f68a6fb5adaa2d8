/// Host: a simulated machine. Its Process is what one boot runs: executor, clock, network, entropy;
/// its disks outlive it.
///
/// A crash takes a process apart in the order that io/executor.h and io/sync.h rely on: nothing
/// reaches it any more, its frames die, then its component objects, then its disks lose what was
/// not durable.
/// Threads: one.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "io/env.h"
#include "sim/io/disk.h"
#include "sim/io/event_queue.h"

namespace cairn::sim {

class World;
class Host;
class SimNetwork;

struct HostOptions {
  /// What a turn costs: the process is busy for so long after it.
  Duration turn_cost = 2us;
  /// How much faster its clock runs, in millionths.
  int64_t clock_drift_ppm = 0;
};

enum class CrashKind : uint8_t {
  kKill,       ///< the process dies; the page cache stays; peers' connections are reset
  kPowerLoss,  ///< the machine is gone: unsynced sectors are lost or torn; peers hear nothing
};

class SimExecutor : public io::Executor {
 public:
  explicit SimExecutor(std::function<void()> wake) : wake_(std::move(wake)) {}
  void post(std::coroutine_handle<> handle) override;
  void post(std::function<void()> work) override;

  /// Runs what is posted until nothing is.
  void drain();
  /// The same with the hooks of the turn's end.
  void finish_turn();
  /// From now on posts go nowhere.
  void kill();

 private:
  struct Item {
    std::coroutine_handle<> handle;
    std::function<void()> work;
  };
  void push(Item item);

  std::deque<Item> queue_;
  std::function<void()> wake_;  ///< posted from outside of a turn
  bool is_running_ = false;
  bool is_dead_ = false;

  static constexpr uint64_t kItemsPerTurnMax = 50'000'000;  ///< more is a loop without an end
};

class SimClock : public io::Clock {
 public:
  SimClock(World& world, uint32_t process_number, Duration offset, int64_t drift_ppm);
  Instant now() const override;
  int64_t wall_time_ns() const override;
  uint64_t schedule(Instant when, std::function<void()> callback) override;
  void cancel(uint64_t id) override;

 private:
  Instant world_time_of(Instant local) const;

  World& world_;
  const uint32_t process_number_;
  const Duration offset_;
  const int64_t drift_ppm_;
  const Instant born_;
};

class SimEntropy : public io::Entropy {
 public:
  explicit SimEntropy(Rng rng) : rng_(rng) {}
  void fill(MutableByteView into) override;

 private:
  Rng rng_;
};

/// One boot of a host.
class Process {
 public:
  Process(World& world, Host& host);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  uint32_t number() const { return number_; }
  Host& host() { return host_; }
  World& world() { return world_; }
  io::Env env();
  SimExecutor& executor() { return executor_; }
  SimClock& clock() { return clock_; }

  /// Runs a parked or popped event in a turn: now, or when the process is free again.
  void deliver(EventId id);
  /// A turn of its own, at once. Not from within a turn.
  void execute(const std::function<void()>& work);
  /// Ends what was begun outside of a turn.
  void finish_turn();

  void pause() { is_paused_ = true; }
  void resume();
  bool is_paused() const { return is_paused_; }

  /// Resumes the awaiting frame after `delay` of the world's time.
  struct Delay {
    Process& process;
    Duration delay;
    EventId id = 0;
    ~Delay();
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> caller);
    void await_resume() const noexcept {}
  };
  Delay delay(Duration duration) { return Delay{*this, duration}; }

 private:
  friend class Host;
  void wake_at(Instant when);
  void on_wake();
  void run_backlog();
  void begin_crash();

  World& world_;
  Host& host_;
  const uint32_t number_;
  SimExecutor executor_;
  SimClock clock_;
  SimEntropy entropy_;
  BufferPool buffers_;
  Rng rng_;
  Registry metrics_;
  std::unique_ptr<SimNetwork> network_;
  std::vector<EventId> backlog_;  ///< due, and waiting until the process is free
  Instant busy_until_;
  bool is_wake_scheduled_ = false;
  bool is_paused_ = false;
  bool is_in_turn_ = false;
  bool is_enlisted_ = true;
};

class Host {
 public:
  Host(World& world, size_t number, std::string name, std::string ip, HostOptions options);
  ~Host();
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  size_t number() const { return number_; }
  const std::string& name() const { return name_; }
  const std::string& ip() const { return ip_; }
  io::Address address(uint16_t port) const { return {ip_ + ":" + std::to_string(port)}; }
  const HostOptions& options() const { return options_; }
  Duration clock_offset() const { return clock_offset_; }

  bool is_running() const { return process_ != nullptr; }
  /// After a power loss and before the next boot: no answer of any kind.
  bool is_dark() const { return is_dark_; }
  Process& process() {
    CHECK(process_, "the host is down");
    return *process_;
  }
  io::Env env() { return process().env(); }
  World& world() { return world_; }

  /// Starts a new process. The host is down.
  void boot();
  /// `destroy_components` frees what the owner built on env(); it runs after the frames are gone.
  void crash(CrashKind kind, const std::function<void()>& destroy_components = {});

  void pause() { process().pause(); }
  void resume() { process().resume(); }
  bool is_paused() { return process_ && process_->is_paused(); }

  /// Runs `work`, or starts a task, in a turn of this host, at once.
  void execute(const std::function<void()>& work) { process().execute(work); }
  void spawn(io::Task<void> task);

  /// A disk of this host, made when it is first asked for.
  SimDisk& disk(const std::string& name = "disk", DiskModel model = {});

 private:
  World& world_;
  const size_t number_;
  const std::string name_;
  const std::string ip_;
  const HostOptions options_;
  const Duration clock_offset_;
  std::unique_ptr<Process> process_;
  std::map<std::string, std::unique_ptr<SimDisk>> disks_;
  bool is_dark_ = false;
};

}  // namespace cairn::sim
