#include "chunkserver/writer_windows.h"

#include <gtest/gtest.h>

#include <set>

#include "base/rng.h"

namespace cairn::chunkserver {
namespace {

using Verdict = WriterWindows::Verdict;

TEST(WriterWindows, AWriteTakesEffectOnce) {
  WriterWindows windows;
  EXPECT_EQ(windows.admit(7, 1, 1), Verdict::kNew);
  EXPECT_EQ(windows.admit(7, 1, 1), Verdict::kApplied);
  EXPECT_EQ(windows.look(7, 1), Verdict::kApplied);
  EXPECT_EQ(windows.look(8, 1), Verdict::kNew);
}

TEST(WriterWindows, ACopyThatTheNetworkKeptBackIsVoid) {
  WriterWindows windows;
  EXPECT_EQ(windows.admit(7, 2, 1), Verdict::kNew) << "write 1 is still on its way";
  EXPECT_EQ(windows.admit(7, 3, 3), Verdict::kNew) << "its client gave 1 up";
  EXPECT_EQ(windows.admit(7, 1, 1), Verdict::kLate);
}

TEST(WriterWindows, UnnumberedWritesAreAlwaysNew) {
  WriterWindows windows;
  EXPECT_EQ(windows.admit(0, 0, 0), Verdict::kNew);
  EXPECT_EQ(windows.admit(0, 0, 0), Verdict::kNew);
}

TEST(WriterWindows, ForgetsTheClientThatWroteLongestAgo) {
  WriterWindows windows(2);
  windows.admit(1, 1, 1);
  windows.admit(2, 1, 1);
  windows.admit(1, 2, 1);
  windows.admit(3, 1, 1);
  EXPECT_EQ(windows.look(2, 1), Verdict::kNew) << "forgotten";
  EXPECT_EQ(windows.look(1, 2), Verdict::kApplied);
}

TEST(WriterWindows, AgreesWithAModelAndSurvivesASnapshot) {
  Rng rng(1);
  for (int round = 0; round < 20; ++round) {
    WriterWindows windows;
    std::set<uint64_t> applied;
    uint64_t oldest = 1, highest_oldest = 0;
    for (int i = 0; i < 5000; ++i) {
      if (rng.chance(0.3)) oldest += rng.below(3);
      if (rng.chance(0.002)) oldest += rng.below(3000);
      const uint64_t sent_oldest = oldest - rng.below(std::min<uint64_t>(oldest, 50));
      const uint64_t sequence = sent_oldest + rng.below(WriterWindows::kWindow);
      const Verdict expected = sequence < highest_oldest    ? Verdict::kLate
                               : applied.contains(sequence) ? Verdict::kApplied
                                                            : Verdict::kNew;
      ASSERT_EQ(windows.admit(9, sequence, sent_oldest), expected)
          << "sequence " << sequence << " oldest " << highest_oldest;
      highest_oldest = std::max(highest_oldest, sent_oldest);
      if (expected == Verdict::kNew) applied.insert(sequence);
      if (i % 1000 == 0) {
        WriterWindows copy;
        ASSERT_TRUE(copy.load(windows.save()).ok());
        EXPECT_EQ(copy.save(), windows.save());
        windows = WriterWindows();
        ASSERT_TRUE(windows.load(copy.save()).ok());
      }
    }
  }
}

TEST(WriterWindows, RefusesASnapshotWithAWindowThatIsTooWide) {
  WriterWindows windows;
  EXPECT_EQ(windows.load({{.client = 1, .oldest_unresolved = 5, .applied = {5 + 1024}}}).code(),
            Errc::kCorrupt);
}

}  // namespace
}  // namespace cairn::chunkserver
