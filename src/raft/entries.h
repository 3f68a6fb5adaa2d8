/// Entries: a counted reference to a run of log entries that several owners read.
///
/// The unstable log, the Ready, the message to storage, one append for each follower and the batch
/// to apply all name the same entries. They share one block of memory instead of copying it: to
/// copy, slice or cut an Entries touches no entry.
///
///   block   | spent | e5 e6 e7 e8 | free |      log: e5..e8    message: e7..e8
///
/// Entries that are shared are never written again. Whoever ends where the block's used part ends
/// may append behind it in place, since nobody else sees so far; everybody else, and whoever wants
/// to change an entry, gets a block of its own first.
///
/// Memory:   a block keeps its entries' bytes until the last reference is gone; it has room for at
///           most kSpareFactor times what its maker held. Idle groups hold no block at all.
/// Threads:  one reactor; the count is not atomic.
#pragma once

#include <span>
#include <utility>
#include <vector>

#include "raft/entry.h"

namespace cairn::raft {

class Entries {
 public:
  using value_type = Entry;
  using const_iterator = const Entry*;

  Entries() = default;
  /// Implicit: whoever has made a vector of entries may pass it on as what it is.
  Entries(std::vector<Entry> entries);
  explicit Entries(std::span<const Entry> entries) { append(entries); }
  static Entries of(Entry entry);

  Entries(const Entries& other)
      : block_(other.block_), offset_(other.offset_), count_(other.count_) {
    if (block_) ++block_->references;
  }
  Entries(Entries&& other) noexcept
      : block_(std::exchange(other.block_, nullptr)),
        offset_(std::exchange(other.offset_, 0)),
        count_(std::exchange(other.count_, 0)) {}
  Entries& operator=(Entries other) noexcept {
    std::swap(block_, other.block_);
    std::swap(offset_, other.offset_);
    std::swap(count_, other.count_);
    return *this;
  }
  ~Entries() {
    if (block_ && --block_->references == 0) free_block(block_);
  }

  // As a contiguous range, so that it converts to std::span<const Entry>.
  size_t size() const { return count_; }
  bool empty() const { return count_ == 0; }
  const Entry* data() const { return block_ ? block_->entries() + offset_ : nullptr; }
  const Entry* begin() const { return data(); }
  const Entry* end() const { return data() + count_; }
  const Entry& operator[](size_t at) const {
    CHECK(at < count_);
    return data()[at];
  }
  const Entry& front() const { return (*this)[0]; }
  const Entry& back() const { return (*this)[count_ - 1]; }

  /// The same entries, fewer of them.
  Entries slice(size_t offset, size_t count) const;
  Entries first(size_t count) const { return slice(0, count); }

  /// The entries to be changed, by their only owner: if they are shared, they are copied first.
  std::span<Entry> mutable_view();
  /// Whether nobody else refers to the block.
  bool unique() const { return !block_ || block_->references == 1; }

  /// Room for `count` entries and no more, while there are none: when their number is known.
  void reserve(size_t count);
  void push_back(Entry entry);
  void append(std::span<const Entry> entries);
  /// Leaves the first `count`, or drops them.
  void truncate(size_t count);
  void drop_front(size_t count);
  void clear() { *this = Entries(); }

  size_t capacity() const { return block_ ? block_->capacity : 0; }

 private:
  static constexpr size_t kSpareFactor = 2;
  static constexpr size_t kCapacityMin = 4;

  /// Followed by its entries; those in [0, used) are constructed.
  struct alignas(Entry) Block {
    uint32_t references = 1;
    uint32_t used = 0;
    uint32_t capacity = 0;
    Entry* entries() { return reinterpret_cast<Entry*>(this + 1); }
  };
  static Block* make_block(size_t capacity);
  static void free_block(Block* block);

  bool ends_at_used() const { return offset_ + count_ == block_->used; }
  void forget_unseen();
  void make_room(size_t more_count);
  void move_to_new_block(size_t capacity);

  Block* block_ = nullptr;  ///< null: no entries
  uint32_t offset_ = 0;     ///< the first entry's place in the block
  uint32_t count_ = 0;      ///< offset_ + count_ <= block_->used
};

/// The longest prefix of `entries` within `bytes_max` (see encoded_bytes()), but at least one
/// entry.
inline Entries limit_bytes(const Entries& entries, uint64_t bytes_max) {
  return entries.first(limit_bytes(std::span<const Entry>(entries), bytes_max).size());
}

}  // namespace cairn::raft
