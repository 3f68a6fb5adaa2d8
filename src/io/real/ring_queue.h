/// RingQueue: a first-in-first-out queue in a circular array that grows and never shrinks, so that
/// a queue in steady use allocates nothing (std::deque allocates as it moves through memory).
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "base/check.h"

namespace cairn::io::real {

template <typename T>
class RingQueue {
 public:
  bool empty() const { return first_ == end_; }
  size_t count() const { return end_ - first_; }

  void push(T value) {
    if (count() == slots_.size()) grow();
    slots_[end_++ & (slots_.size() - 1)] = std::move(value);
  }
  T pop() {
    CHECK(!empty());
    return std::exchange(slots_[first_++ & (slots_.size() - 1)], T());
  }
  /// The element `index` places behind the first.
  T& at(size_t index) {
    CHECK(index < count());
    return slots_[(first_ + index) & (slots_.size() - 1)];
  }
  void clear() {
    while (!empty()) pop();
  }

 private:
  void grow() {
    std::vector<T> larger(slots_.empty() ? kSlotsMin : 2 * slots_.size());
    const size_t elements_count = count();
    for (size_t i = 0; i < elements_count; ++i) larger[i] = std::move(at(i));
    slots_ = std::move(larger);
    first_ = 0;
    end_ = elements_count;
  }

  static constexpr size_t kSlotsMin = 16;  // Powers of two: an index is masked, never divided.
  std::vector<T> slots_;
  size_t first_ = 0;  // Both only count up; their difference is right even when they wrap.
  size_t end_ = 0;
};

}  // namespace cairn::io::real
