#include "placement/copyset_plan.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

namespace cairn::placement {
namespace {

using Topology = std::vector<ChunkserverSpec>;

constexpr uint64_t kTiB = 1024 * 1024 * 1024 * uint64_t{1024};

Topology make_topology(size_t zones, size_t servers_per_zone, size_t disks_per_server) {
  Topology topology;
  uint64_t id = 0;
  for (size_t z = 0; z < zones; ++z) {
    for (size_t s = 0; s < servers_per_zone; ++s) {
      for (size_t d = 0; d < disks_per_server; ++d) {
        topology.push_back({.id = ChunkserverId(++id),
                            .zone = "z" + std::to_string(z),
                            .server = "s" + std::to_string(s),
                            .capacity_bytes = kTiB});
      }
    }
  }
  return topology;
}

std::map<ChunkserverId, uint64_t> count_copysets(const std::vector<CopysetMembers>& copysets) {
  std::map<ChunkserverId, uint64_t> counts;
  for (const auto& members : copysets) {
    for (ChunkserverId member : members) ++counts[member];
  }
  return counts;
}

std::string domain_of(const ChunkserverSpec& spec, Isolation isolation) {
  if (isolation == Isolation::kZone) return spec.zone;
  if (isolation == Isolation::kServer) return spec.zone + "/" + spec.server;
  return to_string(spec.id);
}

/// No two replicas of a copyset in one domain.
void expect_isolated(const Topology& topology, const std::vector<CopysetMembers>& copysets,
                     Isolation isolation) {
  std::map<ChunkserverId, std::string> domains;
  for (const auto& spec : topology) domains[spec.id] = domain_of(spec, isolation);
  for (const auto& members : copysets) {
    std::set<std::string> used;
    for (ChunkserverId member : members) {
      ASSERT_TRUE(domains.contains(member)) << "an unknown chunkserver was placed";
      used.insert(domains[member]);
    }
    ASSERT_EQ(used.size(), members.size());
  }
}

/// The largest multiple by which a chunkserver's share may grow where domains are capped: its
/// copysets per unit of capacity lie between those of an uncapped cluster and this.
void expect_fair_within_domains(const Topology& topology,
                                const std::vector<CopysetMembers>& copysets, Isolation isolation) {
  auto counts = count_copysets(copysets);
  std::map<std::string, std::pair<uint64_t, uint64_t>> by_domain;  // capacity, copysets
  for (const auto& spec : topology) {
    auto& [capacity, count] = by_domain[domain_of(spec, isolation)];
    capacity += spec.capacity_bytes;
    count += counts[spec.id];
  }
  for (const auto& spec : topology) {
    const auto& [capacity, count] = by_domain[domain_of(spec, isolation)];
    const double share = static_cast<double>(count) * static_cast<double>(spec.capacity_bytes) /
                         static_cast<double>(capacity);
    EXPECT_NEAR(static_cast<double>(counts[spec.id]), share, 1.0) << to_string(spec.id);
  }
}

TEST(CopysetPlan, ThreeChunkserversAreInEveryCopyset) {
  const auto topology = make_topology(1, 1, 3);
  Rng rng(1);
  const auto plan = plan_copysets(topology, {.copysets_per_chunkserver = 100}, rng);
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->size(), 100u);
  for (const auto& [id, count] : count_copysets(*plan)) EXPECT_EQ(count, 100u) << to_string(id);
  expect_isolated(topology, *plan, Isolation::kChunkserver);
}

TEST(CopysetPlan, TheFirstMemberIsNotAlwaysTheSame) {
  Rng rng(2);
  const auto plan = plan_copysets(make_topology(3, 1, 1), {.copysets_per_chunkserver = 100}, rng);
  ASSERT_TRUE(plan.ok());
  std::map<ChunkserverId, int> first;
  for (const auto& members : *plan) ++first[members.front()];
  ASSERT_EQ(first.size(), 3u);
  for (const auto& [id, count] : first) EXPECT_GT(count, 15) << to_string(id);
}

TEST(CopysetPlan, ReplicasLieInDifferentZonesWhereThereAreEnough) {
  const auto topology = make_topology(3, 4, 2);
  EXPECT_EQ(isolation_of(topology, 3), Isolation::kZone);
  Rng rng(3);
  const auto plan =
      plan_copysets(topology, {.copysets_per_chunkserver = 100, .scatter_width_min = 16}, rng);
  ASSERT_TRUE(plan.ok());
  expect_isolated(topology, *plan, Isolation::kZone);
  for (uint32_t width : scatter_widths(topology, *plan)) EXPECT_EQ(width, 16u);
}

TEST(CopysetPlan, TwoZonesFallBackToServersAndBothZonesAreStillUsed) {
  const auto topology = make_topology(2, 3, 2);
  EXPECT_EQ(isolation_of(topology, 3), Isolation::kServer);
  Rng rng(4);
  const auto plan = plan_copysets(topology, {.copysets_per_chunkserver = 60}, rng);
  ASSERT_TRUE(plan.ok());
  expect_isolated(topology, *plan, Isolation::kServer);
  for (const auto& members : *plan) {
    std::set<std::string> zones;
    for (ChunkserverId member : members) zones.insert(topology[member.value() - 1].zone);
    EXPECT_EQ(zones.size(), 2u);
  }
}

TEST(CopysetPlan, ServersOfTheSameNameInDifferentZonesAreDifferent) {
  const auto topology = make_topology(2, 2, 1);
  EXPECT_EQ(isolation_of(topology, 3), Isolation::kServer);
}

TEST(CopysetPlan, CopysetsFollowCapacity) {
  auto topology = make_topology(6, 1, 1);
  topology[0].capacity_bytes = 2 * kTiB;  // 2 of 7 parts
  Rng rng(5);
  const auto plan = plan_copysets(topology, {.copysets_per_chunkserver = 70}, rng);
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->size(), 140u);
  auto counts = count_copysets(*plan);
  EXPECT_EQ(counts[ChunkserverId(1)], 120u);
  for (uint64_t id = 2; id <= 6; ++id) EXPECT_EQ(counts[ChunkserverId(id)], 60u);
}

