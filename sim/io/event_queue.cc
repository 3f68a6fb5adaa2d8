#include "sim/io/event_queue.h"

#include <algorithm>

#include "base/check.h"

namespace cairn::sim {

EventId EventQueue::store(std::function<void()> work, bool queued) {
  uint32_t index;
  if (free_slots_.empty()) {
    index = static_cast<uint32_t>(slots_.size());
    slots_.emplace_back();
  } else {
    index = free_slots_.back();
    free_slots_.pop_back();
  }
  Slot& slot = slots_[index];
  CHECK(!slot.used);
  slot.used = true;
  slot.queued = queued;
  slot.work = std::move(work);
  return (static_cast<uint64_t>(slot.generation) << 32) | index;
}

EventId EventQueue::push(Instant at, uint32_t owner, std::function<void()> work) {
  const EventId id = store(std::move(work), true);
  heap_.push_back(
      {at, next_sequence_++, owner, static_cast<uint32_t>(id), static_cast<uint32_t>(id >> 32)});
  std::push_heap(heap_.begin(), heap_.end());
  return id;
}

EventId EventQueue::park(std::function<void()> work) {
  return store(std::move(work), false);
}

EventQueue::Slot* EventQueue::find(EventId id) {
  const auto index = static_cast<uint32_t>(id);
  if (index >= slots_.size()) return nullptr;
  Slot& slot = slots_[index];
  return slot.used && slot.generation == static_cast<uint32_t>(id >> 32) ? &slot : nullptr;
}

void EventQueue::release(uint32_t index) {
  Slot& slot = slots_[index];
  // The work goes last: destroying it may come back here.
  std::function<void()> work = std::move(slot.work);
  slot.work = nullptr;
  slot.used = false;
  if (++slot.generation == 0) slot.generation = 1;
  free_slots_.push_back(index);
}

bool EventQueue::cancel(EventId id) {
  Slot* slot = find(id);
  if (!slot) return false;
  if (slot->queued) ++cancelled_count_;
  release(static_cast<uint32_t>(id));
  // Timers that are re-armed often would otherwise fill the heap with what never happens.
  if (cancelled_count_ > 1024 && cancelled_count_ > heap_.size() / 2) compact();
  return true;
}

bool EventQueue::is_live(const Entry& entry) const {
  const Slot& slot = slots_[entry.slot];
  return slot.used && slot.generation == entry.generation;
}

void EventQueue::compact() {
  std::erase_if(heap_, [this](const Entry& entry) { return !is_live(entry); });
  std::make_heap(heap_.begin(), heap_.end());
  cancelled_count_ = 0;
}

void EventQueue::drop_cancelled_front() {
  while (!heap_.empty() && !is_live(heap_.front())) {
    std::pop_heap(heap_.begin(), heap_.end());
    heap_.pop_back();
    CHECK(cancelled_count_ > 0);
    --cancelled_count_;
  }
}

bool EventQueue::empty() {
  drop_cancelled_front();
  return heap_.empty();
}

Instant EventQueue::next_time() {
  CHECK(!empty());
  return heap_.front().at;
}

EventQueue::Due EventQueue::pop() {
  CHECK(!empty());
  std::pop_heap(heap_.begin(), heap_.end());
  const Entry entry = heap_.back();
  heap_.pop_back();
  slots_[entry.slot].queued = false;
  return {entry.at, entry.sequence, entry.owner,
          (static_cast<uint64_t>(entry.generation) << 32) | entry.slot};
}

std::optional<std::function<void()>> EventQueue::claim(EventId id) {
  Slot* slot = find(id);
  if (!slot) return std::nullopt;
  CHECK(!slot->queued, "an event is claimed after it was popped");
  std::function<void()> work = std::move(slot->work);
  release(static_cast<uint32_t>(id));
  return work;
}

}  // namespace cairn::sim
