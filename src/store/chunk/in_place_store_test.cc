#include "store/chunk/in_place_store.h"

#include <gmock/gmock.h>

#include "store/chunk/inspect.h"
#include "store/chunk/store_bench_test.h"

namespace cairn::chunk {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr CopysetId kCopyset{3};
constexpr ChunkId kChunk{12};
const std::string kPath = "copysets/3/chunk-12";

class InPlaceStoreTest : public testing::Test {
 protected:
  InPlaceStoreTest() : bench_(5) {}
  void open() {
    const Status opened = bench_.open();
    ASSERT_TRUE(opened.ok()) << opened.error().describe();
    ASSERT_TRUE(bench_.run(store().create_copyset(kCopyset)).ok());
  }
  InPlaceStore& store() { return *bench_.store; }
  Status flush(CopysetId copyset = kCopyset) { return bench_.run(store().flush(copyset)); }
  Status zero(ChunkId chunk, uint32_t block, uint32_t count) {
    return bench_.run(
        store().write_zeroes(kCopyset, chunk, block * kBlockBytes, count * kBlockBytes));
  }
  void expect_blocks(ChunkId chunk, uint64_t block, const Buffer& expected) {
    const auto actual = bench_.read(kCopyset, chunk, block, expected.size_bytes() / kBlockBytes);
    ASSERT_TRUE(actual.ok()) << actual.error().describe();
    EXPECT_TRUE(same_bytes(actual->view(), expected.view()));
  }
  static Buffer zeros(size_t blocks_count) {
    Buffer bytes = Buffer::allocate(blocks_count * kBlockBytes);
    std::ranges::fill(bytes.mutable_view(), std::byte{0});
    return bytes;
  }
  uint64_t data_at(uint64_t block) {
    return ChunkLayout{bench_.options.chunk_bytes}.block_offset(block);
  }

  StoreBench bench_;
};

TEST_F(InPlaceStoreTest, ReadsWhatWasWrittenAndZerosElsewhere) {
  open();
  const Buffer data = pattern(1, 3);
  ASSERT_TRUE(bench_.write(kCopyset, kChunk, 2, data).ok());
  expect_blocks(kChunk, 2, data);
  expect_blocks(kChunk, 0, zeros(2));
  expect_blocks(kChunk, 5, zeros(11));
  expect_blocks(ChunkId(99), 0, zeros(16));
  EXPECT_THAT(*store().list(kCopyset), ElementsAre(kChunk));
  EXPECT_TRUE(store().contains(kCopyset, kChunk));
  EXPECT_FALSE(store().contains(kCopyset, ChunkId(99)));
  EXPECT_FALSE(store().contains(CopysetId(99), kChunk));
  const auto all = bench_.read(kCopyset, kChunk, 0, 16);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(all->data()) % 4096, 0u);
  EXPECT_TRUE(same_bytes(all->view().subspan(2 * kBlockBytes, 3 * kBlockBytes), data.view()));
}

TEST_F(InPlaceStoreTest, SurvivesARestartAfterAFlush) {
  open();
  for (uint64_t i = 0; i < 20; ++i) {
    ASSERT_TRUE(bench_.write(kCopyset, ChunkId(i + 1), i % 15, pattern(i, 2)).ok());
  }
  ASSERT_TRUE(flush().ok());
  EXPECT_EQ(store().dirty_chunks_count(), 0u);
  bench_.crash(sim::CrashKind::kPowerLoss);
  ASSERT_TRUE(bench_.open().ok());
  EXPECT_EQ(store().list(kCopyset)->size(), 20u);
  EXPECT_THAT(store().copysets(), ElementsAre(kCopyset));
  for (uint64_t i = 0; i < 20; ++i) expect_blocks(ChunkId(i + 1), i % 15, pattern(i, 2));
  EXPECT_EQ(bench_.metric("cairn_chunk_corrupt_slots_total"), 0u);
}

