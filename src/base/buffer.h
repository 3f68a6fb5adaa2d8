/// Buffer: a counted reference to bytes that several owners read; payloads travel in these from the
/// socket to the log, the peers and the chunk file without being copied.
///
/// Fill a buffer through mutable_view() while it has one owner, then share it and leave it be.
/// Threads:  one reactor; the count is not atomic.
/// Lifetime: a buffer may outlive its pool; its memory is then freed instead of recycled.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"

namespace cairn {

class BufferPool;

namespace detail {
struct PoolState;
/// The counted memory under one or more Buffers.
struct BufferBlock {
  uint32_t references = 1;
  uint32_t capacity_bytes = 0;
  std::byte* data = nullptr;
  PoolState* pool = nullptr;  ///< null: plain memory that follows this header
};
void release_block(BufferBlock* block);
}  // namespace detail

class Buffer {
 public:
  Buffer() = default;
  Buffer(const Buffer& other) : block_(other.block_), data_(other.data_), size_(other.size_) {
    if (block_) ++block_->references;
  }
  Buffer(Buffer&& other) noexcept
      : block_(std::exchange(other.block_, nullptr)),
        data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)) {}
  Buffer& operator=(Buffer other) noexcept {
    std::swap(block_, other.block_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Buffer() {
    if (block_ && --block_->references == 0) detail::release_block(block_);
  }

  /// Unaligned memory, for small things: uninitialized, and a copy of something.
  static Buffer allocate(size_t size_bytes);
  static Buffer copy_of(ByteView bytes);
  static Buffer copy_of(std::string_view text) { return copy_of(as_bytes(text)); }

  size_t size_bytes() const { return size_; }
  bool empty() const { return size_ == 0; }
  const std::byte* data() const { return data_; }
  ByteView view() const { return {data_, size_}; }
  /// Writable while this is the only reference.
  MutableByteView mutable_view() {
    CHECK(!block_ || block_->references == 1, "a shared buffer is read-only");
    return {data_, size_};
  }
  /// A reference to a part of the same memory.
  Buffer slice(size_t offset_bytes, size_t size_bytes) const {
    CHECK(offset_bytes <= size_ && size_bytes <= size_ - offset_bytes);
    Buffer part(*this);
    part.data_ += offset_bytes;
    part.size_ = size_bytes;
    return part;
  }

 private:
  friend class BufferPool;
  Buffer(detail::BufferBlock* block, std::byte* data, size_t size)
      : block_(block), data_(data), size_(size) {}

  detail::BufferBlock* block_ = nullptr;
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

/// Recycles memory aligned to a block (4 KiB), in classes of powers of two.
/// Threads: one reactor. Owned by the process's composition root; passed by reference.
class BufferPool {
 public:
  /// Keeps at most `idle_bytes_max` of memory that nobody uses.
  explicit BufferPool(size_t idle_bytes_max = size_t{64} << 20);
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  /// `size_bytes` uninitialized bytes aligned to 4096, up to 64 MiB.
  Buffer allocate(size_t size_bytes);
  Buffer allocate_zeroed(size_t size_bytes);
  Buffer copy_of(ByteView bytes);

  size_t idle_bytes() const;
  size_t lent_bytes() const;

 private:
  detail::PoolState* state_;
};

}  // namespace cairn