TEST(CopysetPlan, AnOversizedZoneIsInEveryCopysetOnceAndNoMore) {
  auto topology = make_topology(4, 1, 1);
  topology[2].capacity_bytes = 100 * kTiB;
  Rng rng(6);
  const auto plan = plan_copysets(topology, {.copysets_per_chunkserver = 90}, rng);
  ASSERT_TRUE(plan.ok());
  ASSERT_EQ(plan->size(), 120u);
  auto counts = count_copysets(*plan);
  EXPECT_EQ(counts[ChunkserverId(3)], 120u);
  EXPECT_EQ(counts[ChunkserverId(1)], 80u);
  EXPECT_EQ(counts[ChunkserverId(2)], 80u);
  EXPECT_EQ(counts[ChunkserverId(4)], 80u);
}

TEST(CopysetPlan, AScatterWidthThatCannotBeReachedIsAnErrorThatSaysWhatToDo) {
  // Twelve servers with two copysets each: four others at most, and at most reached by luck.
  Rng rng(7);
  const auto lowered = plan_copysets(make_topology(12, 1, 1),
                                     {.copysets_per_chunkserver = 2, .scatter_width_min = 11}, rng);
  EXPECT_TRUE(lowered.ok()) << "the demand is lowered to what two copysets can give";
  // With one copyset in all and a chunkserver left out nothing can be asked of that one.
  const auto tiny = plan_copysets(make_topology(4, 1, 1),
                                  {.copysets_per_chunkserver = 1, .scatter_width_min = 3}, rng);
  ASSERT_TRUE(tiny.ok());
  EXPECT_EQ(tiny->size(), 1u);
  // Eight copysets with two others each would have to meet all sixteen of the other zones, nobody
  // twice: a perfect design, which no draw finds.
  const auto perfect = plan_copysets(make_topology(3, 1, 8),
                                     {.copysets_per_chunkserver = 8, .scatter_width_min = 16}, rng);
  ASSERT_FALSE(perfect.ok());
  EXPECT_EQ(perfect.code(), Errc::kUnavailable);
  EXPECT_NE(perfect.error().message().find("raise copysets_per_chunkserver"), std::string::npos);
}

TEST(CopysetPlan, BadInputIsRefusedByName) {
  Rng rng(8);
  auto refuse = [&](const Topology& topology, CopysetPlanLimits limits, std::string_view words) {
    const auto plan = plan_copysets(topology, limits, rng);
    ASSERT_FALSE(plan.ok());
    EXPECT_EQ(plan.code(), Errc::kInvalidArgument);
    EXPECT_NE(plan.error().message().find(words), std::string::npos) << plan.error().message();
  };
  refuse(make_topology(1, 1, 2), {}, "3 replicas need as many chunkservers");
  refuse(make_topology(1, 1, 3), {.copysets_per_chunkserver = 0}, "at least 1");
  refuse(make_topology(1, 1, 3), {.replicas_count = 0}, "between 1 and 7");
  auto twice = make_topology(1, 1, 3);
  twice[1].id = twice[0].id;
  refuse(twice, {}, "twice");
  auto empty = make_topology(1, 1, 3);
  empty[2].capacity_bytes = 0;
  refuse(empty, {}, "no capacity");
}