TEST_F(InPlaceStoreTest, TryWriteServesOpenChunksAlone) {
  open();
  Status result = ok();
  const Buffer data = pattern(4, 1);
  EXPECT_FALSE(store().try_write(kCopyset, kChunk, 0, data, &result));
  EXPECT_FALSE(store().try_write(CopysetId(44), kChunk, 0, data, &result));
  ASSERT_TRUE(bench_.write(kCopyset, kChunk, 0, pattern(1, 1)).ok());
  EXPECT_TRUE(store().try_write(kCopyset, kChunk, 4096, data, &result));
  EXPECT_TRUE(result.ok());
  expect_blocks(kChunk, 1, data);
  EXPECT_TRUE(store().try_write(kCopyset, kChunk, 100, data, &result));
  EXPECT_EQ(result.code(), Errc::kInvalidArgument);
  EXPECT_TRUE(store().try_write(kCopyset, kChunk, 64 * kKiB, data, &result));
  EXPECT_EQ(result.code(), Errc::kInvalidArgument);
}

TEST_F(InPlaceStoreTest, RefusesWhatIsNotWholeBlocksOfTheChunk) {
  open();
  EXPECT_EQ(bench_.write(kCopyset, kChunk, 15, pattern(1, 2)).code(), Errc::kInvalidArgument);
  EXPECT_EQ(bench_.write(kCopyset, kChunk, 0, Buffer()).code(), Errc::kInvalidArgument);
  EXPECT_EQ(bench_.write(kCopyset, kChunk, 0, Buffer::allocate(100)).code(),
            Errc::kInvalidArgument);
  EXPECT_EQ(bench_.run(store().read(kCopyset, kChunk, 1, 4096)).code(), Errc::kInvalidArgument);
  EXPECT_EQ(bench_.run(store().read(kCopyset, kChunk, 0xfffff000, 8192)).code(),
            Errc::kInvalidArgument);
  EXPECT_EQ(bench_.write(CopysetId(9), kChunk, 0, pattern(1, 1)).code(), Errc::kNotFound);
  EXPECT_TRUE(store().list(kCopyset)->empty()) << "nothing was created";
  EXPECT_EQ(store().list(CopysetId(9)).code(), Errc::kNotFound);
}

TEST_F(InPlaceStoreTest, ZeroedBlocksAreHoles) {
  open();
  ASSERT_TRUE(zero(kChunk, 0, 4).ok());
  EXPECT_TRUE(store().list(kCopyset)->empty()) << "zeroing an absent chunk changes nothing";
  ASSERT_TRUE(bench_.write(kCopyset, kChunk, 0, pattern(1, 4)).ok());
  ASSERT_TRUE(zero(kChunk, 1, 2).ok());
  expect_blocks(kChunk, 1, zeros(2));
  expect_blocks(kChunk, 0, pattern(1, 1));
  EXPECT_EQ(bench_.run(store().digest(kCopyset, kChunk, true))->blocks_written_count, 2u);
  ASSERT_TRUE(flush().ok());
  bench_.reopen();
  expect_blocks(kChunk, 1, zeros(2));
}

TEST_F(InPlaceStoreTest, AFlippedBitIsFoundNamedAndNeverServed) {
  open();
  ASSERT_TRUE(bench_.write(kCopyset, kChunk, 0, pattern(1, 16)).ok());
  ASSERT_TRUE(bench_.write(kCopyset, ChunkId(13), 0, pattern(2, 1)).ok());
  ASSERT_TRUE(flush().ok());
  ASSERT_TRUE(bench_.disk().corrupt(kPath, data_at(7) + 1000, 5).ok());
  for (const auto& [block, count] : {std::pair(7, 1), std::pair(0, 16), std::pair(6, 3)}) {
    const auto refused = bench_.read(kCopyset, kChunk, block, count);
    ASSERT_EQ(refused.code(), Errc::kCorrupt);
    EXPECT_THAT(refused.error().message(),
                HasSubstr("chunk 12 of copyset 3: block 7 at offset 28672"));
  }
  EXPECT_EQ(bench_.metric("cairn_chunk_corrupt_blocks_total"), 3u);
  EXPECT_TRUE(bench_.read(kCopyset, kChunk, 0, 7).ok());
  EXPECT_TRUE(bench_.read(kCopyset, kChunk, 8, 8).ok());
  EXPECT_TRUE(bench_.read(kCopyset, ChunkId(13), 0, 1).ok());
  EXPECT_EQ(bench_.run(store().fetch(kCopyset, kChunk, 0, 64 * kKiB, {})).code(), Errc::kCorrupt);
  const auto digest = bench_.run(store().digest(kCopyset, kChunk, true));
  EXPECT_EQ(digest->blocks_corrupt_count, 1u);
  EXPECT_EQ(digest->blocks_written_count, 16u);
  EXPECT_EQ(bench_.run(store().digest(kCopyset, kChunk, false))->blocks_corrupt_count, 0u);
  // Writing the block repairs it.
  ASSERT_TRUE(bench_.write(kCopyset, kChunk, 7, pattern(9, 1)).ok());
  expect_blocks(kChunk, 7, pattern(9, 1));
}

