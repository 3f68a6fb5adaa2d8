#include "base/buffer.h"

#include <cstdlib>
#include <new>

#include "base/units.h"

namespace cairn {
namespace detail {

namespace {
constexpr size_t kClassesCount = 15;  // 4 KiB .. 64 MiB
}

struct PoolState {
  size_t idle_bytes_max = 0;
  size_t idle_bytes = 0;
  size_t lent_bytes = 0;
  bool orphaned = false;  ///< the pool is gone; the last block out frees this
  std::vector<BufferBlock*> idle[kClassesCount];
};

namespace {

void free_block(BufferBlock* block) {
  std::free(block->data);
  delete block;
}

size_t class_of(size_t size_bytes) {
  const size_t blocks = (size_bytes + kBlockBytes - 1) / kBlockBytes;
  return static_cast<size_t>(std::bit_width(std::max<size_t>(blocks, 1) - 1));
}

}  // namespace

void release_block(BufferBlock* block) {
  PoolState* pool = block->pool;
  if (!pool) {
    std::free(block);
    return;
  }
  CHECK(pool->lent_bytes >= block->capacity_bytes);
  pool->lent_bytes -= block->capacity_bytes;
  if (!pool->orphaned && pool->idle_bytes + block->capacity_bytes <= pool->idle_bytes_max) {
    pool->idle_bytes += block->capacity_bytes;
    pool->idle[class_of(block->capacity_bytes)].push_back(block);
    return;
  }
  free_block(block);
  if (pool->orphaned && pool->lent_bytes == 0) delete pool;
}

}  // namespace detail

Buffer Buffer::allocate(size_t size_bytes) {
  CHECK(size_bytes <= UINT32_MAX);
  void* memory = std::malloc(sizeof(detail::BufferBlock) + size_bytes);
  CHECK(memory, "out of memory");
  auto* block = new (memory) detail::BufferBlock;
  block->capacity_bytes = static_cast<uint32_t>(size_bytes);
  block->data = static_cast<std::byte*>(memory) + sizeof(detail::BufferBlock);
  return Buffer(block, block->data, size_bytes);
}

Buffer Buffer::copy_of(ByteView bytes) {
  if (bytes.empty()) return {};
  Buffer buffer = allocate(bytes.size());
  std::memcpy(buffer.data_, bytes.data(), bytes.size());
  return buffer;
}

BufferPool::BufferPool(size_t idle_bytes_max) : state_(new detail::PoolState) {
  state_->idle_bytes_max = idle_bytes_max;
}

BufferPool::~BufferPool() {
  for (auto& blocks : state_->idle) {
    for (auto* block : blocks) detail::free_block(block);
    blocks.clear();
  }
  state_->orphaned = true;
  if (state_->lent_bytes == 0) delete state_;
}

Buffer BufferPool::allocate(size_t size_bytes) {
  if (size_bytes == 0) return {};
  const size_t size_class = detail::class_of(size_bytes);
  CHECK(size_class < detail::kClassesCount, "a buffer holds at most 64 MiB");
  const size_t capacity = kBlockBytes << size_class;
  auto& idle = state_->idle[size_class];
  detail::BufferBlock* block;
  if (!idle.empty()) {
    block = idle.back();
    idle.pop_back();
    state_->idle_bytes -= capacity;
    block->references = 1;
  } else {
    block = new detail::BufferBlock;
    block->capacity_bytes = static_cast<uint32_t>(capacity);
    block->data = static_cast<std::byte*>(std::aligned_alloc(kBlockBytes, capacity));
    CHECK(block->data, "out of memory");
    block->pool = state_;
  }
  state_->lent_bytes += capacity;
  return Buffer(block, block->data, size_bytes);
}

Buffer BufferPool::allocate_zeroed(size_t size_bytes) {
  Buffer buffer = allocate(size_bytes);
  if (size_bytes > 0) std::memset(buffer.data_, 0, size_bytes);
  return buffer;
}

Buffer BufferPool::copy_of(ByteView bytes) {
  Buffer buffer = allocate(bytes.size());
  if (!bytes.empty()) std::memcpy(buffer.data_, bytes.data(), bytes.size());
  return buffer;
}

size_t BufferPool::idle_bytes() const {
  return state_->idle_bytes;
}
size_t BufferPool::lent_bytes() const {
  return state_->lent_bytes;
}

}  // namespace cairn
