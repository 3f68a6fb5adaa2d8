// What a copyset's entries do to its chunks, fences and windows, without a Raft group around it.
#include "chunkserver/copyset.h"

#include "store/chunk/store_bench_test.h"

namespace cairn::chunkserver {
namespace {

using chunk::pattern;
using chunk::same_bytes;

const CopysetId kCopyset{4};
const ChunkId kChunk{11};

/// Gives nothing, or, when it is let go, what the test has put down.
class FakeSource final : public ChunkSource {
 public:
  explicit FakeSource(io::Executor& executor) : let_go(executor) {}
  io::Task<Result<Piece>> fetch(Request request, NodeId source) override {
    ++calls_count;
    if (piece) {
      co_await let_go.wait();
      co_return *piece;
    }
    co_return error(Errc::kUnavailable, "chunk " + to_string(request.chunk) + " of node " +
                                            to_string(source) + " is not to be had");
  }
  std::optional<Piece> piece;
  io::Event let_go;
  size_t calls_count = 0;
};

class CopysetTest : public ::testing::Test {
 protected:
  CopysetTest() : bench_(1), source_(bench_.host.env().executor) {
    CHECK(bench_.open().ok());
    copyset_ = make();
    CHECK(bench_.run(copyset_->on_recover(Buffer())).ok());
  }
  std::unique_ptr<Copyset> make() {
    return std::make_unique<Copyset>(bench_.host.env(), kCopyset, *bench_.store, *bench_.pool,
                                     source_, bench_.options.chunk_bytes,
                                     bench_.options.chunk_bytes);
  }
  static wire::ChunkOp write_op(uint64_t sequence, uint64_t fence = 0) {
    return {.kind = wire::ChunkOpKind::kWrite,
            .chunk = kChunk,
            .volume = VolumeId(2),
            .fence = Fence(fence),
            .offset_bytes = 0,
            .size_bytes = static_cast<uint32_t>(kBlockBytes),
            .client = 77,
            .sequence = sequence,
            .oldest_unresolved_sequence = 1};
  }
  /// The outcome that the proposer is told, or the error that ends the group.
  Status apply(wire::ChunkOp op, Buffer payload) {
    multiraft::Command command{.term = Term(1),
                               .index = LogIndex(++index_),
                               .head = wire::encode(op),
                               .payload = std::move(payload)};
    Status applied = bench_.run(copyset_->on_apply(std::span(&command, 1)));
    return applied.ok() ? command.outcome : applied;
  }
  static wire::ChunkOp discard_op(uint64_t sequence, uint64_t fence = 0) {
    wire::ChunkOp op = write_op(sequence, fence);
    op.kind = wire::ChunkOpKind::kDiscard;
    return op;
  }
  bool is_zero(uint32_t block) {
    const auto got = bench_.read(kCopyset, kChunk, block, 1);
    return got.ok() &&
           std::ranges::all_of(got->view(), [](std::byte b) { return b == std::byte{0}; });
  }
  bool holds(uint64_t stamp) {
    auto got = bench_.read(kCopyset, kChunk, 0, 1);
    return got.ok() && same_bytes(got->view(), pattern(stamp, 1).view());
  }