TEST_F(InPlaceStoreTest, ALargeReadFindsAFlippedBitToo) {
  bench_.options.chunk_bytes = 1 * kMiB;
  bench_.pool_options.chunk_file_bytes = ChunkLayout{1 * kMiB}.file_bytes();
  open();
  ASSERT_TRUE(bench_.write(kCopyset, kChunk, 10, pattern(1, 100)).ok());
  const auto sound = bench_.read(kCopyset, kChunk, 0, 256);
  ASSERT_TRUE(sound.ok());
  EXPECT_TRUE(same_bytes(sound->view().subspan(10 * kBlockBytes, 100 * kBlockBytes),
                         pattern(1, 100).view()));
  EXPECT_TRUE(same_bytes(sound->view().first(10 * kBlockBytes), zeros(10).view()));
  EXPECT_TRUE(same_bytes(sound->view().subspan(110 * kBlockBytes), zeros(146).view()));
  ASSERT_TRUE(bench_.disk().corrupt(kPath, data_at(50), 0).ok());
  EXPECT_EQ(bench_.read(kCopyset, kChunk, 0, 256).code(), Errc::kCorrupt);
}

TEST_F(InPlaceStoreTest, OneRottenSlotCostsNothing) {
  open();
  ASSERT_TRUE(bench_.write(kCopyset, kChunk, 0, pattern(1, 16)).ok());
  const ChunkLayout layout{bench_.options.chunk_bytes};
  for (uint64_t round = 0; round < 6; ++round) {
    ASSERT_TRUE(bench_.write(kCopyset, kChunk, round, pattern(100 + round, 1)).ok());
    ASSERT_TRUE(flush().ok());
    bench_.stop();
    ASSERT_TRUE(
        bench_.disk().corrupt(kPath, layout.slot_offset(round % 2) + (round < 3 ? 20 : 4096)).ok());
    ASSERT_TRUE(bench_.open().ok());
    for (uint64_t i = 0; i <= round; ++i) expect_blocks(kChunk, i, pattern(100 + i, 1));
  }
  EXPECT_EQ(bench_.metric("cairn_chunk_corrupt_slots_total"), 6u);
  EXPECT_EQ(bench_.metric("cairn_chunk_lost_tables_total"), 0u);
}

TEST_F(InPlaceStoreTest, ALostTableRefusesItsBlocksUntilTheyAreWritten) {
  open();
  ASSERT_TRUE(bench_.write(kCopyset, kChunk, 0, pattern(1, 8)).ok());
  ASSERT_TRUE(bench_.write(kCopyset, ChunkId(13), 0, pattern(2, 8)).ok());
  ASSERT_TRUE(flush().ok());
  bench_.stop();
  const ChunkLayout layout{bench_.options.chunk_bytes};
  for (const size_t slot : {0, 1}) {
    ASSERT_TRUE(bench_.disk().corrupt(kPath, layout.slot_offset(slot) + 30).ok());
  }
  ASSERT_TRUE(bench_.open().ok());
  EXPECT_EQ(bench_.read(kCopyset, kChunk, 0, 1).code(), Errc::kCorrupt);
  EXPECT_EQ(bench_.read(kCopyset, kChunk, 15, 1).code(), Errc::kCorrupt) << "perhaps no hole";
  EXPECT_EQ(bench_.metric("cairn_chunk_lost_tables_total"), 1u);
  expect_blocks(ChunkId(13), 0, pattern(2, 8));
  EXPECT_EQ(bench_.run(store().digest(kCopyset, kChunk, false))->blocks_corrupt_count, 16u);
  // A repair by parts, with a restart between.
  ASSERT_TRUE(bench_.write(kCopyset, kChunk, 0, pattern(1, 8)).ok());
  ASSERT_TRUE(flush().ok());
  bench_.reopen();
  expect_blocks(kChunk, 0, pattern(1, 8));
  EXPECT_EQ(bench_.read(kCopyset, kChunk, 8, 1).code(), Errc::kCorrupt);
  ASSERT_TRUE(zero(kChunk, 8, 8).ok());
  expect_blocks(kChunk, 8, zeros(8));
}

