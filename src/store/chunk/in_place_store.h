/// InPlaceStore: one file a chunk, written in place.
///
/// Bounds: `open_chunks_max` handles are kept (a file descriptor and 4 bytes a block each); clean
/// ones are closed, least recently used first. Only a flush makes a chunk clean; when all are
/// dirty, opening one more flushes a copyset first.
/// Source: docs/formats/chunk.md.
#pragma once

#include <list>
#include <memory>
#include <string>
#include <unordered_map>

#include "io/env.h"
#include "io/sync.h"
#include "store/chunk/chunk_file.h"
#include "store/chunk/chunk_store.h"
#include "store/pool/chunk_file_pool.h"

namespace cairn::chunk {

struct StoreOptions {
  std::string directory = "copysets";
  /// A power of two from 64 KiB to 1 GiB. The pool's files have ChunkLayout::file_bytes.
  uint32_t chunk_bytes = 16 * kMiB;
  size_t open_chunks_max = 4096;
  /// From here on needs_flush() asks for flushes; less than open_chunks_max.
  size_t dirty_chunks_max = 2048;
  /// Chunks of a copyset that are synced at once.
  size_t flushes_inflight_max = 8;
};

class InPlaceStore : public ChunkStore {
 public:
  /// Takes up the copysets on the disk; reads names only. The pool outlives the store.
  /// kInvalidArgument: the pool's files have another size.
  static io::Task<Result<std::unique_ptr<InPlaceStore>>> open(io::Env env, io::Disk& disk,
                                                              pool::ChunkFilePool& pool,
                                                              StoreOptions options);
  ~InPlaceStore() override;
  InPlaceStore(const InPlaceStore&) = delete;
  InPlaceStore& operator=(const InPlaceStore&) = delete;

  io::Task<Status> create_copyset(CopysetId copyset) override;
  io::Task<Status> remove_copyset(CopysetId copyset) override;
  std::vector<CopysetId> copysets() const override;
  Result<std::vector<ChunkId>> list(CopysetId copyset) const override;
  bool contains(CopysetId copyset, ChunkId chunk) const override;
  bool try_write(CopysetId copyset, ChunkId chunk, uint32_t offset_bytes, const Buffer& data,
                 Status* result) override;
  io::Task<Status> write(CopysetId copyset, ChunkId chunk, uint32_t offset_bytes,
                         Buffer data) override;
  io::Task<Status> write_zeroes(CopysetId copyset, ChunkId chunk, uint32_t offset_bytes,
                                uint32_t size_bytes) override;
  io::Task<Result<Buffer>> read(CopysetId copyset, ChunkId chunk, uint32_t offset_bytes,
                                uint32_t size_bytes) override;
  io::Task<Status> remove(CopysetId copyset, ChunkId chunk) override;
  io::Task<Status> flush(CopysetId copyset) override;
  bool needs_flush(CopysetId copyset) const override;
  size_t dirty_chunks_count() const override { return dirty_count_; }
  io::Task<Result<ChunkDigest>> digest(CopysetId copyset, ChunkId chunk, bool read_data) override;
  io::Task<Result<std::vector<uint32_t>>> table(CopysetId copyset, ChunkId chunk) override;
  io::Task<Result<std::vector<uint32_t>>> verify(CopysetId copyset, ChunkId chunk,
                                                 uint32_t offset_bytes,
                                                 uint32_t size_bytes) override;
  io::Task<Result<ChunkImage>> fetch(CopysetId copyset, ChunkId chunk, uint32_t offset_bytes,
                                     uint32_t size_bytes, std::vector<uint32_t> have) override;
  io::Task<Status> install(CopysetId copyset, ChunkId chunk, uint32_t offset_bytes,
                           uint32_t size_bytes, ChunkImage image, InstallExcept except) override;
  io::Task<void> stop() override;

  size_t open_chunks_count() const { return open_count_; }
  /// CHECKs that lists, counts and states agree; for tests.
  void check_invariants() const;

 private:
  struct Copyset;
  struct Handle;
  struct Entry;
  struct FlushRun;
  class Pin;
  using HandleList = std::list<Handle*>;
  enum class IfAbsent : uint8_t { kLeave, kCreate };

  InPlaceStore(io::Env env, io::Disk& disk, pool::ChunkFilePool& pool, StoreOptions options);
  io::Task<Status> recover();
  io::Task<Status> recover_copyset(std::string directory_name);

  Copyset* find(CopysetId copyset) const;
  Handle* find_open(CopysetId copyset, ChunkId chunk) const;
  Status check_range(ChunkId chunk, uint64_t offset_bytes, uint64_t size_bytes) const;
  Status check_image_of(ChunkId chunk, uint32_t size_bytes, const ChunkImage& image,
                        const InstallExcept& except) const;
  std::string directory_of(CopysetId copyset) const;
  std::string path_of(CopysetId copyset, ChunkId chunk) const;

  io::Task<Result<Pin>> acquire(CopysetId copyset, ChunkId chunk, IfAbsent if_absent);
  io::Task<Result<std::unique_ptr<ChunkFile>>> open_file(CopysetId copyset, ChunkId chunk,
                                                         bool exists);
  io::Task<Status> make_room();
  void admit(Copyset& copyset, ChunkId chunk, Entry& entry, std::unique_ptr<ChunkFile> file,
             bool is_new);
  void touch(Handle& handle);
  void mark_dirty(Handle& handle);
  void move_to(Handle& handle, HandleList& list);
  void close(Entry& entry);
  bool evict_one();
  Copyset* dirtiest() const;

  io::Task<Status> flush_locked(CopysetId copyset);
  io::Task<void> flush_worker(FlushRun* run);
  io::Task<Status> flush_handles(Copyset* copyset);
  void latch_failure(const Error& error);

  io::Env env_;
  io::Disk& disk_;
  pool::ChunkFilePool& pool_;
  const StoreOptions options_;
  const ChunkLayout layout_;
  io::Gate gate_;
  io::Event changed_;  ///< an entry is no longer busy, a handle no longer pinned
  ChunkFileMetrics file_metrics_;
  Gauge& open_gauge_;
  Gauge& dirty_gauge_;
  Counter& flushes_total_;

  std::unordered_map<CopysetId, std::unique_ptr<Copyset>> copysets_;
  HandleList clean_;  ///< the most recently used in front
  size_t open_count_ = 0;
  size_t dirty_count_ = 0;        ///< open and not in clean_
  std::optional<Error> failure_;  ///< of a flush: the disk is dead
};

}  // namespace cairn::chunk
