#include "sim/check/replicas.h"

#include <gtest/gtest.h>

namespace cairn::sim {
namespace {

std::vector<ReplicaState> three_alike() {
  ReplicaState replica;
  replica.applied = LogIndex(9);
  replica.chunks[ChunkId(4)] = {77, 3, 0};
  std::vector<ReplicaState> replicas(3, replica);
  for (size_t i = 0; i < 3; ++i) replicas[i].node = i + 1;
  return replicas;
}

TEST(CompareReplicas, AcceptsIdenticalOnesAndHolesForAnAbsentChunk) {
  auto replicas = three_alike();
  EXPECT_EQ(compare_replicas(CopysetId(1), replicas), std::nullopt);
  EXPECT_EQ(compare_replicas(CopysetId(1), {}), std::nullopt);
  replicas[1].chunks[ChunkId(5)] = {123, 0, 0};
  EXPECT_EQ(compare_replicas(CopysetId(1), replicas), std::nullopt);
}

TEST(CompareReplicas, NamesTheReplicaThatDiffers) {
  auto replicas = three_alike();
  replicas[2].chunks[ChunkId(4)].crc32c = 78;
  EXPECT_NE(compare_replicas(CopysetId(1), replicas)->find("chunk 4 on node 3"), std::string::npos);
  replicas = three_alike();
  replicas[1].chunks.clear();
  EXPECT_NE(compare_replicas(CopysetId(1), replicas)->find("on node 2"), std::string::npos);
  replicas = three_alike();
  replicas[0].chunks.clear();
  EXPECT_TRUE(compare_replicas(CopysetId(1), replicas)) << "the first may be the one that lacks";
  replicas = three_alike();
  replicas[1].applied = LogIndex(8);
  EXPECT_NE(compare_replicas(CopysetId(1), replicas)->find("applied"), std::string::npos);
  replicas = three_alike();
  for (auto& replica : replicas) replica.chunks[ChunkId(4)].blocks_corrupt_count = 1;
  EXPECT_NE(compare_replicas(CopysetId(1), replicas)->find("corrupt"), std::string::npos);
}

TEST(Fingerprint, DependsOnValuesAndTheirOrder) {
  Fingerprint a, b, c;
  a.mix(1), a.mix("x");
  b.mix(1), b.mix("x");
  c.mix("x"), c.mix(1);
  EXPECT_EQ(a.value(), b.value());
  EXPECT_NE(a.value(), c.value());
}

}  // namespace
}  // namespace cairn::sim
