/// Inbox: how the threads of a library hand what they have done to a reactor's thread.
///
/// For libraries that have threads of their own and are far from the data path. Nothing else of
/// Cairn crosses threads.
/// Bounds: who starts the library's work bounds how much of it is under way, and so what waits
/// here.
#pragma once

#include <functional>

namespace cairn::io {

class Inbox {
 public:
  /// Nobody posts any more. What was posted runs still, or is dropped.
  virtual ~Inbox() = default;
  /// `work` runs on the reactor's thread, in the order of posting. Any thread; never blocks longer
  /// than it takes to queue.
  virtual void post(std::function<void()> work) = 0;
};

}  // namespace cairn::io
