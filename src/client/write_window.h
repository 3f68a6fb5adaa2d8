/// WriteWindow: the numbers of one client's writes to one copyset.
///
/// A retry carries its first attempt's number, and every write carries the oldest number that is
/// still unresolved, by which the copyset tells a straggler from a new write (wire/chunk.proto).
/// Threads: the reactor's.
#pragma once

#include <deque>

#include "io/sync.h"

namespace cairn::client {

class WriteWindow {
 public:
  /// What the copyset keeps of a client is bounded by this.
  static constexpr size_t kSequencesMax = 1024;

  explicit WriteWindow(io::Executor& executor) : moved_(executor) {}

  /// The next write's number, once the window has room for it.
  io::Task<uint64_t> begin() {
    while (resolved_.size() >= kSequencesMax) co_await moved_.wait_next();
    resolved_.push_back(false);
    co_return oldest_ + resolved_.size() - 1;
  }
  bool has_room() const { return resolved_.size() < kSequencesMax; }
  /// begin() where has_room() holds, without a frame.
  uint64_t begin_now() {
    CHECK(has_room());
    resolved_.push_back(false);
    return oldest_ + resolved_.size() - 1;
  }

  /// Nobody waits for the write any more: it was acknowledged, refused or given up.
  void resolve(uint64_t sequence) {
    CHECK(sequence >= oldest_ && sequence - oldest_ < resolved_.size());
    CHECK(!resolved_[sequence - oldest_], "a write is resolved once");
    resolved_[sequence - oldest_] = true;
    if (!resolved_.front()) return;
    while (!resolved_.empty() && resolved_.front()) {
      resolved_.pop_front();
      ++oldest_;
    }
    moved_.notify_all();
  }

  uint64_t oldest_unresolved() const { return oldest_; }

 private:
  uint64_t oldest_ = 1;        ///< the number of resolved_.front()
  std::deque<bool> resolved_;  ///< its front is false, unless it is empty
  io::Event moved_;
};

}  // namespace cairn::client
