/// ReceiveBuffer: contiguous memory between a socket and a parser: bytes come in behind, are taken
/// from the front, and what is left moves to the start only when the space behind it runs short.
#pragma once

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>

#include "base/bytes.h"
#include "base/check.h"

namespace cairn::io::real {

class ReceiveBuffer {
 public:
  ByteView content() const { return {memory_.get() + begin_, end_ - begin_}; }
  size_t content_bytes() const { return end_ - begin_; }

  /// Space for more bytes, behind the content: as much as makes `wanted_bytes` in all, and never
  /// little.
  MutableByteView space_for(size_t wanted_bytes) {
    const size_t content = content_bytes();
    const size_t more_bytes =
        std::max(wanted_bytes > content ? wanted_bytes - content : 0, kSpaceMin);
    if (capacity_ - end_ < more_bytes) make_space(content + more_bytes);
    return {memory_.get() + end_, capacity_ - end_};
  }
  void add(size_t bytes) {
    CHECK(bytes <= capacity_ - end_);
    end_ += bytes;
  }
  void take(size_t bytes) {
    CHECK(bytes <= content_bytes());
    begin_ += bytes;
    if (begin_ < end_) return;
    begin_ = end_ = 0;  // The next bytes land in memory that is still in the processor's cache.
    if (capacity_ > kIdleCapacityMax) release();
  }
  void release() {
    memory_.reset();
    begin_ = end_ = capacity_ = 0;
  }

  static constexpr size_t kCapacityMin = size_t{256} << 10;
  static constexpr size_t kIdleCapacityMax = size_t{4} << 20;  ///< larger ones are given back
  static constexpr size_t kSpaceMin = size_t{64} << 10;

 private:
  void make_space(size_t capacity_min) {
    if (capacity_min <= capacity_) {
      std::memmove(memory_.get(), memory_.get() + begin_, content_bytes());
    } else {
      const size_t capacity = std::max(std::bit_ceil(capacity_min), kCapacityMin);
      auto larger = std::make_unique_for_overwrite<std::byte[]>(capacity);
      if (content_bytes() > 0) {
        std::memcpy(larger.get(), memory_.get() + begin_, content_bytes());
      }
      memory_ = std::move(larger);
      capacity_ = capacity;
    }
    end_ = content_bytes();
    begin_ = 0;
  }

  std::unique_ptr<std::byte[]> memory_;
  size_t capacity_ = 0;
  size_t begin_ = 0;
  size_t end_ = 0;
};

}  // namespace cairn::io::real
