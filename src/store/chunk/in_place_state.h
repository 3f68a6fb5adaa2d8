/// The private parts of InPlaceStore, shared by its source files.
#pragma once

#include <set>

#include "store/chunk/in_place_store.h"

namespace cairn::chunk {

/// A chunk that is open in memory. It stands in exactly one list: `clean_`, or its copyset's
/// `dirty` or `flushing`.
struct InPlaceStore::Handle {
  Copyset* copyset = nullptr;
  std::unique_ptr<ChunkFile> file;
  size_t pins_count = 0;  ///< operations that use it across a suspension: it stays
  bool is_changed_while_flushing = false;
  HandleList* home = nullptr;
  HandleList::iterator position;
};

/// A chunk that exists, or is being created or removed.
struct InPlaceStore::Entry {
  bool is_busy = false;  ///< one flow opens, creates or removes it; others wait for changed_
  bool exists = false;
  std::unique_ptr<Handle> open;
};

struct InPlaceStore::Copyset {
  Copyset(io::Executor& executor, CopysetId copyset_id) : id(copyset_id), flush_turn(executor, 1) {}

  const CopysetId id;
  std::unordered_map<ChunkId, Entry> chunks;
  size_t existing_count = 0;
  HandleList dirty;
  HandleList flushing;
  bool are_names_dirty = false;  ///< chunks came or went since the directory was synced
  bool has_removals = false;     ///< those that went are durable with the pool's directory
  bool is_removing = false;      ///< nothing is created in it any more
  size_t users_count = 0;        ///< flows that hold a pointer to it across a suspension
  io::Semaphore flush_turn;
};

/// Keeps a handle open; without one it stands for an absent chunk.
class InPlaceStore::Pin {
 public:
  Pin() = default;
  Pin(InPlaceStore& store, Handle& handle) : store_(&store), handle_(&handle) {
    ++handle.pins_count;
  }
  Pin(Pin&& other) noexcept
      : store_(other.store_), handle_(std::exchange(other.handle_, nullptr)) {}
  Pin& operator=(Pin&& other) noexcept {
    std::swap(store_, other.store_);
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Pin() {
    if (handle_ != nullptr && --handle_->pins_count == 0) store_->changed_.notify_all();
  }
  explicit operator bool() const { return handle_ != nullptr; }
  Handle& operator*() const { return *handle_; }
  ChunkFile& file() const { return *handle_->file; }

 private:
  InPlaceStore* store_ = nullptr;
  Handle* handle_ = nullptr;
};

}  // namespace cairn::chunk