TEST_F(InPlaceStoreTest, RemovedChunksAreGoneAndTheirFilesShowNothingOld) {
  bench_.pool_options.ready_min = bench_.pool_options.ready_target = 1;
  open();
  for (uint64_t i = 1; i <= 6; ++i) {
    ASSERT_TRUE(bench_.write(kCopyset, ChunkId(i), 0, pattern(i, 16)).ok());
    ASSERT_TRUE(flush().ok());
    ASSERT_TRUE(bench_.run(store().remove(kCopyset, ChunkId(i))).ok());
    ASSERT_TRUE(bench_.run(store().remove(kCopyset, ChunkId(i))).ok()) << "twice is no error";
    expect_blocks(ChunkId(i), 0, zeros(16));
    EXPECT_TRUE(store().list(kCopyset)->empty());
    ASSERT_TRUE(bench_.write(kCopyset, ChunkId(i + 100), 3, pattern(i, 1)).ok());
    expect_blocks(ChunkId(i + 100), 0, zeros(3));
    expect_blocks(ChunkId(i + 100), 4, zeros(12));
    ASSERT_TRUE(bench_.run(store().remove(kCopyset, ChunkId(i + 100))).ok());
    bench_.world.run_for(3s);
  }
  EXPECT_EQ(store().open_chunks_count(), 0u);
  EXPECT_EQ(bench_.pool->ready_count(), 1u);
}

TEST_F(InPlaceStoreTest, RemovesACopysetWithAllItsChunks) {
  open();
  for (uint64_t i = 1; i <= 5; ++i) {
    ASSERT_TRUE(bench_.write(kCopyset, ChunkId(i), 0, pattern(i, 1)).ok());
  }
  ASSERT_TRUE(bench_.run(store().create_copyset(CopysetId(4))).ok());
  ASSERT_TRUE(bench_.run(store().create_copyset(CopysetId(4))).ok()) << "twice is no error";
  ASSERT_TRUE(bench_.run(store().remove_copyset(kCopyset)).ok());
  ASSERT_TRUE(bench_.run(store().remove_copyset(kCopyset)).ok());
  EXPECT_EQ(store().list(kCopyset).code(), Errc::kNotFound);
  EXPECT_THAT(store().copysets(), ElementsAre(CopysetId(4)));
  bench_.crash(sim::CrashKind::kPowerLoss);
  ASSERT_TRUE(bench_.open().ok());
  EXPECT_THAT(store().copysets(), ElementsAre(CopysetId(4)));
}

TEST_F(InPlaceStoreTest, KeepsABoundedNumberOfChunksOpenAndFlushesWhenAllAreDirty) {
  bench_.options.open_chunks_max = 4;
  bench_.options.dirty_chunks_max = 3;
  open();
  for (uint64_t i = 1; i <= 30; ++i) {
    ASSERT_TRUE(bench_.write(kCopyset, ChunkId(i), 0, pattern(i, 1)).ok());
    EXPECT_LE(store().open_chunks_count(), 4u);
    store().check_invariants();
  }
  for (uint64_t i = 1; i <= 30; ++i) expect_blocks(ChunkId(i), 0, pattern(i, 1));
  EXPECT_LE(store().open_chunks_count(), 4u);
}

