#include <gtest/gtest.h>

#include "base/buffer.h"
#include "base/crc32c.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/rng.h"
#include "base/units.h"

namespace cairn {
namespace {

TEST(Crc32c, MatchesThePublishedCheckValue) {
  EXPECT_EQ(crc32c(as_bytes("123456789")), 0xe3069283u);
  EXPECT_EQ(crc32c({}), 0u);
}

TEST(Crc32c, GoesOnFromAnEarlierResult) {
  EXPECT_EQ(crc32c(as_bytes("56789"), crc32c(as_bytes("1234"))), crc32c(as_bytes("123456789")));
}

TEST(Rng, RepeatsFromItsSeedAndStaysBelowItsBound) {
  Rng a(7), b(7);
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(a.next(), b.next());
    EXPECT_LT(a.below(10), 10u);
    b.below(10);
  }
}

TEST(BufferPool, RecyclesAlignedMemoryUpToItsLimit) {
  BufferPool pool(8 * kKiB);
  const std::byte* first;
  {
    Buffer buffer = pool.allocate(4096);
    first = buffer.data();
    EXPECT_EQ(reinterpret_cast<uintptr_t>(first) % 4096, 0u);
    EXPECT_EQ(pool.lent_bytes(), 4096u);
  }
  EXPECT_EQ(pool.idle_bytes(), 4096u);
  EXPECT_EQ(pool.allocate(100).data(), first);
  {
    Buffer big = pool.allocate(64 * kKiB);
  }
  EXPECT_EQ(pool.idle_bytes(), 4096u) << "a block over the limit is freed";
}

TEST(Buffer, OutlivesItsPoolAndSharesItsSlices) {
  Buffer kept;
  {
    BufferPool pool;
    kept = pool.copy_of(as_bytes("hello world")).slice(6, 5);
  }
  EXPECT_EQ(as_text(kept.view()), "world");
}

Result<int> half(int value) {
  if (value % 2) return error(Errc::kInvalidArgument, "odd");
  return value / 2;
}
Result<int> quarter(int value) {
  const int halved = TRY(half(value));
  return TRY(half(halved));
}

TEST(Result, TryReturnsTheFirstError) {
  EXPECT_EQ(*quarter(8), 2);
  EXPECT_EQ(quarter(6).code(), Errc::kInvalidArgument);
  EXPECT_EQ(quarter(6).error().within("quarter").describe(), "invalid_argument: quarter: odd");
}

TEST(Ids, OfDifferentKindsDoNotMix) {
  static_assert(!std::is_convertible_v<ChunkId, CopysetId>);
  static_assert(!std::is_convertible_v<uint64_t, ChunkId>);
  EXPECT_EQ(LogIndex(5) - LogIndex(2), 3u);
  EXPECT_LT(Term(1), Term(2));
}

}  // namespace
}  // namespace cairn
