/// CopyWatch: which blocks of a range were changed here while it was being copied from elsewhere.
/// What came from elsewhere may be older than these changes, and must not undo them.
/// Threads: one reactor.
#pragma once

#include <algorithm>
#include <vector>

#include "base/ids.h"
#include "base/units.h"

namespace cairn::chunkserver {

class CopyWatch {
 public:
  CopyWatch(ChunkId chunk, uint32_t offset_bytes, uint32_t size_bytes)
      : chunk_(chunk), offset_bytes_(offset_bytes), newer_(size_bytes / kBlockBytes, false) {}

  ChunkId chunk() const { return chunk_; }
  /// One a block of the range: changed here since.
  const std::vector<bool>& newer() const { return newer_; }
  bool has_newer() const { return std::ranges::find(newer_, true) != newer_.end(); }
  /// The chunk was removed, or the whole state replaced: nothing of the copy may be used.
  bool is_void() const { return is_void_; }

  void set_void() { is_void_ = true; }
  void set_newer(size_t block) { newer_[block] = true; }
  /// Offset and size in the chunk.
  void note(uint64_t offset_bytes, uint64_t size_bytes) {
    const uint64_t end = offset_bytes_ + newer_.size() * kBlockBytes;
    const uint64_t from = std::max<uint64_t>(offset_bytes, offset_bytes_);
    const uint64_t to = std::min<uint64_t>(offset_bytes + size_bytes, end);
    for (uint64_t at = from; at < to; at += kBlockBytes) {
      newer_[(at - offset_bytes_) / kBlockBytes] = true;
    }
  }

 private:
  const ChunkId chunk_;
  const uint32_t offset_bytes_;
  std::vector<bool> newer_;
  bool is_void_ = false;
};

/// The copies that are under way in a copyset: a few.
class CopyWatches {
 public:
  /// In the copy's frame.
  class Registration {
   public:
    Registration(CopyWatches& in, CopyWatch& watch) : in_(in), watch_(watch) {
      in_.all_.push_back(&watch_);
    }
    ~Registration() { std::erase(in_.all_, &watch_); }
    Registration(const Registration&) = delete;
    Registration& operator=(const Registration&) = delete;

   private:
    CopyWatches& in_;
    CopyWatch& watch_;
  };

  /// Before the change is made: it may take a while, and a copy must not be installed over it.
  void note(ChunkId chunk, uint64_t offset_bytes, uint64_t size_bytes) {
    for (CopyWatch* watch : all_) {
      if (watch->chunk() == chunk) watch->note(offset_bytes, size_bytes);
    }
  }
  void set_void(ChunkId chunk) {
    for (CopyWatch* watch : all_) {
      if (watch->chunk() == chunk) watch->set_void();
    }
  }
  void set_all_void() {
    for (CopyWatch* watch : all_) watch->set_void();
  }
  bool empty() const { return all_.empty(); }

 private:
  std::vector<CopyWatch*> all_;
};

}  // namespace cairn::chunkserver