TEST(CopysetPlan, TheSameSeedGivesTheSamePlan) {
  const auto topology = make_topology(4, 3, 2);
  Rng one(9), two(9), other(10);
  const auto first = plan_copysets(topology, {}, one);
  const auto second = plan_copysets(topology, {}, two);
  const auto third = plan_copysets(topology, {}, other);
  ASSERT_TRUE(first.ok() && second.ok() && third.ok());
  EXPECT_EQ(*first, *second);
  EXPECT_NE(*first, *third);
}

/// Any shape of cluster: unequal zones, servers and disks.
Topology random_topology(Rng& rng, uint32_t replicas_count) {
  Topology topology;
  uint64_t id = 0;
  const uint64_t zones = rng.between(1, 6);
  const bool is_uniform = rng.chance(0.5);
  while (topology.size() < replicas_count || rng.chance(0.93)) {
    if (topology.size() >= 120) break;
    topology.push_back({.id = ChunkserverId(++id),
                        .zone = "z" + std::to_string(rng.below(zones)),
                        .server = "s" + std::to_string(rng.below(4)),
                        .capacity_bytes = is_uniform ? kTiB : kTiB / 4 * rng.between(1, 16)});
  }
  return topology;
}

TEST(CopysetPlan, HoldsItsPromisesForHundredsOfRandomTopologies) {
  for (uint64_t seed = 0; seed < 400; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Rng rng(seed);
    const auto replicas = static_cast<uint32_t>(rng.between(1, 5));
    const auto topology = random_topology(rng, replicas);
    const CopysetPlanLimits limits{
        .copysets_per_chunkserver = static_cast<uint32_t>(rng.between(1, 120)),
        .replicas_count = replicas};
    const auto plan = plan_copysets(topology, limits, rng);
    ASSERT_TRUE(plan.ok()) << plan.error().describe();
    const uint64_t wanted =
        std::max<uint64_t>(1, topology.size() * limits.copysets_per_chunkserver / replicas);
    ASSERT_EQ(plan->size(), wanted);
    const Isolation isolation = isolation_of(topology, replicas);
    for (const auto& members : *plan) ASSERT_EQ(members.size(), replicas);
    expect_isolated(topology, *plan, isolation);
    expect_fair_within_domains(topology, *plan, isolation);
  }
}

TEST(CopysetPlan, LargeZonesAreSampledAndThePlanIsAsFairAndAsScattered) {
  Rng rng(11);
  auto topology = make_topology(3, 20, 10);  // 200 a zone, more than are looked at as a whole
  for (size_t i = 0; i < topology.size(); i += 7) topology[i].capacity_bytes *= 3;
  const auto plan =
      plan_copysets(topology, {.copysets_per_chunkserver = 60, .scatter_width_min = 50}, rng);
  ASSERT_TRUE(plan.ok()) << plan.error().describe();
  ASSERT_EQ(plan->size(), 12'000u);
  expect_isolated(topology, *plan, Isolation::kZone);
  expect_fair_within_domains(topology, *plan, Isolation::kZone);
}

TEST(CopysetPlan, EqualDisksGetEqualCountsHoweverZonesAreFormed) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Rng rng(seed);
    const auto topology = make_topology(rng.between(3, 6), rng.between(1, 4), rng.between(1, 4));
    const auto plan =
        plan_copysets(topology, {.copysets_per_chunkserver = 100, .scatter_width_min = 8}, rng);
    ASSERT_TRUE(plan.ok()) << plan.error().describe();
    const double mean =
        static_cast<double>(plan->size() * 3) / static_cast<double>(topology.size());
    for (const auto& [id, count] : count_copysets(*plan)) {
      EXPECT_NEAR(static_cast<double>(count), mean, 2.0) << to_string(id);
      EXPECT_NEAR(static_cast<double>(count), mean, 0.05 * mean) << to_string(id);
    }
    const uint32_t others_min = static_cast<uint32_t>(topology.size() * 2 / 3);
    for (uint32_t width : scatter_widths(topology, *plan)) {
      EXPECT_GE(width, std::min(others_min, 8u));
    }
  }
}

}  // namespace
}  // namespace cairn::placement
