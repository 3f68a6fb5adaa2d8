#include "chunkserver/scan_compare.h"

#include <gtest/gtest.h>

namespace cairn::chunkserver {
namespace {

const NodeId kA{1}, kB{2}, kC{3};

TEST(ScanCompare, SoundAndEqualReplicasGiveNothing) {
  const auto verdict = compare_tables({{kA, {0, 7, 9}, {}}, {kB, {0, 7, 9}, {}}}, 3);
  EXPECT_TRUE(verdict.findings.empty());
  EXPECT_EQ(verdict.rotten_count + verdict.differing_count + verdict.undecided_count, 0u);
}

TEST(ScanCompare, TheOneThatDiffersIsMendedFromTheMajority) {
  const auto verdict =
      compare_tables({{kA, {5, 7, 8}, {}}, {kB, {0, 7, 9}, {}}, {kC, {0, 7, 9}, {}}}, 3);
  EXPECT_EQ(verdict.findings, (std::vector<ScanFinding>{{kA, kB, {0, 2}}}));
  EXPECT_EQ(verdict.differing_count, 2u);
}

TEST(ScanCompare, ARottenBlockIsMendedFromASoundOneAlthoughItsMarkAgrees) {
  const auto verdict = compare_tables({{kA, {7}, {0}}, {kB, {7}, {}}, {kC, {1}, {}}}, 3);
  EXPECT_EQ(verdict.findings, (std::vector<ScanFinding>{{kA, kB, {0}}, {kC, kB, {0}}}));
  EXPECT_EQ(verdict.rotten_count, 2u);
}

TEST(ScanCompare, WithoutAMajorityNothingIsTouched) {
  EXPECT_TRUE(compare_tables({{kA, {7}, {}}, {kB, {8}, {}}}, 3).findings.empty());
  EXPECT_EQ(compare_tables({{kA, {7}, {}}, {kB, {8}, {}}}, 3).undecided_count, 1u);
  EXPECT_EQ(compare_tables({{kA, {7}, {}}, {kB, {8}, {}}, {kC, {9}, {}}}, 3).undecided_count, 1u);
  EXPECT_EQ(compare_tables({{kA, {7}, {0}}, {kB, {7}, {0}}}, 3).undecided_count, 1u);
}

}  // namespace
}  // namespace cairn::chunkserver