  chunk::StoreBench bench_;
  FakeSource source_;
  std::unique_ptr<Copyset> copyset_;
  uint64_t index_ = 1;
};

TEST_F(CopysetTest, AnOlderFenceIsRefusedAndChangesNothing) {
  ASSERT_TRUE(apply(write_op(1, 5), pattern(1, 1)).ok());
  EXPECT_EQ(apply(write_op(2, 4), pattern(2, 1)).code(), Errc::kStaleFence);
  EXPECT_TRUE(holds(1));
  EXPECT_TRUE(apply(write_op(3, 5), pattern(3, 1)).ok());
}

TEST_F(CopysetTest, ARaisedFenceRefusesOlderWritesBeforeAnyNewOneAndNeverFalls) {
  ASSERT_TRUE(apply(write_op(1, 0), pattern(1, 1)).ok());
  const wire::ChunkOp raise{
      .kind = wire::ChunkOpKind::kRaiseFence, .volume = VolumeId(2), .fence = Fence(5)};
  ASSERT_TRUE(apply(raise, Buffer()).ok());
  EXPECT_EQ(apply(write_op(2, 4), pattern(2, 1)).code(), Errc::kStaleFence);
  EXPECT_EQ(apply(write_op(2, 0), pattern(2, 1)).code(), Errc::kStaleFence)
      << "an unfenced one too";
  EXPECT_TRUE(holds(1));
  EXPECT_TRUE(apply(raise, Buffer()).ok()) << "a retry";
  wire::ChunkOp late = raise;
  late.fence = Fence(4);
  EXPECT_EQ(apply(late, Buffer()).code(), Errc::kStaleFence);
  EXPECT_EQ(apply(write_op(3, 4), pattern(3, 1)).code(), Errc::kStaleFence);
  wire::ChunkOp other = write_op(4, 0);
  other.volume = VolumeId(3);
  EXPECT_TRUE(apply(other, pattern(4, 1)).ok()) << "another volume's fence is another";
}

TEST_F(CopysetTest, AWriteThatComesTwiceIsAppliedOnceAndALateOneNever) {
  ASSERT_TRUE(apply(write_op(1), pattern(1, 1)).ok());
  ASSERT_TRUE(apply(write_op(2), pattern(2, 1)).ok());
  EXPECT_TRUE(apply(write_op(1), pattern(1, 1)).ok()) << "answered as the first time";
  EXPECT_TRUE(holds(2));
  wire::ChunkOp closing = write_op(4);
  closing.oldest_unresolved_sequence = 4;
  ASSERT_TRUE(apply(closing, pattern(4, 1)).ok());
  EXPECT_EQ(apply(write_op(3), pattern(3, 1)).code(), Errc::kPreconditionFailed);
  EXPECT_TRUE(holds(4));
}

TEST_F(CopysetTest, AWriteThatFoundNoRoomComesAgainAndIsNoCopy) {
  // Each on a chunk of its own, until the disk is full.
  bench_.host.disk().set_capacity(0);
  Status full = ok();
  wire::ChunkOp op = write_op(1);
  for (uint64_t i = 0; i < 200 && full.ok(); ++i) {
    op = write_op(i + 1);
    op.chunk = ChunkId(100 + i);
    op.oldest_unresolved_sequence = i + 1;
    full = apply(op, pattern(1, 1));
  }
  ASSERT_EQ(full.code(), Errc::kNoSpace);
  EXPECT_FALSE(bench_.store->contains(kCopyset, op.chunk)) << "it left no trace";
  bench_.host.disk().set_capacity(64 * kGiB);
  ASSERT_TRUE(apply(op, pattern(2, 1)).ok());
  auto got = bench_.read(kCopyset, op.chunk, 0, 1);
  ASSERT_TRUE(got.ok());
  EXPECT_TRUE(same_bytes(got->view(), pattern(2, 1).view()));
}

TEST_F(CopysetTest, FencesAndWindowsSurviveASnapshot) {
  ASSERT_TRUE(apply(write_op(7, 5), pattern(1, 1)).ok());
  const Buffer data = bench_.run(copyset_->on_snapshot_save())->data;
  copyset_ = make();
  ASSERT_TRUE(bench_.run(copyset_->on_recover(data)).ok());
  EXPECT_EQ(apply(write_op(8, 4), pattern(2, 1)).code(), Errc::kStaleFence);
  EXPECT_TRUE(apply(write_op(7, 5), pattern(2, 1)).ok());
  EXPECT_TRUE(holds(1)) << "it was applied before the snapshot";
}

TEST_F(CopysetTest, ASnapshotMakesWhatIsAppliedDurable) {
  ASSERT_TRUE(apply(write_op(1), pattern(1, 1)).ok());
  ASSERT_TRUE(bench_.run(copyset_->on_snapshot_save()).ok());
  copyset_.reset();
  bench_.crash(sim::CrashKind::kPowerLoss);
  ASSERT_TRUE(bench_.open().ok());
  EXPECT_TRUE(holds(1));
}

TEST_F(CopysetTest, AfterALoadTheSnapshotsChunksAreMissingAndTheirEntriesOnlyKept) {
  for (uint64_t chunk : {11, 12, 13}) {
    wire::ChunkOp op = write_op(chunk);
    op.chunk = ChunkId(chunk);
    ASSERT_TRUE(apply(op, pattern(1, 1)).ok());
  }
  const Buffer data = bench_.run(copyset_->on_snapshot_save())->data;
  ASSERT_TRUE(bench_.write(kCopyset, ChunkId(99), 0, pattern(1, 1)).ok());
  ASSERT_TRUE(bench_.run(copyset_->on_snapshot_load(data, NodeId(3))).ok());
  EXPECT_FALSE(bench_.store->contains(kCopyset, ChunkId(99)));
  EXPECT_EQ(copyset_->chunks_missing_count(), 3u);
  EXPECT_EQ(copyset_->check_comparable().code(), Errc::kUnavailable);
  copyset_->on_epoch(Epoch(2), LogIndex(50));
  index_ = 50;

  ASSERT_TRUE(apply(write_op(20), pattern(5, 1)).ok());
  EXPECT_TRUE(holds(1)) << "what it did comes with the chunk";
  wire::ChunkOp fresh = write_op(21);
  fresh.chunk = ChunkId(77);
  ASSERT_TRUE(apply(fresh, pattern(5, 1)).ok());
  EXPECT_TRUE(bench_.store->contains(kCopyset, ChunkId(77))) << "it is younger than the snapshot";
  wire::ChunkOp remove = write_op(22);
  remove.chunk = ChunkId(12);
  remove.kind = wire::ChunkOpKind::kDelete;
  ASSERT_TRUE(apply(remove, Buffer()).ok());
  EXPECT_EQ(copyset_->chunks_missing_count(), 2u);

  const Buffer partial = bench_.run(copyset_->on_snapshot_save())->data;
  copyset_ = make();
  ASSERT_TRUE(bench_.run(copyset_->on_recover(partial)).ok());
  EXPECT_EQ(copyset_->chunks_missing_count(), 2u) << "it stands in its own snapshots";
  EXPECT_EQ(bench_.run(copyset_->on_snapshot_load(partial, NodeId(3))).code(), Errc::kUnavailable)
      << "and is of no use to another replica";
}

TEST_F(CopysetTest, EntriesThatCannotBeReadStopTheGroup) {
  EXPECT_EQ(apply(write_op(1), pattern(1, 2)).code(), Errc::kCorrupt) << "another size";
  multiraft::Command garbage{.term = Term(1),
                             .index = LogIndex(9),
                             .head = Buffer::copy_of("what is this"),
                             .payload = {}};
  EXPECT_EQ(bench_.run(copyset_->on_apply(std::span(&garbage, 1))).code(), Errc::kCorrupt);
  EXPECT_EQ(bench_.run(copyset_->on_recover(Buffer::copy_of("\xff\xff"))).code(), Errc::kCorrupt);
}

TEST_F(CopysetTest, ADiscardRemovesTheChunkAsAWriteWouldChangeIt) {
  ASSERT_TRUE(apply(write_op(1, 5), pattern(1, 1)).ok());
  EXPECT_EQ(apply(discard_op(2, 4), Buffer()).code(), Errc::kStaleFence);
  EXPECT_TRUE(holds(1)) << "a former owner discards nothing";
  const size_t in_pool = bench_.pool->ready_count() + bench_.pool->pending_count();
  ASSERT_TRUE(apply(discard_op(3, 6), Buffer()).ok());
  EXPECT_TRUE(bench_.store->list(kCopyset)->empty());
  EXPECT_GT(bench_.pool->ready_count() + bench_.pool->pending_count(), in_pool);
  EXPECT_TRUE(is_zero(0));
  EXPECT_EQ(apply(write_op(4, 5), pattern(1, 1)).code(), Errc::kStaleFence)
      << "its fence counts like a write's";
  ASSERT_TRUE(apply(write_op(5, 6), pattern(3, 1)).ok());
  EXPECT_TRUE(apply(discard_op(3, 6), Buffer()).ok()) << "a copy of the discard that comes late";
  EXPECT_TRUE(holds(3)) << "is not applied again";
  ASSERT_TRUE(apply(discard_op(6, 6), Buffer()).ok());
  EXPECT_TRUE(apply(discard_op(7, 6), Buffer()).ok()) << "of an absent chunk";
  EXPECT_TRUE(bench_.store->list(kCopyset)->empty());
  bench_.store->check_invariants();
}

TEST_F(CopysetTest, ADiscardedChunkKeepsNothingThroughAPowerLossOnceTheSnapshotIsTaken) {
  wire::ChunkOp old = write_op(1);
  old.offset_bytes = 4096;
  ASSERT_TRUE(apply(old, pattern(1, 1)).ok());
  ASSERT_TRUE(bench_.run(copyset_->on_snapshot_save()).ok());
  ASSERT_TRUE(apply(discard_op(2), Buffer()).ok());
  ASSERT_TRUE(apply(write_op(3), pattern(3, 1)).ok());
  ASSERT_TRUE(bench_.run(copyset_->on_snapshot_save()).ok());
  copyset_.reset();
  bench_.crash(sim::CrashKind::kPowerLoss);
  ASSERT_TRUE(bench_.open().ok());
  EXPECT_TRUE(holds(3));
  EXPECT_TRUE(is_zero(1));
}

TEST_F(CopysetTest, AReplayOfWritesBeforeADiscardBringsNothingBack) {
  // The log since the last snapshot, as it is replayed over whatever a crash has left.
  const auto run_log = [this] {
    wire::ChunkOp old = write_op(2);
    old.offset_bytes = 4096;
    ASSERT_TRUE(apply(old, pattern(2, 1)).ok());
    ASSERT_TRUE(apply(discard_op(3), Buffer()).ok());
    ASSERT_TRUE(apply(write_op(4), pattern(4, 1)).ok());
  };
  for (const auto kind : {sim::CrashKind::kKill, sim::CrashKind::kPowerLoss}) {
    for (const bool is_flushed : {false, true}) {
      SCOPED_TRACE(testing::Message() << "kind " << static_cast<int>(kind) << ", " << is_flushed);
      copyset_ = make();
      ASSERT_TRUE(bench_.run(copyset_->on_recover(Buffer())).ok());
      ASSERT_TRUE(apply(write_op(1), pattern(1, 1)).ok());
      const Buffer data = bench_.run(copyset_->on_snapshot_save())->data;
      run_log();
      // Of another copyset's needs, or of a snapshot whose mark was not written any more.
      if (is_flushed) ASSERT_TRUE(bench_.run(bench_.store->flush(kCopyset)).ok());
      copyset_.reset();
      bench_.crash(kind);
      ASSERT_TRUE(bench_.open().ok());
      copyset_ = make();
      ASSERT_TRUE(bench_.run(copyset_->on_recover(data)).ok());
      run_log();
      EXPECT_TRUE(holds(4));
      EXPECT_TRUE(is_zero(1));
      ASSERT_TRUE(apply(discard_op(5), Buffer()).ok());
      EXPECT_TRUE(is_zero(0));
    }
  }
}

TEST_F(CopysetTest, ADiscardedChunkIsNotMissingAnyMore) {
  ASSERT_TRUE(apply(write_op(1), pattern(1, 1)).ok());
  const Buffer data = bench_.run(copyset_->on_snapshot_save())->data;
  ASSERT_TRUE(bench_.run(copyset_->on_snapshot_load(data, NodeId(3))).ok());
  copyset_->on_epoch(Epoch(2), LogIndex(50));
  index_ = 50;
  ASSERT_TRUE(apply(write_op(2), pattern(2, 1)).ok());
  EXPECT_TRUE(holds(1)) << "only kept";
  ASSERT_TRUE(apply(discard_op(3), Buffer()).ok());
  EXPECT_EQ(copyset_->chunks_missing_count(), 0u);
  EXPECT_TRUE(is_zero(0));
  ASSERT_TRUE(apply(write_op(4), pattern(4, 1)).ok());
  EXPECT_TRUE(holds(4)) << "what comes behind the discard is all there is";
}

TEST_F(CopysetTest, ACopyThatIsUnderWayBringsNoDiscardedChunkBack) {
  ASSERT_TRUE(apply(write_op(1), pattern(1, 1)).ok());
  const ChunkId other(99);
  ASSERT_TRUE(bench_.write(kCopyset, other, 0, pattern(9, 2)).ok());
  source_.piece = ChunkSource::Piece{
      .image = bench_.run(bench_.store->fetch(kCopyset, other, 0, 2 * kBlockBytes, {})).value(),
      .committed = LogIndex(1)};
  std::optional<Status> copied;
  bench_.host.spawn(sim::detail::store_result(
      copyset_->replace_blocks(kChunk, std::vector<uint32_t>{0, 1}, NodeId(3)), &copied));
  ASSERT_TRUE(bench_.world.run_until([&] { return source_.calls_count == 1; }, 10s));
  ASSERT_TRUE(apply(discard_op(2), Buffer()).ok());
  EXPECT_TRUE(bench_.store->list(kCopyset)->size() == 1) << "only the other one";
  ASSERT_TRUE(apply(write_op(3), pattern(3, 1)).ok());
  bench_.host.execute([&] { source_.let_go.set(); });
  ASSERT_TRUE(bench_.world.run_until([&] { return copied.has_value(); }, 10s));
  EXPECT_EQ(copied->code(), Errc::kUnavailable);
  EXPECT_TRUE(holds(3));
  EXPECT_TRUE(is_zero(1));
}

TEST_F(CopysetTest, ADeleteIsHarmlessTwiceAndZeroesMakeNoChunk) {
  ASSERT_TRUE(apply(write_op(1), pattern(1, 1)).ok());
  wire::ChunkOp remove = write_op(2);
  remove.kind = wire::ChunkOpKind::kDelete;
  EXPECT_TRUE(apply(remove, Buffer()).ok());
  EXPECT_TRUE(apply(remove, Buffer()).ok());
  wire::ChunkOp zero = write_op(3);
  zero.kind = wire::ChunkOpKind::kWriteZeroes;
  EXPECT_TRUE(apply(zero, Buffer()).ok());
  EXPECT_TRUE(bench_.store->list(kCopyset)->empty());
}

}  // namespace
}  // namespace cairn::chunkserver
