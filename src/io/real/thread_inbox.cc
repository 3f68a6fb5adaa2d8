#include "io/real/thread_inbox.h"

#include <sys/eventfd.h>

#include <cerrno>

#include "base/check.h"
#include "io/real/system_error.h"

namespace cairn::io::real {

Result<std::unique_ptr<ThreadInbox>> ThreadInbox::create(Executor& executor, EventLoop& loop) {
  UniqueFd wakeup(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!wakeup) return system_error(errno, "make an eventfd");
  return std::unique_ptr<ThreadInbox>(new ThreadInbox(executor, loop, std::move(wakeup)));
}

ThreadInbox::ThreadInbox(Executor& executor, EventLoop& loop, UniqueFd wakeup)
    : executor_(executor),
      wakeup_(std::move(wakeup)),
      watch_(loop, wakeup_.get(), static_cast<FdEvents&>(*this)) {
  watch_.want_readable();
}

void ThreadInbox::post(std::function<void()> work) {
  CHECK(work != nullptr);
  const std::lock_guard lock(mutex_);
  posted_.push_back(std::move(work));
  // The first one wakes the reactor for all that come before it has woken.
  if (posted_.size() == 1)
    CHECK(::eventfd_write(wakeup_.get(), 1) == 0, "an eventfd takes a count");
}

void ThreadInbox::on_readable() {
  eventfd_t count = 0;
  (void)::eventfd_read(wakeup_.get(), &count);  // A spurious call finds nothing.
  Works posted;
  {
    const std::lock_guard lock(mutex_);
    posted.swap(posted_);
  }
  for (auto& work : posted) executor_.post(std::move(work));
  watch_.want_readable();
}

}  // namespace cairn::io::real
