/// Reactor: the event loop of one thread, and the real implementations that hang on it.
///
/// A turn: one wait for sockets, timers and disk completions (only if nothing is ready); then all
/// that these make ready, in order of posting; then the turn-end hooks; then one submission of the
/// disk operations queued. Each phase is bounded, so that no flow starves the hooks.
/// Threads:  one; made, used and destroyed there. stop() is also called from on_signal callbacks.
/// Lifetime: outlives every component built on it; its destructor destroys the spawned frames that
///           have not ended, whose disk operations are awaited first.
/// Source:   docs/adr/0001-runtime.md.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <type_traits>

#include "base/log.h"
#include "io/clock.h"
#include "io/disk.h"
#include "io/executor.h"
#include "io/inbox.h"
#include "io/network.h"
#include "io/real/ring_queue.h"

namespace cairn::io::real {

struct ReactorOptions {
  Logger logger;  ///< for what no caller is told, such as a listener out of file descriptors
};

struct DiskOptions {
  bool create_root = false;  ///< makes the root directory (not its parents) if it is absent
  /// Refuses (kUnavailable) a root that another opener holds: two servers on one disk destroy it.
  bool exclusive = false;
};

class Reactor final : public Executor {
 public:
  explicit Reactor(ReactorOptions options = {});
  ~Reactor() override;

  void post(std::coroutine_handle<> handle) override;
  void post(std::function<void()> work) override;

  /// Runs turns until stop(). May be called again afterwards.
  void run();
  void stop() { stopping_ = true; }
  /// Calls back, as part of a turn, each time the process receives `signal_number`, whose default
  /// action no longer happens. One callback a signal.
  void on_signal(int signal_number, std::function<void()> callback);

  /// Spawns `task` and runs turns until it has ended, whatever stop() says.
  template <typename T>
  T run_until_done(Task<T> task);

  Clock& clock();
  Network& network();
  Entropy& entropy();
  /// kUnsupported where the kernel or a sandbox offers no io_uring; kNotFound without the root.
  Result<std::unique_ptr<Disk>> open_disk(std::string root_path, DiskOptions options = {});
  /// For a library with threads of its own. kIo: the system gives none. The reactor outlives it.
  Result<std::unique_ptr<Inbox>> open_inbox();

 private:
  struct Parts;
  struct Work {
    std::coroutine_handle<> handle;
    std::function<void()> call;
  };

  void run_turn(bool may_sleep);
  void sleep_until_something_is_ready();
  bool run_posted();
  template <typename T>
  static Task<void> keep_result(Task<T> task, std::optional<T>* result, bool* done);
  static Task<void> keep_end(Task<void> task, bool* done);
  void run_while_not(const bool& done);

  RingQueue<Work> posted_;
  bool stopping_ = false;
  std::unique_ptr<Parts> parts_;
};

template <typename T>
Task<void> Reactor::keep_result(Task<T> task, std::optional<T>* result, bool* done) {
  result->emplace(co_await std::move(task));
  *done = true;
}

template <typename T>
T Reactor::run_until_done(Task<T> task) {
  bool done = false;
  if constexpr (std::is_void_v<T>) {
    spawn(keep_end(std::move(task), &done));
    run_while_not(done);
  } else {
    std::optional<T> result;
    spawn(keep_result(std::move(task), &result, &done));
    run_while_not(done);
    return std::move(*result);
  }
}

}  // namespace cairn::io::real
