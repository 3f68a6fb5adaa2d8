/// For tests of the chunk store: a simulated host with a pool and a store on its disk.
#pragma once

#include <gtest/gtest.h>

#include "sim/io/world.h"
#include "store/chunk/in_place_store.h"

namespace cairn::chunk {

/// `blocks_count` blocks that differ by `stamp` and place.
inline Buffer pattern(uint64_t stamp, size_t blocks_count) {
  Buffer bytes = Buffer::allocate(blocks_count * kBlockBytes);
  Rng rng(stamp);
  for (size_t at = 0; at < bytes.size_bytes(); at += 8) {
    store(bytes.mutable_view().subspan(at), rng.next());
  }
  return bytes;
}

class StoreBench {
 public:
  explicit StoreBench(uint64_t seed) : world(seed), host(world.add_host("a")) {
    options.chunk_bytes = 64 * kKiB;
    pool_options.chunk_file_bytes = ChunkLayout{options.chunk_bytes}.file_bytes();
    pool_options.ready_min = 2;
    pool_options.ready_target = 4;
    pool_options.space_reserve_bytes = 1 * kMiB;
    pool_options.format_bytes_per_second = kGiB;
  }
  ~StoreBench() { stop(); }

  Status open() {
    auto opened_pool = run(pool::ChunkFilePool::open(host.env(), disk(), pool_options));
    if (!opened_pool.ok()) return opened_pool.error();
    pool = std::move(*opened_pool);
    io::Disk& on = disk_under_test != nullptr ? *disk_under_test : disk();
    auto opened = run(InPlaceStore::open(host.env(), on, *pool, options));
    if (!opened.ok()) {
      stop();
      return opened.error();
    }
    store = std::move(*opened);
    return ok();
  }
  void stop() {
    if (store) {
      run(store->stop());
      store->check_invariants();
    }
    store.reset();
    if (pool) run(pool->stop());
    pool.reset();
  }
  void reopen() {
    stop();
    const Status opened = open();
    ASSERT_TRUE(opened.ok()) << opened.error().describe();
  }
  void crash(sim::CrashKind kind) {
    host.crash(kind, [&] {
      store.reset();
      pool.reset();
    });
    host.boot();
  }
  sim::SimDisk& disk() { return host.disk(); }
  template <typename T>
  T run(io::Task<T> task) {
    return world.run(host, std::move(task));
  }

  Status write(CopysetId copyset, ChunkId chunk, uint64_t block, Buffer data) {
    return run(store->write(copyset, chunk, static_cast<uint32_t>(block * kBlockBytes), data));
  }
  Result<Buffer> read(CopysetId copyset, ChunkId chunk, uint64_t block, uint64_t blocks_count) {
    return run(store->read(copyset, chunk, static_cast<uint32_t>(block * kBlockBytes),
                           static_cast<uint32_t>(blocks_count * kBlockBytes)));
  }
  uint64_t metric(const char* name) { return host.env().metrics.counter(name, "").value(); }

  sim::World world;
  sim::Host& host;
  StoreOptions options;
  pool::PoolOptions pool_options;
  io::Disk* disk_under_test = nullptr;  ///< what the store uses instead of disk(), if set
  std::unique_ptr<pool::ChunkFilePool> pool;
  std::unique_ptr<InPlaceStore> store;
};

inline bool same_bytes(ByteView a, ByteView b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace cairn::chunk
