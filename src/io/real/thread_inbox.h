/// ThreadInbox: an Inbox that wakes its reactor by an eventfd.
///
/// Threads:  made and destroyed on the reactor's; post() is called on any.
/// Lifetime: loop and executor outlive it.
#pragma once

#include <deque>
#include <memory>
#include <mutex>

#include "base/result.h"
#include "io/executor.h"
#include "io/inbox.h"
#include "io/real/event_loop.h"
#include "io/real/unique_fd.h"

namespace cairn::io::real {

class ThreadInbox final : public Inbox, private FdEvents {
 public:
  /// kIo: no eventfd is to be had.
  static Result<std::unique_ptr<ThreadInbox>> create(Executor& executor, EventLoop& loop);

  void post(std::function<void()> work) override;

 private:
  using Works = std::deque<std::function<void()>>;

  ThreadInbox(Executor& executor, EventLoop& loop, UniqueFd wakeup);
  void on_readable() override;

  Executor& executor_;
  UniqueFd wakeup_;
  FdWatch watch_;
  std::mutex mutex_;
  Works posted_;  ///< under mutex_
};

}  // namespace cairn::io::real
