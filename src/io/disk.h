/// Disk: files of one directory tree on one device, asynchronously.
///
/// Every operation is an awaitable that completes on the reactor; completion order is free. A path
/// is relative to the disk's root, with '/' between names. What is durable when:
///   - write with Durability::kSynced: this write's bytes, and nothing else, on completion;
///   - sync_data(): all bytes whose writes completed before the call;
///   - names (create, rename, remove): after sync_directory() of the parent;
///   - a size set by allocate() or truncate(): after sync_data().
/// After a failed sync the device's state is unknown: the caller must treat the disk as dead.
/// Errors:  kNotFound, kAlreadyExists, kNoSpace, kIo, kInvalidArgument; the message names the path.
/// Threads: the reactor's.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/result.h"
#include "io/task.h"

namespace cairn::io {

enum class Durability : uint8_t {
  kCached,  ///< volatile until a sync
  kSynced,  ///< on the medium at completion (RWF_DSYNC)
};

enum class Access : uint8_t {
  kDirect,    ///< past the page cache: offsets, sizes and memory are multiples of 4096
  kBuffered,  ///< through the page cache, any alignment
};

struct OpenOptions {
  bool create = false;
  bool exclusive = false;  ///< with create: kAlreadyExists if the name is taken
  bool read_only = false;
  Access access = Access::kBuffered;
};

class File {
 public:
  virtual ~File() = default;  ///< closes; every operation on it has completed

  /// Reads exactly `into.size()` bytes, or fails with kIo ("short read") at the end of the file.
  /// `into` stays valid until completion.
  virtual Task<Status> read(uint64_t offset_bytes, MutableByteView into) = 0;
  /// Writes the parts one behind the other at `offset_bytes`. The parts' memory stays valid until
  /// completion. At most kPartsMax parts.
  virtual Task<Status> write(uint64_t offset_bytes, std::span<const ByteView> parts,
                             Durability durability) = 0;
  virtual Task<Status> sync_data() = 0;
  /// Reserves space for [offset, offset + size) and extends the file to its end, reading as zeros.
  virtual Task<Status> allocate(uint64_t offset_bytes, uint64_t size_bytes) = 0;
  virtual Task<Status> truncate(uint64_t size_bytes) = 0;
  virtual Task<Result<uint64_t>> size() = 0;

  /// A blocking write into the page cache, for small writes that must not cost a context switch:
  /// kBuffered files only. May stall under dirty throttling; the caller bounds what it has dirty.
  virtual Status write_cached_now(uint64_t offset_bytes, std::span<const ByteView> parts) = 0;
  /// The same for reads that are likely in the page cache.
  virtual Status read_cached_now(uint64_t offset_bytes, MutableByteView into) = 0;

  static constexpr size_t kPartsMax = 1024;
};

struct DiskSpace {
  uint64_t capacity_bytes = 0;  ///< used or free; without what is kept for the superuser
  uint64_t free_bytes = 0;
};

class Disk {
 public:
  virtual ~Disk() = default;

  virtual Task<Result<std::unique_ptr<File>>> open(std::string path, OpenOptions options) = 0;
  /// Creates a directory; succeeds if it exists. The parent has to exist.
  virtual Task<Status> make_directory(std::string path) = 0;
  /// Names in a directory, sorted; directories end with '/'.
  virtual Task<Result<std::vector<std::string>>> list(std::string path) = 0;
  /// Replaces `to` if it exists.
  virtual Task<Status> rename(std::string from, std::string to) = 0;
  virtual Task<Status> remove(std::string path) = 0;
  virtual Task<Status> sync_directory(std::string path) = 0;
  virtual Task<Result<DiskSpace>> space() = 0;
};

/// Reads a whole small file; kCorrupt above `bytes_max`.
Task<Result<Buffer>> read_file(Disk& disk, std::string path, uint64_t bytes_max);
/// Replaces a small file so that a crash leaves the old or the new one: write aside, sync, rename,
/// sync the directory.
Task<Status> replace_file(Disk& disk, std::string path, Buffer content);

}  // namespace cairn::io
