#include "raft/entries.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <new>

namespace cairn::raft {

Entries::Entries(std::vector<Entry> entries) {
  reserve(entries.size());
  for (Entry& entry : entries) push_back(std::move(entry));
}

Entries Entries::of(Entry entry) {
  Entries one;
  one.reserve(1);
  one.push_back(std::move(entry));
  return one;
}

Entries::Block* Entries::make_block(size_t capacity) {
  CHECK(capacity > 0 && capacity <= std::numeric_limits<uint32_t>::max());
  void* memory = ::operator new(sizeof(Block) + capacity * sizeof(Entry));
  auto* block = new (memory) Block();
  block->capacity = static_cast<uint32_t>(capacity);
  return block;
}

void Entries::free_block(Block* block) {
  CHECK(block->references == 0);
  std::destroy_n(block->entries(), block->used);
  std::destroy_at(block);
  ::operator delete(block);
}

Entries Entries::slice(size_t offset, size_t count) const {
  CHECK(offset <= count_ && count <= count_ - offset);
  if (count == 0) return {};  // keeps nothing alive
  Entries part(*this);
  part.offset_ += static_cast<uint32_t>(offset);
  part.count_ = static_cast<uint32_t>(count);
  return part;
}

std::span<Entry> Entries::mutable_view() {
  if (count_ == 0) return {};
  if (!unique()) move_to_new_block(count_);
  return {block_->entries() + offset_, count_};
}

void Entries::reserve(size_t count) {
  CHECK(empty());
  if (count > capacity()) move_to_new_block(count);
}

void Entries::push_back(Entry entry) {
  make_room(1);
  std::construct_at(block_->entries() + block_->used, std::move(entry));
  ++block_->used;
  ++count_;
}

void Entries::append(std::span<const Entry> entries) {
  if (entries.empty()) return;
  const bool own = block_ && entries.data() >= block_->entries() &&
                   entries.data() < block_->entries() + block_->used;
  const Entries keeps_source_alive = own ? *this : Entries();  // make_room() may leave the block
  make_room(entries.size());
  std::uninitialized_copy(entries.begin(), entries.end(), block_->entries() + block_->used);
  block_->used += static_cast<uint32_t>(entries.size());
  count_ += static_cast<uint32_t>(entries.size());
}

void Entries::truncate(size_t count) {
  CHECK(count <= count_);
  count_ = static_cast<uint32_t>(count);
  if (count_ == 0) {
    clear();
  } else if (unique()) {
    forget_unseen();
  }
}

void Entries::drop_front(size_t count) {
  CHECK(count <= count_);
  if (count == count_) {
    clear();
    return;
  }
  if (unique()) {
    // Their bytes go now, not with the block.
    std::fill_n(block_->entries() + offset_, count, Entry());
  }
  offset_ += static_cast<uint32_t>(count);
  count_ -= static_cast<uint32_t>(count);
}

// What others had appended behind, before they went away.
void Entries::forget_unseen() {
  CHECK(block_ && unique());
  const uint32_t end = offset_ + count_;
  std::destroy(block_->entries() + end, block_->entries() + block_->used);
  block_->used = end;
}

// Afterwards the block has room behind our last entry, and nobody else sees that far.
void Entries::make_room(size_t more_count) {
  const size_t needed = count_ + more_count;
  if (block_) {
    if (unique()) forget_unseen();
    if (ends_at_used() && block_->used + more_count <= block_->capacity) return;
  }
  // Twice what is needed, so that an entry is moved a constant number of times.
  move_to_new_block(std::max(kCapacityMin, needed * kSpareFactor));
  CHECK(block_->used + more_count <= block_->capacity);
}

void Entries::move_to_new_block(size_t capacity) {
  CHECK(capacity >= count_);
  Block* fresh = make_block(capacity);
  if (count_ > 0) {
    Entry* from = block_->entries() + offset_;
    if (unique()) {
      std::uninitialized_move_n(from, count_, fresh->entries());
    } else {
      std::uninitialized_copy_n(from, count_, fresh->entries());
    }
  }
  fresh->used = count_;
  if (block_ && --block_->references == 0) free_block(block_);
  block_ = fresh;
  offset_ = 0;
}

}  // namespace cairn::raft
