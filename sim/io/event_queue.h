/// EventQueue: what is due when, ordered by (virtual time, sequence), so that ties are decided by
/// the order in which things were asked for and a run repeats exactly.
///
/// An event belongs to a process (its number) or to nobody (0: the world itself: faults, the
/// network). It is taken in two steps, pop() and claim(), because a process that is paused or busy
/// keeps what is due to it for later, and may cancel it meanwhile.
/// Threads: one.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "base/units.h"

namespace cairn::sim {

using EventId = uint64_t;  ///< never 0; never used again
inline constexpr uint32_t kWorldItself = 0;

class EventQueue {
 public:
  EventId push(Instant at, uint32_t owner, std::function<void()> work);
  /// An event that is due already: it has no time of its own and is only claimed.
  EventId park(std::function<void()> work);
  /// Forgets an event that has not been claimed; false if there is none.
  bool cancel(EventId id);

  bool empty();  ///< drops what was cancelled from the front
  Instant next_time();

  struct Due {
    Instant at;
    uint64_t sequence;
    uint32_t owner;
    EventId id;
  };
  /// The earliest event; it stays cancellable until it is claimed. The queue is not empty.
  Due pop();
  /// The work of a popped or parked event, unless it was cancelled.
  std::optional<std::function<void()>> claim(EventId id);

  size_t pending_count() const { return heap_.size() - cancelled_count_; }

 private:
  struct Slot {
    std::function<void()> work;
    uint32_t generation = 1;
    bool used = false;
    bool queued = false;  ///< the heap still refers to it
  };
  struct Entry {
    Instant at;
    uint64_t sequence;
    uint32_t owner;
    uint32_t slot;
    uint32_t generation;
    /// Reversed: the standard heap keeps the greatest in front.
    bool operator<(const Entry& other) const {
      return at != other.at ? at > other.at : sequence > other.sequence;
    }
  };

  EventId store(std::function<void()> work, bool queued);
  Slot* find(EventId id);
  void release(uint32_t slot);
  bool is_live(const Entry& entry) const;
  void drop_cancelled_front();
  void compact();

  std::vector<Slot> slots_;
  std::vector<uint32_t> free_slots_;
  std::vector<Entry> heap_;
  uint64_t next_sequence_ = 1;
  size_t cancelled_count_ = 0;  ///< entries of the heap whose event is gone
};

}  // namespace cairn::sim
