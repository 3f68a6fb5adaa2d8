/// BlockLocks: keeps a write of a part of a block from losing a neighbour's.
///
/// A partial write is merged with the block's content by the leader: it reads, merges and proposes
/// a whole block. Between its read and the moment that the entry is applied no other write of that
/// block may be proposed. Whole-block writes need no lock of their own: they only wait for partial
/// ones, and a partial one waits for the group to have applied all that was proposed before.
/// Nearly always nothing is locked, and then checking costs one comparison.
/// Threads: one reactor.
#pragma once

#include <map>
#include <memory>
#include <utility>

#include "base/ids.h"
#include "io/sync.h"

namespace cairn::chunkserver {

class BlockLocks {
 public:
  explicit BlockLocks(io::Executor& executor) : released_(executor) {}

  /// Blocks [first, first + count) of a chunk.
  struct Range {
    ChunkId chunk;
    uint32_t first_block = 0;
    uint32_t blocks_count = 0;
    uint32_t end() const { return first_block + blocks_count; }
  };

  bool is_free(const Range& range) const {
    if (held_.empty()) return true;
    auto next = held_.lower_bound({range.chunk, range.first_block});
    if (next != held_.end() && next->first.first == range.chunk &&
        next->first.second < range.end()) {
      return false;
    }
    if (next == held_.begin()) return true;
    --next;
    return next->first.first != range.chunk || next->second <= range.first_block;
  }

  /// Waits until nothing of the range is held. The caller proposes before it next suspends.
  io::Task<void> wait_free(Range range) {
    while (!is_free(range)) co_await released_.wait_next();
  }

  class Held {
   public:
    Held(BlockLocks& locks, Range range) : locks_(&locks), range_(range) {}
    Held(Held&& other) noexcept
        : locks_(std::exchange(other.locks_, nullptr)), range_(other.range_) {}
    Held& operator=(Held&&) = delete;
    ~Held() {
      if (locks_) locks_->release(range_);
    }

   private:
    BlockLocks* locks_;
    Range range_;
  };
  /// Waits for the range and holds it.
  io::Task<Held> acquire(Range range) {
    co_await wait_free(range);
    held_.emplace(std::pair(range.chunk, range.first_block), range.end());
    co_return Held(*this, range);
  }

 private:
  void release(const Range& range) {
    CHECK(held_.erase({range.chunk, range.first_block}) == 1);
    released_.notify_all();
  }

  io::Event released_;
  std::map<std::pair<ChunkId, uint32_t>, uint32_t> held_;  ///< first block -> end; disjoint
};

}  // namespace cairn::chunkserver