TEST_F(InPlaceStoreTest, AsksTheCopysetsAboveTheMeanToFlush) {
  bench_.options.dirty_chunks_max = 5;
  open();
  ASSERT_TRUE(bench_.run(store().create_copyset(CopysetId(4))).ok());
  for (uint64_t i = 1; i <= 4; ++i) {
    ASSERT_TRUE(bench_.write(kCopyset, ChunkId(i), 0, pattern(i, 1)).ok());
  }
  EXPECT_FALSE(store().needs_flush(kCopyset));
  ASSERT_TRUE(bench_.write(CopysetId(4), ChunkId(5), 0, pattern(5, 1)).ok());
  EXPECT_TRUE(store().needs_flush(kCopyset));
  EXPECT_FALSE(store().needs_flush(CopysetId(4)));
  EXPECT_EQ(store().dirty_chunks_count(), 5u);
  ASSERT_TRUE(flush().ok());
  EXPECT_FALSE(store().needs_flush(kCopyset));
  EXPECT_EQ(store().dirty_chunks_count(), 1u);
}

TEST_F(InPlaceStoreTest, AFlushThatFailsIsFinal) {
  open();
  ASSERT_TRUE(bench_.write(kCopyset, kChunk, 0, pattern(1, 1)).ok());
  bench_.world.run_for(2s);  // the pool has nothing left to sync
  bench_.disk().fail_next_sync();
  EXPECT_EQ(flush().code(), Errc::kIo);
  EXPECT_EQ(flush().code(), Errc::kIo) << "the next sync would succeed, and lie";
  EXPECT_FALSE(bench_.write(kCopyset, kChunk, 0, pattern(2, 1)).ok());
}

TEST_F(InPlaceStoreTest, NoSpaceIsSaidBeforeAnythingIsWritten) {
  bench_.pool_options.ready_min = bench_.pool_options.ready_target = 0;
  bench_.disk().set_capacity(1 * kMiB + 2 * bench_.pool_options.chunk_file_bytes + 64 * kKiB);
  open();
  ASSERT_TRUE(bench_.write(kCopyset, ChunkId(1), 0, pattern(1, 1)).ok());
  ASSERT_TRUE(bench_.write(kCopyset, ChunkId(2), 0, pattern(2, 1)).ok());
  EXPECT_EQ(bench_.write(kCopyset, ChunkId(3), 0, pattern(3, 1)).code(), Errc::kNoSpace);
  EXPECT_THAT(*store().list(kCopyset), ElementsAre(ChunkId(1), ChunkId(2)));
  ASSERT_TRUE(bench_.write(kCopyset, ChunkId(1), 1, pattern(4, 1)).ok()) << "others go on";
  ASSERT_TRUE(flush().ok());
  ASSERT_TRUE(bench_.run(store().remove(kCopyset, ChunkId(2))).ok());
  bench_.world.run_for(3s);
  EXPECT_TRUE(bench_.write(kCopyset, ChunkId(3), 0, pattern(3, 1)).ok());
}

TEST_F(InPlaceStoreTest, AChunkTravelsToAnotherCopysetExactly) {
  open();
  ASSERT_TRUE(bench_.run(store().create_copyset(CopysetId(4))).ok());
  ASSERT_TRUE(bench_.write(kCopyset, kChunk, 1, pattern(1, 3)).ok());
  ASSERT_TRUE(bench_.write(kCopyset, kChunk, 9, zeros(1)).ok());
  ASSERT_TRUE(bench_.write(CopysetId(4), kChunk, 0, pattern(7, 16)).ok());
  const auto image = bench_.run(store().fetch(kCopyset, kChunk, 0, 64 * kKiB, {}));
  ASSERT_TRUE(image.ok());
  EXPECT_EQ(image->data.size_bytes(), 4 * kBlockBytes);
  EXPECT_EQ(image->block_crcs.size(), 16u);
  EXPECT_EQ(image->block_crcs[0], kHole);
  EXPECT_NE(image->block_crcs[9], kHole) << "zeros that were written are data";
  ASSERT_TRUE(bench_.run(store().install(CopysetId(4), kChunk, 0, 64 * kKiB, *image, {})).ok());
  EXPECT_EQ(*bench_.run(store().digest(CopysetId(4), kChunk, true)),
            *bench_.run(store().digest(kCopyset, kChunk, true)));
  EXPECT_EQ(bench_.run(store().fetch(kCopyset, ChunkId(5), 0, 4096, {})).code(), Errc::kNotFound);
  EXPECT_EQ(bench_.run(store().digest(kCopyset, ChunkId(5), false)).code(), Errc::kNotFound);
}

