// Bugs that other implementations shipped, by their numbers in docs/raft-pitfalls.md: those of a
// host that have no test elsewhere.
#include <nlohmann/json.hpp>

#include "multiraft/testbed_test.h"
#include "store/wal/inspect.h"

namespace cairn::multiraft {
namespace {

using testing::BedOptions;
using testing::kGroup;
using testing::Member;
using testing::TestBed;

// The records of the member's log, oldest first.
std::vector<nlohmann::json> records_of(TestBed& bed, Member& member) {
  std::vector<nlohmann::json> records;
  const auto keep = [&](std::string_view line) {
    auto json = nlohmann::json::parse(line);
    if (json.contains("kind")) records.push_back(std::move(json));
  };
  const auto summary = bed.world.run(
      member.machine(),
      wal::inspect(member.machine().env(), member.machine().disk(),
                   {.only = {.group = kGroup}, .batches = false, .json = true}, keep));
  CHECK(summary.ok());
  return records;
}

TEST(Pitfall16, ATermStandsInTheLogBeforeEntriesOfThatTerm) {
  TestBed bed;
  bed.create();
  for (int round = 0; round < 4; ++round) {
    Member& leader = bed.wait_leader();
    ASSERT_TRUE(bed.apply(leader, "round " + std::to_string(round)).ok());
    leader.crash(sim::CrashKind::kKill);
    bed.wait_leader(30s, kGroup, &leader);
    leader.start();
    ASSERT_TRUE(bed.world.run_until([&] { return bed.all_open(); }, 10s));
  }
  bed.world.run_for(1s);
  for (auto& member : bed.members) {
    member->crash(sim::CrashKind::kKill);
    member->machine().boot();
    uint64_t term = 0;
    uint64_t entries_count = 0;
    for (const nlohmann::json& record : records_of(bed, *member)) {
      if (record["kind"] == "hard_state") term = record["term"];
      if (record["kind"] != "entry") continue;
      ++entries_count;
      EXPECT_LE(record["term"], term) << record.dump();
    }
    EXPECT_GE(entries_count, 8U);  // a leader's first, and a command, in each round
    EXPECT_GE(term, 4U);
  }
}

TEST(Pitfall21, ASnapshotThatCannotBeSavedLeavesTheLogWhole) {
  BedOptions options{.members_count = 1, .members_started = 1};
  TestBed bed(options);
  bed.create();
  Member& only = bed.wait_leader();
  std::vector<std::string> expected;
  for (int i = 0; i < 20; ++i) {
    expected.push_back(std::to_string(i));
    ASSERT_TRUE(bed.apply(only, expected.back()).ok());
  }
  only.knobs.fail_save = error(Errc::kNoSpace, "the disk is full");
  EXPECT_EQ(bed.world.run(only.machine(), only.node()->snapshot()).code(), Errc::kNoSpace);
  only.knobs.fail_save.reset();
  only.crash(sim::CrashKind::kPowerLoss);
  only.start();
  bed.wait_leader();
  EXPECT_EQ(only.ledger().values, expected);
  EXPECT_EQ(only.ledger().recovers, 1U);  // from the beginning: no snapshot was made
}

}  // namespace
}  // namespace cairn::multiraft
