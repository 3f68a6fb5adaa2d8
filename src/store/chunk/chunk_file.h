/// ChunkFile: one open chunk: its file, and its table of marks in memory.
///
/// Changes take effect at once, in the page cache and in the table together, so that nobody on the
/// reactor sees one without the other. Reads of more than 64 KiB do not block the reactor; a block
/// that changed under such a read is read again.
/// Units:    bytes, multiples of 4096 within the chunk (CHECKed; the store refuses others before).
/// Errors:   kCorrupt  names chunk, block and offset; nothing is returned.
///           kIo       the device failed.
/// Threads:  one reactor; one flush() at a time.
/// Lifetime: no operation is under way at the destructor, which closes the file without a flush.
/// Source:   docs/formats/chunk.md.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "io/env.h"
#include "store/chunk/chunk_format.h"
#include "store/chunk/chunk_store.h"

namespace cairn::chunk {

struct ChunkFileMetrics {
  Counter& corrupt_blocks_total;  ///< found by reads
  Counter& corrupt_slots_total;
  Counter& lost_tables_total;
  explicit ChunkFileMetrics(Registry& registry);
};

class ChunkFile {
 public:
  /// Opens a file that may have been flushed before. A lost table is not an error: its blocks are.
  static io::Task<Result<std::unique_ptr<ChunkFile>>> open(io::Env env, io::Disk& disk,
                                                           std::string path, ChunkLayout layout,
                                                           ChunkIdentity identity,
                                                           ChunkFileMetrics& metrics);
  /// Opens a file that the pool just gave: its slots are zero, its data is not looked at.
  static io::Task<Result<std::unique_ptr<ChunkFile>>> create(io::Env env, io::Disk& disk,
                                                             std::string path, ChunkLayout layout,
                                                             ChunkIdentity identity,
                                                             ChunkFileMetrics& metrics);

  /// Blocks the reactor for the copy: callers bound the size.
  Status write_now(uint64_t offset_bytes, ByteView data);
  void zero_now(uint64_t offset_bytes, uint64_t size_bytes);
  io::Task<Result<Buffer>> read(uint64_t offset_bytes, uint64_t size_bytes);
  /// The table and the data as they are now become durable. A failure is final for the disk.
  io::Task<Status> flush();

  io::Task<Result<ChunkDigest>> digest(bool read_data);
  /// The range's marks; kLost for blocks that do not match theirs.
  io::Task<Result<std::vector<Mark>>> verify(uint64_t offset_bytes, uint64_t size_bytes);
  /// `have`: empty, or a mark a block; blocks with the same mark are neither read nor returned.
  io::Task<Result<ChunkImage>> fetch(uint64_t offset_bytes, uint64_t size_bytes,
                                     std::vector<Mark> have);

  const ChunkIdentity& identity() const { return identity_; }
  std::span<const Mark> table() const { return table_; }
  uint64_t generation() const { return next_generation_ - 1; }

  static constexpr uint64_t kInlineReadBytesMax = 64 * kKiB;
  static constexpr uint64_t kDigestReadBytes = 256 * kKiB;

 private:
  ChunkFile(io::Env env, std::unique_ptr<io::File> file, ChunkLayout layout, ChunkIdentity identity,
            ChunkFileMetrics& metrics);

  io::Task<Status> load();
  void adopt(const Slot& a, const Slot& b);
  size_t block_of(uint64_t offset_bytes) const { return offset_bytes / kBlockBytes; }
  void check_range(uint64_t offset_bytes, uint64_t size_bytes) const;

  /// Fills `into` from `first` on. With `corrupt_count`, counts what does not match and goes on.
  /// `have`, if not empty: blocks with the same mark need not be read.
  io::Task<Status> load_blocks(size_t first, MutableByteView into, uint32_t* corrupt_count,
                               std::span<const Mark> have = {});
  Status load_blocks_now(size_t first, MutableByteView into, uint32_t* corrupt_count);
  Status load_block_now(size_t block, MutableByteView into, uint32_t* corrupt_count);
  Status refuse(size_t block, const std::string& why, uint32_t* corrupt_count);
  std::string name() const;

  io::Env env_;
  std::unique_ptr<io::File> file_;
  const ChunkLayout layout_;
  const ChunkIdentity identity_;
  ChunkFileMetrics& metrics_;
  std::vector<Mark> table_;
  uint64_t next_generation_ = 1;
  bool needs_sync_first_ = false;
  bool is_flushing_ = false;
};

/// Whether a receiver with the mark `have[i]` needs nothing of a block with `mark`. A lost block is
/// never had.
inline bool is_had(std::span<const Mark> have, size_t i, Mark mark) {
  return !have.empty() && have[i] != kLost && have[i] == mark;
}

/// Checks what another replica sent to one that has `have`; the marks' number and the data's size
/// fit each other on success, and every block matches its mark.
Status check_image(std::span<const Mark> marks, std::span<const Mark> have, ByteView data);

}  // namespace cairn::chunk