TEST_F(InPlaceStoreTest, AnImageThatDoesNotFitItsMarksIsRefusedWhole) {
  open();
  ASSERT_TRUE(bench_.write(kCopyset, kChunk, 0, pattern(1, 2)).ok());
  auto image = *bench_.run(store().fetch(kCopyset, kChunk, 0, 16384, {}));
  const ChunkId target{77};
  const auto install = [&](std::vector<uint32_t> marks, Buffer data) {
    return bench_.run(store().install(kCopyset, target, 0, 16384, {marks, data}, {})).code();
  };
  auto marks = image.block_crcs;
  marks[1] ^= 1;
  EXPECT_EQ(install(marks, image.data), Errc::kCorrupt);
  marks = image.block_crcs;
  marks[3] = kLost;
  EXPECT_EQ(install(marks, image.data), Errc::kInvalidArgument);
  EXPECT_EQ(install(image.block_crcs, image.data.slice(0, 4096)), Errc::kInvalidArgument);
  marks.pop_back();
  EXPECT_EQ(install(marks, image.data), Errc::kInvalidArgument);
  EXPECT_THAT(*store().list(kCopyset), ElementsAre(kChunk));
  EXPECT_EQ(install(image.block_crcs, image.data), Errc::kOk);
}

TEST_F(InPlaceStoreTest, OnlyBlocksThatDifferTravelAndNewerOnesStay) {
  open();
  const CopysetId other{4};
  ASSERT_TRUE(bench_.run(store().create_copyset(other)).ok());
  for (CopysetId copyset : {kCopyset, other}) {
    ASSERT_TRUE(bench_.write(copyset, kChunk, 0, pattern(1, 8)).ok());
  }
  ASSERT_TRUE(bench_.write(kCopyset, kChunk, 2, pattern(2, 3)).ok());
  ASSERT_TRUE(bench_.run(store().write_zeroes(kCopyset, kChunk, 7 * 4096, 4096)).ok());
  const auto have = *bench_.run(store().verify(other, kChunk, 0, 64 * kKiB));
  const auto image = bench_.run(store().fetch(kCopyset, kChunk, 0, 64 * kKiB, have));
  ASSERT_TRUE(image.ok());
  EXPECT_EQ(image->data.size_bytes(), 3 * kBlockBytes) << "the hole needs no data";

  std::vector<bool> newer(16, false);
  newer[3] = true;
  ASSERT_TRUE(bench_.write(other, kChunk, 3, pattern(9, 1)).ok());
  ASSERT_TRUE(bench_
                  .run(store().install(other, kChunk, 0, 64 * kKiB, *image,
                                       {.have = have, .newer = &newer}))
                  .ok());
  const auto newest = bench_.read(other, kChunk, 3, 1);
  EXPECT_TRUE(same_bytes(newest->view(), pattern(9, 1).view()));
  ASSERT_TRUE(bench_.write(kCopyset, kChunk, 3, pattern(9, 1)).ok());
  EXPECT_EQ(*bench_.run(store().digest(other, kChunk, true)),
            *bench_.run(store().digest(kCopyset, kChunk, true)));
  EXPECT_EQ(bench_.run(store().fetch(kCopyset, kChunk, 0, 8192, {1})).code(),
            Errc::kInvalidArgument);
}

TEST_F(InPlaceStoreTest, ARottenBlockIsKnownByItsRangeAndIsNeverTakenForTheSame) {
  open();
  ASSERT_TRUE(bench_.write(kCopyset, kChunk, 0, pattern(1, 4)).ok());
  const auto sound = *bench_.run(store().verify(kCopyset, kChunk, 0, 64 * kKiB));
  EXPECT_EQ(sound[4], kHole);
  const uint64_t data_at = ChunkLayout{bench_.options.chunk_bytes}.data_offset();
  ASSERT_TRUE(bench_.disk().corrupt(kPath, data_at + 2 * 4096).ok());
  auto marks = *bench_.run(store().verify(kCopyset, kChunk, 0, 64 * kKiB));
  EXPECT_EQ(marks[2], kLost);
  marks[2] = sound[2];
  EXPECT_EQ(marks, sound);
  auto absent = bench_.run(store().verify(kCopyset, ChunkId(99), 0, 8192));
  EXPECT_EQ(*absent, std::vector<uint32_t>(2, kHole));
}

