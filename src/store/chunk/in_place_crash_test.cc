// Crashes at any moment: after the log was replayed from the last flush, the store holds what the
// model holds, and reports no corruption.
#include <gmock/gmock.h>

#include <cstdlib>

#include "store/chunk/store_bench_test.h"

namespace cairn::chunk {
namespace {

constexpr size_t kBlocksPerChunk = 16;
constexpr size_t kCopysetsCount = 2;

/// What the log of a copyset holds.
struct Operation {
  enum class Kind : uint8_t { kWrite, kZero, kRemove };
  Kind kind = Kind::kWrite;
  ChunkId chunk;
  uint32_t block = 0;
  uint32_t blocks_count = 0;
  uint64_t stamp = 0;
};

/// The stamp of the write that a block shows and the block's place in it; stamp 0: zeros.
struct BlockContent {
  uint64_t stamp = 0;
  uint32_t place = 0;
  uint32_t blocks_count = 0;
  bool operator==(const BlockContent&) const = default;
};
using ChunkModel = std::array<BlockContent, kBlocksPerChunk>;

struct CopysetModel {
  CopysetId id;
  std::vector<Operation> log;
  size_t replay_from = 0;  ///< the log is cut here: all before was flushed
  std::map<ChunkId, ChunkModel> chunks;

