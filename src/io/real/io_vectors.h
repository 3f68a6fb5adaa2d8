/// IoVectors: what is still to be written of a list of parts, as the kernel takes it.
#pragma once

#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"

namespace cairn::io::real {

/// Few parts are kept in place, so that a frame with an IoVectors in it needs no more memory.
class IoVectors {
 public:
  explicit IoVectors(std::span<const ByteView> parts) {
    if (parts.size() > few_.size()) many_.resize(parts.size());
    iovec* const all = many_.empty() ? few_.data() : many_.data();
    for (const ByteView part : parts) {
      if (part.empty()) continue;
      all[count_++] = {const_cast<std::byte*>(part.data()), part.size()};
      left_bytes_ += part.size();
    }
  }
  IoVectors(const IoVectors&) = delete;
  IoVectors& operator=(const IoVectors&) = delete;

  const iovec* data() const { return (many_.empty() ? few_.data() : many_.data()) + first_; }
  size_t count() const { return count_ - first_; }
  size_t left_bytes() const { return left_bytes_; }

  /// `bytes` of what was left have been written.
  void advance(size_t bytes) {
    CHECK(bytes <= left_bytes_);
    left_bytes_ -= bytes;
    iovec* const all = many_.empty() ? few_.data() : many_.data();
    while (bytes > 0) {
      iovec& part = all[first_];
      const size_t taken_bytes = std::min(bytes, part.iov_len);
      part.iov_base = static_cast<std::byte*>(part.iov_base) + taken_bytes;
      part.iov_len -= taken_bytes;
      bytes -= taken_bytes;
      if (part.iov_len == 0) ++first_;
    }
  }

 private:
  std::array<iovec, 8> few_;
  std::vector<iovec> many_;
  size_t first_ = 0;
  size_t count_ = 0;
  size_t left_bytes_ = 0;
};

}  // namespace cairn::io::real
