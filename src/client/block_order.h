/// BlockOrder: operations on the same block of a volume take effect in the order of their start.
///
/// A write waits for every earlier write that overlaps it, a read too; reads hold up nobody, for a
/// read and a later write are concurrent and either value is right. Without this a write that is
/// still being retried could land after a newer one.
/// Threads: the reactor's. Ranges are of blocks, both ends included.
#pragma once

#include <coroutine>
#include <utility>
#include <vector>

#include "io/executor.h"

namespace cairn::client {

class BlockOrder {
 public:
  enum class Kind : uint8_t { kRead, kWrite };

  explicit BlockOrder(io::Executor& executor) : executor_(executor) {}
  BlockOrder(const BlockOrder&) = delete;
  BlockOrder& operator=(const BlockOrder&) = delete;

  /// The place in the order; given up when it is destroyed.
  class Hold {
   public:
    Hold(BlockOrder& order, uint64_t ticket) : order_(&order), ticket_(ticket) {}
    Hold(Hold&& other) noexcept
        : order_(std::exchange(other.order_, nullptr)), ticket_(other.ticket_) {}
    Hold& operator=(Hold&&) = delete;
    ~Hold() {
      if (order_) order_->leave(ticket_);
    }

   private:
    BlockOrder* order_;
    uint64_t ticket_;
  };

  class Enter {
   public:
    Enter(BlockOrder& order, uint64_t first_block, uint64_t last_block, Kind kind)
        : order_(order), ticket_(order.join(first_block, last_block, kind)) {}
    Enter(const Enter&) = delete;
    Enter& operator=(const Enter&) = delete;
    ~Enter() {
      if (!handed_over_) order_.leave(ticket_);
    }
    bool await_ready() const { return order_.blockers_count(ticket_) == 0; }
    void await_suspend(std::coroutine_handle<> caller) { order_.wait(ticket_, caller); }
    Hold await_resume() {
      handed_over_ = true;
      return Hold(order_, ticket_);
    }

   private:
    BlockOrder& order_;
    uint64_t ticket_;
    bool handed_over_ = false;
  };
  /// Takes the place at once, and waits for those before it when awaited.
  Enter enter(uint64_t first_block, uint64_t last_block, Kind kind) {
    return Enter(*this, first_block, last_block, kind);
  }

  size_t entries_count() const { return entries_.size(); }

 private:
  /// A few dozen at a time: a scan over contiguous memory beats a tree.
  struct Entry {
    uint64_t ticket;
    uint64_t first_block, last_block;
    Kind kind;
    uint32_t blockers_count;
    std::coroutine_handle<> waiter;
  };

  uint64_t join(uint64_t first_block, uint64_t last_block, Kind kind);
  void leave(uint64_t ticket);
  size_t index_of(uint64_t ticket) const;
  uint32_t blockers_count(uint64_t ticket) const {
    return entries_[index_of(ticket)].blockers_count;
  }
  void wait(uint64_t ticket, std::coroutine_handle<> waiter) {
    entries_[index_of(ticket)].waiter = waiter;
  }
  static bool blocks(const Entry& earlier, const Entry& later) {
    return earlier.kind == Kind::kWrite && earlier.ticket < later.ticket &&
           earlier.first_block <= later.last_block && later.first_block <= earlier.last_block;
  }

  io::Executor& executor_;
  std::vector<Entry> entries_;  ///< ascending by ticket: who is woken together runs in order
  uint64_t next_ticket_ = 1;
};

}  // namespace cairn::client
