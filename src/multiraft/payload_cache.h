/// PayloadCache: bounds the memory that log entries' payloads take, over all groups of a host.
///
/// Entries are noted in the order in which they were appended. Above the limit the oldest payloads
/// are dropped from memory; whoever needs one later (a lagging follower, a late apply) has it read
/// from the write-ahead log, which keeps those that are not durable yet in memory itself.
/// Pure. Threads: one reactor.
#pragma once

#include <deque>

#include "base/ids.h"

namespace cairn::multiraft {

class PayloadCache {
 public:
  explicit PayloadCache(size_t bytes_max) : bytes_max_(bytes_max) {}

  struct Note {
    GroupId group;
    Term term;
    LogIndex index;
    uint32_t payload_bytes = 0;
  };

  void add(Note note) {
    if (note.payload_bytes == 0) return;
    cached_bytes_ += note.payload_bytes;
    notes_.push_back(note);
  }

  /// Calls `drop(note)` for the oldest until the rest fits. `drop` answers false when the payload
  /// has to stay yet: then nothing younger is looked at either.
  template <typename Drop>
  void shrink(Drop&& drop) {
    while (cached_bytes_ > bytes_max_ && !notes_.empty()) {
      if (!drop(notes_.front())) return;
      cached_bytes_ -= notes_.front().payload_bytes;
      notes_.pop_front();
    }
  }

  size_t cached_bytes() const { return cached_bytes_; }

 private:
  size_t bytes_max_;
  size_t cached_bytes_ = 0;
  std::deque<Note> notes_;
};

}  // namespace cairn::multiraft
