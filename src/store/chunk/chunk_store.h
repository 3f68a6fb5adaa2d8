/// ChunkStore: the chunks of many copysets on one disk, with a checksum for every block.
///
/// The store is not the log: a write is visible when it returns and durable after flush(). The
/// write-ahead log makes it durable before, and is replayed from the last flush after a crash.
/// Replaying is idempotent, because writes are whole blocks.
/// Units:    bytes; offsets and sizes are multiples of 4096 within the chunk, sizes not 0.
/// Errors:   kInvalidArgument  not aligned, or beyond the chunk's end; nothing was done.
///           kNotFound         the copyset does not exist.
///           kNoSpace          the pool is empty; nothing was written.
///           kCorrupt          a checksum does not match; the message names chunk and block.
///           kIo               the device failed: after a failed write or flush the disk is dead.
///           kClosed           stop() was called.
/// Threads:  one reactor. Changes of one chunk come one after the other (its apply loop); reads
///           and flushes may overlap anything. Blocks, not ranges, are read atomically.
/// Source:   docs/formats/chunk.md.
#pragma once

#include <vector>

#include "base/buffer.h"
#include "base/ids.h"
#include "base/result.h"
#include "io/task.h"

namespace cairn::chunk {

/// What replicas are compared by.
struct ChunkDigest {
  uint32_t crc32c = 0;  ///< over the table of marks
  uint32_t blocks_written_count = 0;
  /// Lost blocks; with `read_data` also those whose bytes do not match their mark.
  uint32_t blocks_corrupt_count = 0;
  bool operator==(const ChunkDigest&) const = default;
};

/// A range of a chunk as it travels to another replica.
struct ChunkImage {
  std::vector<uint32_t> block_crcs;  ///< one mark a block; 0: a hole
  Buffer data;  ///< in order: the blocks that are not holes, nor what the receiver has already
};

/// What install() leaves as it is; one element a block of the range, or empty: nothing.
struct InstallExcept {
  std::vector<uint32_t> have;  ///< what fetch() was given: equal marks, equal blocks
  /// Blocks that are newer here than the image: asked for each when its turn comes, since they may
  /// become so meanwhile. Stays valid until completion.
  const std::vector<bool>* newer = nullptr;
};

class ChunkStore {
 public:
  virtual ~ChunkStore() = default;

  /// Durable on return; succeeds if it exists.
  virtual io::Task<Status> create_copyset(CopysetId copyset) = 0;
  /// Removes it with all its chunks; succeeds if it is absent. Interrupted by a crash it leaves the
  /// copyset with some of its chunks: call it again.
  virtual io::Task<Status> remove_copyset(CopysetId copyset) = 0;
  virtual std::vector<CopysetId> copysets() const = 0;                     ///< ascending
  virtual Result<std::vector<ChunkId>> list(CopysetId copyset) const = 0;  ///< ascending
  /// Whether the chunk exists, so that a write to it needs no file of the pool.
  virtual bool contains(CopysetId copyset, ChunkId chunk) const = 0;

  /// Replaces [offset, offset + data.size). The chunk is created if it is absent.
  virtual io::Task<Status> write(CopysetId copyset, ChunkId chunk, uint32_t offset_bytes,
                                 Buffer data) = 0;
  /// The same without a coroutine, for the hot path. False: nothing was done, await write() (the
  /// chunk is not open in memory, or the write is too long to hold up the reactor).
  virtual bool try_write(CopysetId copyset, ChunkId chunk, uint32_t offset_bytes,
                         const Buffer& data, Status* result) = 0;
  /// The range reads as zeros afterwards. An absent chunk stays absent.
  virtual io::Task<Status> write_zeroes(CopysetId copyset, ChunkId chunk, uint32_t offset_bytes,
                                        uint32_t size_bytes) = 0;
  /// Every block verified; holes and absent chunks as zeros. The result is aligned to 4096.
  virtual io::Task<Result<Buffer>> read(CopysetId copyset, ChunkId chunk, uint32_t offset_bytes,
                                        uint32_t size_bytes) = 0;
  /// Succeeds if the chunk is absent. Waits for reads and flushes of the chunk. A later write makes
  /// a new one of that id.
  virtual io::Task<Status> remove(CopysetId copyset, ChunkId chunk) = 0;

  /// Makes every change of the copyset that completed before the call durable. A failure is final:
  /// every later flush fails too.
  virtual io::Task<Status> flush(CopysetId copyset) = 0;
  /// Whether so much waits for a flush that this copyset should have one now.
  virtual bool needs_flush(CopysetId copyset) const = 0;
  /// Chunks, of all copysets, that changed since their last flush.
  virtual size_t dirty_chunks_count() const = 0;

  /// kNotFound: there is no such chunk.
  virtual io::Task<Result<ChunkDigest>> digest(CopysetId copyset, ChunkId chunk,
                                               bool read_data) = 0;
  /// The marks of all blocks, as they stand now. An absent chunk has holes.
  virtual io::Task<Result<std::vector<uint32_t>>> table(CopysetId copyset, ChunkId chunk) = 0;
  /// The marks of a range after its blocks were read: kLost (1) for those that do not match theirs.
  /// An absent chunk has holes.
  virtual io::Task<Result<std::vector<uint32_t>>> verify(CopysetId copyset, ChunkId chunk,
                                                         uint32_t offset_bytes,
                                                         uint32_t size_bytes) = 0;
  /// `have`: the receiver's marks, one a block, or empty. Blocks with the same mark are left out of
  /// the data, and are not read. kNotFound: there is no such chunk (it was deleted since it was
  /// listed). kInvalidArgument also: another number of marks than of blocks.
  virtual io::Task<Result<ChunkImage>> fetch(CopysetId copyset, ChunkId chunk,
                                             uint32_t offset_bytes, uint32_t size_bytes,
                                             std::vector<uint32_t> have) = 0;
  /// Makes the range equal to what fetch() returned elsewhere, creating the chunk if it is absent;
  /// but for the blocks of `except`. kCorrupt: a block does not match its mark; kInvalidArgument:
  /// marks and data do not fit each other. Nothing was changed then.
  virtual io::Task<Status> install(CopysetId copyset, ChunkId chunk, uint32_t offset_bytes,
                                   uint32_t size_bytes, ChunkImage image, InstallExcept except) = 0;

  /// Lets nothing in any more and waits for what is under way. Does not flush.
  virtual io::Task<void> stop() = 0;
};

}  // namespace cairn::chunk
