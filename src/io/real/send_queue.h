/// SendQueue: buffers on their way into a socket, in order.
#pragma once

#include <sys/uio.h>

#include <span>

#include "base/buffer.h"
#include "base/check.h"
#include "io/real/ring_queue.h"

namespace cairn::io::real {

class SendQueue {
 public:
  bool empty() const { return buffers_.empty(); }
  size_t unsent_bytes() const { return unsent_bytes_; }

  void push(Buffer bytes) {
    if (bytes.empty()) return;
    unsent_bytes_ += bytes.size_bytes();
    buffers_.push(std::move(bytes));
  }
  /// Describes the front of the queue; returns how many vectors were used.
  size_t describe(std::span<iovec> into, size_t* bytes) {
    const size_t vectors_count = std::min(into.size(), buffers_.count());
    *bytes = 0;
    for (size_t i = 0; i < vectors_count; ++i) {
      const Buffer& buffer = buffers_.at(i);
      const size_t skip_bytes = i == 0 ? sent_of_first_bytes_ : 0;
      into[i] = {const_cast<std::byte*>(buffer.data()) + skip_bytes,
                 buffer.size_bytes() - skip_bytes};
      *bytes += into[i].iov_len;
    }
    return vectors_count;
  }
  /// The kernel has taken the first `bytes`: buffers that are through are let go.
  void take(size_t bytes) {
    CHECK(bytes <= unsent_bytes_);
    unsent_bytes_ -= bytes;
    sent_of_first_bytes_ += bytes;
    while (!buffers_.empty() && sent_of_first_bytes_ >= buffers_.at(0).size_bytes()) {
      sent_of_first_bytes_ -= buffers_.at(0).size_bytes();
      buffers_.pop();
    }
    CHECK(!buffers_.empty() || (unsent_bytes_ == 0 && sent_of_first_bytes_ == 0));
  }
  void clear() {
    buffers_.clear();
    unsent_bytes_ = sent_of_first_bytes_ = 0;
  }

 private:
  RingQueue<Buffer> buffers_;
  size_t unsent_bytes_ = 0;
  size_t sent_of_first_bytes_ = 0;
};

}  // namespace cairn::io::real
