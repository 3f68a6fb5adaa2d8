#include "io/real/reactor.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>

#include "base/check.h"
#include "io/real/disk.h"
#include "io/real/event_loop.h"
#include "io/real/io_ring.h"
#include "io/real/network.h"
#include "io/real/system_error.h"
#include "io/real/thread_inbox.h"
#include "io/real/timers.h"

namespace cairn::io::real {

namespace {
// Bounds of a turn: whoever has more to do continues in the next, after the hooks have run.
constexpr size_t kEventsMax = 64;
constexpr int kRoundsMax = 64;
constexpr Duration kSubmitAgainAfter = 1ms;
// Half of the shortest election timeout is left after such a turn: whoever looks for the cause of
// an election finds it in the log.
constexpr Duration kLongTurn = 400ms;
}  // namespace

struct Reactor::Parts {
  EventLoop loop;
  Timers timers;
  SocketNetwork network;
  SystemEntropy entropy;
  std::unique_ptr<IoRing> ring;  // Made with the first disk: a client needs none.
  Logger logger;
  Parts(Executor& executor, Logger to)
      : network(executor, loop, timers, to), logger(std::move(to)) {}
};

Reactor::Reactor(ReactorOptions options)
    : parts_(std::make_unique<Parts>(*this, std::move(options.logger))) {}

Reactor::~Reactor() {
  destroy_spawned();
}

void Reactor::post(std::coroutine_handle<> handle) {
  posted_.push(Work{.handle = handle, .call = nullptr});
}

void Reactor::post(std::function<void()> work) {
  CHECK(work != nullptr);
  posted_.push(Work{.handle = nullptr, .call = std::move(work)});
}

void Reactor::run() {
  stopping_ = false;
  bool may_sleep = false;  // Before the first turn hooks may be armed, which no wait would see.
  while (!stopping_) run_turn(std::exchange(may_sleep, true));
}

void Reactor::run_while_not(const bool& done) {
  bool may_sleep = false;
  while (!done) run_turn(std::exchange(may_sleep, true));
}

Task<void> Reactor::keep_end(Task<void> task, bool* done) {
  co_await std::move(task);
  *done = true;
}

void Reactor::run_turn(bool may_sleep) {
  if (may_sleep) sleep_until_something_is_ready();
  IoRing* const ring = parts_->ring.get();
  const Instant began = parts_->timers.now();
  run_posted();
  parts_->loop.poll(kEventsMax);
  parts_->timers.fire_due(parts_->timers.now());
  for (int round = 0; round < kRoundsMax; ++round) {
    const bool reaped = ring != nullptr && ring->reap();
    const bool ran = run_posted();
    // Hooks run once all is quiet, so that one flush takes what the whole turn has collected.
    if (reaped || ran) continue;
    if (!run_turn_hooks()) break;
    if (ring != nullptr) ring->submit();  // The disk works while the next round runs.
  }
  run_turn_hooks();  // If the rounds ran out: nothing sleeps on an armed hook.
  if (ring != nullptr) ring->submit();
  if (const Duration took = parts_->timers.now() - began; took >= kLongTurn) {
    parts_->logger.warn("the event loop was held up", {{"ms", took / 1ms}});
  }
}

void Reactor::sleep_until_something_is_ready() {
  IoRing* const ring = parts_->ring.get();
  if (!posted_.empty() || (ring != nullptr && ring->has_completions())) return;
  std::optional<Duration> timeout;
  if (const auto earliest = parts_->timers.earliest()) {
    timeout = *earliest - parts_->timers.now();
    if (*timeout <= Duration::zero()) return;
  }
  if (ring != nullptr) {
    if (ring->must_submit_again())
      timeout = std::min(timeout.value_or(kSubmitAgainAfter), kSubmitAgainAfter);
    ring->arm_wakeup();
  }
  parts_->loop.wait(timeout);
}

bool Reactor::run_posted() {
  // What these post comes in the next round: a chain that posts itself for ever holds nobody up.
  const size_t work_count = posted_.count();
  for (size_t i = 0; i < work_count; ++i) {
    Work work = posted_.pop();
    if (work.handle) {
      work.handle.resume();
    } else {
      work.call();
    }
  }
  return work_count > 0;
}

void Reactor::on_signal(int signal_number, std::function<void()> callback) {
  parts_->loop.on_signal(signal_number, std::move(callback));
}

Clock& Reactor::clock() {
  return parts_->timers;
}

Network& Reactor::network() {
  return parts_->network;
}

Entropy& Reactor::entropy() {
  return parts_->entropy;
}

Result<std::unique_ptr<Disk>> Reactor::open_disk(std::string root_path, DiskOptions options) {
  if (!parts_->ring) parts_->ring = TRY(IoRing::create(*this, parts_->loop));
  const std::string what = "open the disk at " + root_path;
  if (options.create_root && ::mkdir(root_path.c_str(), 0755) != 0 && errno != EEXIST) {
    return system_error(errno, what);
  }
  UniqueFd root(::open(root_path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root) return system_error(errno, what);
  if (options.exclusive && ::flock(root.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return system_error(errno, what);
    return error(Errc::kUnavailable, what + ": another process uses it");
  }
  return std::unique_ptr<Disk>(
      std::make_unique<RingDisk>(*parts_->ring, std::move(root), std::move(root_path)));
}

Result<std::unique_ptr<Inbox>> Reactor::open_inbox() {
  return std::unique_ptr<Inbox>(TRY(ThreadInbox::create(*this, parts_->loop)));
}

}  // namespace cairn::io::real
