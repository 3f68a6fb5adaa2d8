#include "raft/tracker/inflights.h"

#include <algorithm>

namespace cairn::raft {

void Inflights::add(LogIndex last, uint64_t payload_bytes) {
  CHECK(!full(), "an append was sent although the window is full");
  if (count_ == ring_.size()) grow();
  if (count_ > 0) {
    const size_t newest = (start_ + count_ - 1) % ring_.size();
    CHECK(ring_[newest].last < last, "appends are sent in order");
  }
  ring_[(start_ + count_) % ring_.size()] = {.last = last, .payload_bytes = payload_bytes};
  ++count_;
  bytes_ += payload_bytes;
}

void Inflights::free_up_to(LogIndex acknowledged) {
  while (count_ > 0 && ring_[start_].last <= acknowledged) {
    CHECK(bytes_ >= ring_[start_].payload_bytes);
    bytes_ -= ring_[start_].payload_bytes;
    start_ = (start_ + 1) % static_cast<uint32_t>(ring_.size());
    --count_;
  }
  if (count_ == 0) {
    CHECK(bytes_ == 0);
    start_ = 0;
  }
}

void Inflights::reset() {
  start_ = 0;
  count_ = 0;
  bytes_ = 0;
}

// Doubles: a window may be configured for thousands of messages, yet most followers need a few.
void Inflights::grow() {
  CHECK(ring_.size() < messages_max_);
  const size_t wanted = std::min(messages_max_, std::max<size_t>(4, ring_.size() * 2));
  std::vector<Message> larger(wanted);
  for (size_t i = 0; i < count_; ++i) larger[i] = ring_[(start_ + i) % ring_.size()];
  ring_ = std::move(larger);
  start_ = 0;
}

}  // namespace cairn::raft
