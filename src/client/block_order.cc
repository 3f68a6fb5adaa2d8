#include "client/block_order.h"

#include "base/check.h"

namespace cairn::client {

uint64_t BlockOrder::join(uint64_t first_block, uint64_t last_block, Kind kind) {
  CHECK(first_block <= last_block);
  Entry entry{next_ticket_++, first_block, last_block, kind, 0, {}};
  for (const Entry& other : entries_) {
    if (blocks(other, entry)) ++entry.blockers_count;
  }
  entries_.push_back(entry);
  return entry.ticket;
}

void BlockOrder::leave(uint64_t ticket) {
  const size_t index = index_of(ticket);
  const Entry gone = entries_[index];
  entries_.erase(entries_.begin() + static_cast<std::ptrdiff_t>(index));
  if (gone.kind == Kind::kRead) return;
  for (Entry& other : entries_) {
    if (!blocks(gone, other)) continue;
    CHECK(other.blockers_count > 0);
    if (--other.blockers_count == 0 && other.waiter) {
      executor_.post(std::exchange(other.waiter, {}));
    }
  }
}

size_t BlockOrder::index_of(uint64_t ticket) const {
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i].ticket == ticket) return i;
  }
  check_failed("a ticket is held until it is left", __FILE__, __LINE__);
}

}  // namespace cairn::client