  void apply(const Operation& operation) {
    if (operation.kind == Operation::Kind::kRemove) {
      chunks.erase(operation.chunk);
      return;
    }
    const bool is_write = operation.kind == Operation::Kind::kWrite;
    if (!is_write && !chunks.contains(operation.chunk)) return;
    ChunkModel& chunk = chunks[operation.chunk];
    for (uint32_t i = 0; i < operation.blocks_count; ++i) {
      chunk[operation.block + i] =
          is_write ? BlockContent{operation.stamp, i, operation.blocks_count} : BlockContent{};
    }
  }
};

struct History {
  History(StoreBench& on, uint64_t seed) : bench(on), rng(seed) {
    for (size_t i = 0; i < kCopysetsCount; ++i) {
      copysets[i].id = CopysetId(i + 1);
      oldest_chunk[i] = next_chunk[i] = 1 + 1000 * i;
    }
  }
  StoreBench& bench;
  Rng rng;
  std::array<CopysetModel, kCopysetsCount> copysets;
  std::array<uint64_t, kCopysetsCount> oldest_chunk{};
  std::array<uint64_t, kCopysetsCount> next_chunk{};
  uint64_t next_stamp = 1;
  size_t flushes_count = 0;
  size_t flushing_count = 0;  ///< in this process
};

Buffer bytes_of_chunk(const ChunkModel& model) {
  Buffer bytes = Buffer::allocate(kBlocksPerChunk * kBlockBytes);
  for (size_t i = 0; i < kBlocksPerChunk; ++i) {
    const MutableByteView into = bytes.mutable_view().subspan(i * kBlockBytes, kBlockBytes);
    std::ranges::fill(into, std::byte{0});
    if (model[i].stamp == 0) continue;
    const Buffer written = pattern(model[i].stamp, model[i].blocks_count);
    std::ranges::copy(written.view().subspan(model[i].place * kBlockBytes, kBlockBytes),
                      into.begin());
  }
  return bytes;
}

io::Task<Status> apply_to_store(InPlaceStore* store, CopysetId copyset, Operation operation) {
  const auto offset_bytes = static_cast<uint32_t>(operation.block * kBlockBytes);
  const auto size_bytes = static_cast<uint32_t>(operation.blocks_count * kBlockBytes);
  switch (operation.kind) {
    case Operation::Kind::kRemove:
      co_return co_await store->remove(copyset, operation.chunk);
    case Operation::Kind::kZero:
      co_return co_await store->write_zeroes(copyset, operation.chunk, offset_bytes, size_bytes);
    case Operation::Kind::kWrite:
      break;
  }
  const Buffer data = pattern(operation.stamp, operation.blocks_count);
  Status result = ok();
  if (store->try_write(copyset, operation.chunk, offset_bytes, data, &result)) co_return result;
  co_return co_await store->write(copyset, operation.chunk, offset_bytes, data);
}

Operation draw(History& run, size_t at) {
  Operation operation;
  const bool is_new = run.next_chunk[at] == run.oldest_chunk[at] || run.rng.chance(0.08);
  if (is_new) ++run.next_chunk[at];
  operation.chunk = ChunkId(is_new ? run.next_chunk[at] - 1
                                   : run.rng.between(run.oldest_chunk[at], run.next_chunk[at] - 1));
  if (run.next_chunk[at] - run.oldest_chunk[at] > 3 && run.rng.chance(0.07)) {
    operation.kind = Operation::Kind::kRemove;
    operation.chunk = ChunkId(run.oldest_chunk[at]++);
    return operation;
  }
  if (run.rng.chance(0.03)) {
    operation.kind =
        Operation::Kind::kRemove;  // for a while: it is written again, as one discarded
    return operation;
  }
  operation.kind = run.rng.chance(0.12) ? Operation::Kind::kZero : Operation::Kind::kWrite;
  operation.blocks_count = static_cast<uint32_t>(run.rng.between(1, 4));
  operation.block = static_cast<uint32_t>(run.rng.below(kBlocksPerChunk - 3));
  operation.stamp = run.next_stamp++;
  return operation;
}

io::Task<void> flush_and_cut(History* run, size_t at) {
  CopysetModel& copyset = run->copysets[at];
  // The log's end now: everything before it has been applied, or is being applied by the one who
  // drives, whose operation may be missed by this flush.
  const size_t cut = copyset.log.size() - 1;
  const Status flushed = co_await run->bench.store->flush(copyset.id);
  EXPECT_TRUE(flushed.ok()) << flushed.error().describe();
  if (!flushed.ok()) co_return;
  copyset.replay_from = std::max(copyset.replay_from, cut);
  ++run->flushes_count;
  --run->flushing_count;
}

io::Task<void> verify_chunk(History* run, size_t at, ChunkId chunk) {
  const CopysetModel& copyset = run->copysets[at];
  const auto found = copyset.chunks.find(chunk);
  const Buffer expected =
      bytes_of_chunk(found == copyset.chunks.end() ? ChunkModel{} : found->second);
  const auto actual = co_await run->bench.store->read(copyset.id, chunk, 0,
                                                      static_cast<uint32_t>(expected.size_bytes()));
  EXPECT_TRUE(actual.ok()) << actual.error().describe();
  if (!actual.ok()) co_return;
  EXPECT_TRUE(same_bytes(actual->view(), expected.view()))
      << "chunk " << chunk.value() << " of copyset " << copyset.id.value();
}

/// Applies operations until the crash takes its frame apart.
io::Task<void> drive(History* run) {
  io::Env env = run->bench.host.env();
  while (true) {
    const size_t at = run->rng.below(kCopysetsCount);
    CopysetModel& copyset = run->copysets[at];
    const Operation operation = draw(*run, at);
    copyset.log.push_back(operation);
    const Status applied = co_await apply_to_store(run->bench.store.get(), copyset.id, operation);
    EXPECT_TRUE(applied.ok()) << applied.error().describe();
    copyset.apply(operation);
    if (run->rng.chance(0.1)) co_await verify_chunk(run, at, operation.chunk);
    if (run->rng.chance(0.03) && run->flushing_count < 3) {
      ++run->flushing_count;
      env.executor.spawn(flush_and_cut(run, at));
    }
    if (run->rng.chance(0.5)) {
      co_await env.clock.sleep(Duration(static_cast<int64_t>(run->rng.below(60'000))));
    }
  }
}

/// What a restart does: the log from its cut, in order, copyset by copyset.
io::Task<void> replay_and_verify(History* run) {
  for (size_t at = 0; at < kCopysetsCount; ++at) {
    CopysetModel& copyset = run->copysets[at];
    EXPECT_TRUE((co_await run->bench.store->create_copyset(copyset.id)).ok());
    copyset.chunks.clear();
    for (const Operation& operation : copyset.log) copyset.apply(operation);
    for (size_t i = copyset.replay_from; i < copyset.log.size(); ++i) {
      const Status applied =
          co_await apply_to_store(run->bench.store.get(), copyset.id, copyset.log[i]);
      EXPECT_TRUE(applied.ok()) << applied.error().describe();
    }
    std::vector<ChunkId> expected;
    for (const auto& [chunk, content] : copyset.chunks) expected.push_back(chunk);
    const auto listed = run->bench.store->list(copyset.id);
    EXPECT_TRUE(listed.ok());
    EXPECT_EQ(*listed, expected) << "copyset " << copyset.id.value();
    for (const ChunkId chunk : expected) {
      co_await verify_chunk(run, at, chunk);
      const auto digest = co_await run->bench.store->digest(copyset.id, chunk, true);
      EXPECT_TRUE(digest.ok() && digest->blocks_corrupt_count == 0);
    }
  }
}

void crash_again_and_again(uint64_t seed, size_t* flushes_count) {
  StoreBench bench(seed);
  Rng rng(seed);
  bench.options.open_chunks_max = rng.between(2, 12);
  bench.options.dirty_chunks_max = bench.options.open_chunks_max;
  bench.options.flushes_inflight_max = rng.between(1, 8);
  bench.pool_options.ready_min = rng.below(3);
  bench.pool_options.ready_target = bench.pool_options.ready_min + rng.below(3);
  History run(bench, seed + 1);
  for (int crash = 0; crash < 5; ++crash) {
    const Status opened = bench.open();
    ASSERT_TRUE(opened.ok()) << opened.error().describe();
    run.flushing_count = 0;
    bench.run(replay_and_verify(&run));
    bench.store->check_invariants();
    ASSERT_EQ(bench.metric("cairn_chunk_lost_tables_total"), 0u);
    bench.host.spawn(drive(&run));
    bench.world.run_for(Duration(static_cast<int64_t>(rng.between(0, 25'000'000))));
    bench.store->check_invariants();
    bench.crash(rng.chance(0.7) ? sim::CrashKind::kPowerLoss : sim::CrashKind::kKill);
  }
  ASSERT_TRUE(bench.open().ok());
  bench.run(replay_and_verify(&run));
  *flushes_count += run.flushes_count;
}

TEST(InPlaceCrash, ReplayFromTheLastFlushRestoresTheModelOverManySeeds) {
  // CAIRN_CRASH_SEEDS=20000 for a longer search.
  const char* asked = std::getenv("CAIRN_CRASH_SEEDS");
  const uint64_t seeds_count = asked != nullptr ? std::strtoull(asked, nullptr, 10) : 400;
  size_t flushes_count = 0;
  for (uint64_t seed = 1; seed <= seeds_count; ++seed) {
    crash_again_and_again(seed, &flushes_count);
    if (testing::Test::HasFailure()) {
      FAIL() << "seed " << seed;
    }
  }
  EXPECT_GT(flushes_count, 10 * seeds_count)
      << "the log is cut all the time, or the test shows little";
}

/// One chunk, flushed after every write.
io::Task<void> write_and_flush(History* run) {
  CopysetModel& copyset = run->copysets[0];
  while (true) {
    Operation operation;
    operation.chunk = ChunkId(1);
    operation.block = static_cast<uint32_t>(run->rng.below(kBlocksPerChunk));
    operation.blocks_count = 1;
    operation.stamp = run->next_stamp++;
    copyset.log.push_back(operation);
    EXPECT_TRUE((co_await apply_to_store(run->bench.store.get(), copyset.id, operation)).ok());
    copyset.apply(operation);
    const size_t cut = copyset.log.size();
    const Status flushed = co_await run->bench.store->flush(copyset.id);
    EXPECT_TRUE(flushed.ok());
    copyset.replay_from = cut;
    ++run->flushes_count;
  }
}

TEST(InPlaceCrash, AFlushAfterAKillNeverRisksTheOnlyDurableSlot) {
  StoreBench bench(77);
  History run(bench, 78);
  // What is not durable is torn more often when little time passes between crashes.
  for (int crash = 0; crash < 3000; ++crash) {
    ASSERT_TRUE(bench.open().ok());
    bench.run(replay_and_verify(&run));
    ASSERT_EQ(bench.metric("cairn_chunk_lost_tables_total"), 0u) << crash;
    ASSERT_FALSE(testing::Test::HasFailure()) << crash;
    bench.host.spawn(write_and_flush(&run));
    bench.world.run_for(Duration(static_cast<int64_t>(run.rng.below(800'000))));
    bench.crash(run.rng.chance(0.5) ? sim::CrashKind::kPowerLoss : sim::CrashKind::kKill);
  }
  EXPECT_GT(run.flushes_count, 1000u);
}

// ---- things at the same time, without a crash

/// A disk whose reads return what was there a while ago, as the kernel's may.
class LateFile : public io::File {
 public:
  LateFile(std::unique_ptr<io::File> inner, io::Clock& clock)
      : inner_(std::move(inner)), clock_(clock) {}
  io::Task<Status> read(uint64_t offset_bytes, MutableByteView into) override {
    CO_TRY(co_await inner_->read(offset_bytes, into));
    co_await clock_.sleep(80us);
    co_return ok();
  }
  io::Task<Status> write(uint64_t offset_bytes, std::span<const ByteView> parts,
                         io::Durability durability) override {
    return inner_->write(offset_bytes, parts, durability);
  }
  io::Task<Status> sync_data() override { return inner_->sync_data(); }
  io::Task<Status> allocate(uint64_t offset_bytes, uint64_t size_bytes) override {
    return inner_->allocate(offset_bytes, size_bytes);
  }
  io::Task<Status> truncate(uint64_t size_bytes) override { return inner_->truncate(size_bytes); }
  io::Task<Result<uint64_t>> size() override { return inner_->size(); }
  Status write_cached_now(uint64_t offset_bytes, std::span<const ByteView> parts) override {
    return inner_->write_cached_now(offset_bytes, parts);
  }
  Status read_cached_now(uint64_t offset_bytes, MutableByteView into) override {
    return inner_->read_cached_now(offset_bytes, into);
  }

 private:
  std::unique_ptr<io::File> inner_;
  io::Clock& clock_;
};

class LateDisk : public io::Disk {
 public:
  LateDisk(io::Disk& inner, io::Clock& clock) : inner_(inner), clock_(clock) {}
  io::Task<Result<std::unique_ptr<io::File>>> open(std::string path,
                                                   io::OpenOptions options) override {
    auto file = CO_TRY(co_await inner_.open(path, options));
    std::unique_ptr<io::File> late = std::make_unique<LateFile>(std::move(file), clock_);
    co_return late;
  }
  io::Task<Status> make_directory(std::string path) override { return inner_.make_directory(path); }
  io::Task<Result<std::vector<std::string>>> list(std::string path) override {
    return inner_.list(path);
  }
  io::Task<Status> rename(std::string from, std::string to) override {
    return inner_.rename(from, to);
  }
  io::Task<Status> remove(std::string path) override { return inner_.remove(path); }
  io::Task<Status> sync_directory(std::string path) override { return inner_.sync_directory(path); }
  io::Task<Result<io::DiskSpace>> space() override { return inner_.space(); }

 private:
  io::Disk& inner_;
  io::Clock& clock_;
};

struct Racing {
  StoreBench& bench;
  Rng rng;
  bool is_done = false;
  size_t reads_count = 0;
  size_t flushes_count = 0;
};
constexpr size_t kRacingBlocks = 64;  // 256 KiB: reads of it do not block the reactor

io::Task<void> write_all_the_time(Racing* racing) {
  io::Env env = racing->bench.host.env();
  for (uint64_t stamp = 1; stamp <= 600; ++stamp) {
    const auto block = static_cast<uint32_t>(racing->rng.below(kRacingBlocks - 8));
    const auto offset_bytes = static_cast<uint32_t>(block * kBlockBytes);
    Status written = ok();
    if (racing->rng.chance(0.2)) {
      written = co_await racing->bench.store->write_zeroes(CopysetId(1), ChunkId(1), offset_bytes,
                                                           8 * kBlockBytes);
    } else {
      written = co_await racing->bench.store->write(CopysetId(1), ChunkId(1), offset_bytes,
                                                    pattern(stamp, racing->rng.between(1, 8)));
    }
    EXPECT_TRUE(written.ok()) << written.error().describe();
    co_await env.clock.sleep(Duration(static_cast<int64_t>(racing->rng.below(50'000))));
  }
  racing->is_done = true;
}

io::Task<void> read_all_the_time(Racing* racing) {
  while (!racing->is_done) {
    const auto read = co_await racing->bench.store->read(CopysetId(1), ChunkId(1), 0,
                                                         kRacingBlocks * kBlockBytes);
    EXPECT_TRUE(read.ok()) << read.error().describe();
    const auto image = co_await racing->bench.store->fetch(CopysetId(1), ChunkId(1), 0,
                                                           kRacingBlocks * kBlockBytes, {});
    EXPECT_TRUE(image.ok()) << image.error().describe();
    if (image.ok()) {
      EXPECT_TRUE(check_image(image->block_crcs, {}, image->data.view()).ok());
    }
    ++racing->reads_count;
  }
}

io::Task<void> flush_all_the_time(Racing* racing) {
  while (!racing->is_done) {
    const Status flushed = co_await racing->bench.store->flush(CopysetId(1));
    EXPECT_TRUE(flushed.ok());
    ++racing->flushes_count;
    co_await racing->bench.host.env().clock.sleep(20us);
  }
}

TEST(InPlaceRaces, ReadsAndFlushesDuringWritesSeeWholeBlocks) {
  StoreBench bench(9);
  bench.options.chunk_bytes = kRacingBlocks * kBlockBytes;
  bench.pool_options.chunk_file_bytes = ChunkLayout{bench.options.chunk_bytes}.file_bytes();
  LateDisk late(bench.disk(), bench.host.env().clock);
  bench.disk_under_test = &late;
  ASSERT_TRUE(bench.open().ok());
  ASSERT_TRUE(bench.run(bench.store->create_copyset(CopysetId(1))).ok());
  ASSERT_TRUE(bench.write(CopysetId(1), ChunkId(1), 0, pattern(99, kRacingBlocks)).ok());
  Racing racing{bench, Rng(4)};
  bench.host.spawn(read_all_the_time(&racing));
  bench.host.spawn(flush_all_the_time(&racing));
  bench.host.spawn(write_all_the_time(&racing));
  ASSERT_TRUE(bench.world.run_until([&] { return racing.is_done; }, 60s));
  bench.world.run_for(1s);
  EXPECT_GT(racing.reads_count, 20u);
  EXPECT_GT(racing.flushes_count, 20u);
  EXPECT_EQ(bench.metric("cairn_chunk_corrupt_blocks_total"), 0u);
  // The last flush left nothing behind.
  const auto before = bench.read(CopysetId(1), ChunkId(1), 0, kRacingBlocks);
  ASSERT_TRUE(bench.run(bench.store->flush(CopysetId(1))).ok());
  bench.crash(sim::CrashKind::kPowerLoss);
  bench.disk_under_test = nullptr;
  ASSERT_TRUE(bench.open().ok());
  const auto after = bench.read(CopysetId(1), ChunkId(1), 0, kRacingBlocks);
  ASSERT_TRUE(after.ok()) << after.error().describe();
  EXPECT_TRUE(same_bytes(before->view(), after->view()));
}

TEST(InPlaceRaces, RemoveWaitsForReadersAndTheFlush) {
  StoreBench bench(10);
  bench.options.chunk_bytes = kRacingBlocks * kBlockBytes;
  bench.pool_options.chunk_file_bytes = ChunkLayout{bench.options.chunk_bytes}.file_bytes();
  ASSERT_TRUE(bench.open().ok());
  ASSERT_TRUE(bench.run(bench.store->create_copyset(CopysetId(1))).ok());
  for (uint64_t chunk = 1; chunk <= 50; ++chunk) {
    ASSERT_TRUE(bench.write(CopysetId(1), ChunkId(chunk), 0, pattern(chunk, 64)).ok());
    std::optional<Result<Buffer>> read;
    std::optional<Status> flushed;
    std::optional<Status> removed;
    bench.host.spawn(sim::detail::store_result(
        bench.store->read(CopysetId(1), ChunkId(chunk), 0, 64 * kBlockBytes), &read));
    bench.host.spawn(sim::detail::store_result(bench.store->flush(CopysetId(1)), &flushed));
    bench.world.run_for(Duration(static_cast<int64_t>(bench.world.rng().below(800'000))));
    bench.host.spawn(
        sim::detail::store_result(bench.store->remove(CopysetId(1), ChunkId(chunk)), &removed));
    ASSERT_TRUE(bench.world.run_until([&] { return read && flushed && removed; }, 10s));
    EXPECT_TRUE(read->ok() && flushed->ok() && removed->ok());
    EXPECT_TRUE(same_bytes((*read)->view(), pattern(chunk, 64).view()));
    bench.store->check_invariants();
  }
  EXPECT_TRUE(bench.store->list(CopysetId(1))->empty());
  EXPECT_EQ(bench.store->dirty_chunks_count(), 0u);
}

}  // namespace
}  // namespace cairn::chunk
