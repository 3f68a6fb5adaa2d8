#include "sim/io/host.h"

#include "sim/io/fabric.h"
#include "sim/io/network.h"
#include "sim/io/world.h"

namespace cairn::sim {

// ---- SimExecutor

void SimExecutor::push(Item item) {
  if (is_dead_) return;
  queue_.push_back(std::move(item));
  if (!is_running_ && queue_.size() == 1) wake_();
}

void SimExecutor::post(std::coroutine_handle<> handle) {
  push({handle, nullptr});
}

void SimExecutor::post(std::function<void()> work) {
  push({{}, std::move(work)});
}

void SimExecutor::drain() {
  const bool outermost = !std::exchange(is_running_, true);
  CHECK(outermost, "turns do not nest");
  for (uint64_t items_count = 0; !queue_.empty(); ++items_count) {
    CHECK(items_count < kItemsPerTurnMax, "a turn does not end");
    Item item = std::move(queue_.front());
    queue_.pop_front();
    if (item.handle) {
      item.handle.resume();
    } else {
      item.work();
    }
  }
  is_running_ = false;
}

void SimExecutor::finish_turn() {
  bool again = true;
  for (uint64_t rounds_count = 0; again; ++rounds_count) {
    CHECK(rounds_count < kItemsPerTurnMax, "a turn does not end");
    drain();
    is_running_ = true;
    again = run_turn_hooks();
    is_running_ = false;
  }
}

void SimExecutor::kill() {
  is_dead_ = true;
  // What is posted may own things whose destructors post: it is taken out before it dies.
  std::deque<Item> dropped = std::move(queue_);
  queue_.clear();
}

// ---- SimClock

SimClock::SimClock(World& world, uint32_t process_number, Duration offset, int64_t drift_ppm)
    : world_(world),
      process_number_(process_number),
      offset_(offset),
      drift_ppm_(drift_ppm),
      born_(world.now()) {
  CHECK(drift_ppm > -500'000 && drift_ppm < 500'000);
}

Instant SimClock::now() const {
  const Duration elapsed = world_.now() - born_;
  // Whole microseconds drift: exact in 64 bits for a simulated year.
  const Duration drift{elapsed.count() / 1000 * drift_ppm_ / 1000};
  return world_.now() + offset_ + drift;
}

Instant SimClock::world_time_of(Instant local) const {
  const Duration ahead = local - now();
  if (ahead <= Duration::zero()) return world_.now();
  const double rate = 1.0 + static_cast<double>(drift_ppm_) * 1e-6;
  // One microsecond later covers the rounding: an event never comes before its time.
  const auto ahead_ns = static_cast<int64_t>(static_cast<double>(ahead.count()) / rate);
  return world_.now() + Duration(ahead_ns) + (drift_ppm_ == 0 ? Duration(0) : Duration(1000));
}

int64_t SimClock::wall_time_ns() const {
  constexpr int64_t kBeginNs = 1'800'000'000'000'000'000;
  return kBeginNs + world_.now().time_since_epoch().count();
}

uint64_t SimClock::schedule(Instant when, std::function<void()> callback) {
  return world_.queue().push(world_time_of(when), process_number_, std::move(callback));
}

void SimClock::cancel(uint64_t id) {
  world_.queue().cancel(id);
}

void SimEntropy::fill(MutableByteView into) {
  for (std::byte& byte : into) byte = static_cast<std::byte>(rng_.next() >> 56);
}

// ---- Process

Process::Process(World& world, Host& host)
    : world_(world),
      host_(host),
      number_(world.enlist(*this)),
      executor_([this] { wake_at(world_.now()); }),
      clock_(world, number_, host.clock_offset(), host.options().clock_drift_ppm),
      entropy_(world.fork_rng()),
      buffers_(size_t{8} << 20),
      rng_(world.fork_rng()),
      network_(std::make_unique<SimNetwork>(world.fabric(), *this)),
      busy_until_(world.now()) {}

Process::~Process() {
  CHECK(!is_enlisted_, "a process ends by a crash");
}

io::Env Process::env() {
  return io::Env{
      executor_, clock_, *network_, entropy_, buffers_, rng_, world_.logger(host_.name()),
      metrics_};
}

void Process::wake_at(Instant when) {
  if (is_wake_scheduled_) return;
  is_wake_scheduled_ = true;
  world_.at(when, [world = &world_, number = number_] {
    if (Process* process = world->process(number)) process->on_wake();
  });
}

void Process::on_wake() {
  is_wake_scheduled_ = false;
  if (is_paused_) return;
  if (world_.now() < busy_until_) {
    wake_at(busy_until_);
    return;
  }
  run_backlog();
}

void Process::deliver(EventId id) {
  backlog_.push_back(id);
  if (is_paused_ || is_in_turn_) {
    if (is_in_turn_) wake_at(world_.now());
    return;
  }
  if (world_.now() < busy_until_) {
    wake_at(busy_until_);
    return;
  }
  run_backlog();
}

void Process::run_backlog() {
  CHECK(!is_in_turn_, "turns do not nest");
  is_in_turn_ = true;
  std::vector<EventId> due;
  due.swap(backlog_);
  for (const EventId id : due) {
    auto work = world_.queue().claim(id);
    if (!work) continue;
    (*work)();
    executor_.drain();
  }
  executor_.finish_turn();
  busy_until_ = world_.now() + host_.options().turn_cost;
  is_in_turn_ = false;
  if (backlog_.empty()) {
    // Keeps its memory: a turn a few events long allocates nothing.
    due.clear();
    backlog_.swap(due);
  }
}

void Process::execute(const std::function<void()>& work) {
  CHECK(!is_in_turn_, "turns do not nest");
  is_in_turn_ = true;
  work();
  executor_.finish_turn();
  is_in_turn_ = false;
}

void Process::finish_turn() {
  if (is_paused_) return;
  execute([] {});
}

void Process::resume() {
  if (!std::exchange(is_paused_, false)) return;
  // What came due during a long pause is found in no certain order: which socket the kernel names
  // first has nothing to do with which had bytes first. One connection's bytes stay in order.
  for (size_t i = backlog_.size(); i > 1; --i) {
    std::swap(backlog_[i - 1], backlog_[world_.rng().below(i)]);
  }
  wake_at(world_.now());
}

void Process::begin_crash() {
  CHECK(!is_in_turn_, "a process is crashed from outside of its turns");
  world_.dismiss(number_);
  is_enlisted_ = false;
  for (const EventId id : backlog_) world_.queue().cancel(id);
  backlog_.clear();
  executor_.kill();
}

Process::Delay::~Delay() {
  if (id != 0) process.world_.queue().cancel(id);
}

void Process::Delay::await_suspend(std::coroutine_handle<> caller) {
  id = process.world_.queue().push(process.world_.now() + delay, process.number_, [this, caller] {
    id = 0;
    caller.resume();
  });
}

// ---- Host

Host::Host(World& world, size_t number, std::string name, std::string ip, HostOptions options)
    : world_(world),
      number_(number),
      name_(std::move(name)),
      ip_(std::move(ip)),
      options_(options),
      // Monotonic times of two hosts have nothing to do with each other.
      clock_offset_(std::chrono::seconds(world.rng().below(1'000'000))) {}

Host::~Host() {
  CHECK(!process_, "a host is crashed before it is destroyed");
}

void Host::boot() {
  CHECK(!process_, "the host is up");
  process_ = std::make_unique<Process>(world_, *this);
  is_dark_ = false;
  world_.fabric().on_host_up(*this);
}

void Host::crash(CrashKind kind, const std::function<void()>& destroy_components) {
  CHECK(process_, "the host is down");
  process_->begin_crash();
  is_dark_ = kind == CrashKind::kPowerLoss;
  world_.fabric().on_process_gone(*process_, kind);
  process_->executor().destroy_spawned();
  if (destroy_components) destroy_components();
  process_->executor().destroy_spawned();
  process_.reset();
  if (kind == CrashKind::kPowerLoss) {
    for (auto& [name, disk] : disks_) disk->lose_power();
  }
}

void Host::spawn(io::Task<void> task) {
  // The task moves through a holder because a std::function is copyable.
  auto held = std::make_shared<io::Task<void>>(std::move(task));
  execute([this, held] { process().executor().spawn(std::move(*held)); });
}

SimDisk& Host::disk(const std::string& name, DiskModel model) {
  auto& disk = disks_[name];
  if (!disk) disk = std::make_unique<SimDisk>(*this, name_ + ":" + name, model, world_.fork_rng());
  return *disk;
}

}  // namespace cairn::sim