TEST_F(InPlaceStoreTest, OpensManyChunksQuickly) {
  open();
  for (uint64_t i = 1; i <= 640; ++i) {
    ASSERT_TRUE(bench_.write(kCopyset, ChunkId(i), 0, pattern(i, 1)).ok());
  }
  ASSERT_TRUE(flush().ok());
  bench_.stop();
  const uint64_t reads = bench_.disk().counters().reads;
  const Instant began = bench_.world.now();
  ASSERT_TRUE(bench_.open().ok());
  EXPECT_LT(bench_.world.now() - began, 1s);
  EXPECT_LT(bench_.disk().counters().reads - reads, 10u) << "names only";
  EXPECT_EQ(store().list(kCopyset)->size(), 640u);
}

TEST_F(InPlaceStoreTest, RefusesAPoolOfAnotherChunkSize) {
  bench_.options.chunk_bytes = 128 * kKiB;
  const Status refused = bench_.open();
  EXPECT_EQ(refused.code(), Errc::kInvalidArgument);
  bench_.options.chunk_bytes = 100'000;
  EXPECT_EQ(bench_.open().code(), Errc::kInvalidArgument);
}

TEST_F(InPlaceStoreTest, NamesThatAreNoChunksAreLeftAlone) {
  open();
  ASSERT_TRUE(bench_.run(bench_.disk().make_directory("copysets/lost+found")).ok());
  io::OpenOptions how;
  how.create = true;
  for (const char* name : {"copysets/3/chunk-x", "copysets/3/chunk-01", "copysets/3/notes"}) {
    ASSERT_TRUE(bench_.run(bench_.disk().open(name, how)).ok());
  }
  bench_.reopen();
  EXPECT_THAT(store().copysets(), ElementsAre(kCopyset));
  EXPECT_TRUE(store().list(kCopyset)->empty());
}

TEST_F(InPlaceStoreTest, ServesNothingAfterStop) {
  open();
  bench_.run(store().stop());
  EXPECT_EQ(bench_.write(kCopyset, kChunk, 0, pattern(1, 1)).code(), Errc::kClosed);
  EXPECT_EQ(flush().code(), Errc::kClosed);
}

TEST_F(InPlaceStoreTest, InspectReportsSlotsBlocksAndRot) {
  open();
  ASSERT_TRUE(bench_.write(kCopyset, kChunk, 0, pattern(1, 4)).ok());
  ASSERT_TRUE(bench_.write(kCopyset, ChunkId(13), 0, pattern(1, 4)).ok());
  ASSERT_TRUE(flush().ok());
  bench_.stop();
  ASSERT_TRUE(bench_.disk().corrupt(kPath, data_at(2)).ok());
  std::vector<std::string> lines;
  const pool::InspectSink sink = [&](const pool::InspectRecord& record) {
    lines.push_back(pool::to_json(record));
  };
  EXPECT_EQ(*bench_.run(inspect_chunk_directory(bench_.disk(), "copysets", {}, sink)), 1u);
  EXPECT_THAT(lines, testing::Contains(AllOf(HasSubstr("\"slot\":\"A\""), HasSubstr("valid"),
                                             HasSubstr("\"generation\":1"))));
  EXPECT_THAT(lines, testing::Contains(AllOf(HasSubstr("\"kind\":\"problem\""),
                                             HasSubstr("\"block\":2"), HasSubstr("corrupt"))));
  EXPECT_THAT(
      lines, testing::Contains(AllOf(HasSubstr("chunk-13"), HasSubstr("\"blocks_written_count\":4"),
                                     HasSubstr("\"problems_count\":0"))));
  EXPECT_FALSE(bench_.run(inspect_chunk_file(bench_.disk(), "copysets/nothing", {}, sink)).ok());
}

}  // namespace
}  // namespace cairn::chunk
