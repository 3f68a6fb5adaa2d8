#include "sim/cluster/plan.h"

#include <gtest/gtest.h>

#include "sim/cluster/options.h"

namespace cairn::sim {
namespace {

TEST(Plan, ASeedDrawsTheSamePlanAndSeedsDiffer) {
  Rng a(5), b(5), c(6);
  const std::string plan = describe(draw_plan(a, Profile::kCluster));
  EXPECT_EQ(plan, describe(draw_plan(b, Profile::kCluster)));
  EXPECT_NE(plan, describe(draw_plan(c, Profile::kCluster)));
}

TEST(Plan, EachKindOfFaultIsThereInSomeSeedsAndMissingInOthers) {
  int power_loss = 0, partition = 0, drop = 0, pause = 0;
  constexpr int kSeeds = 300;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    Rng rng(seed);
    const Plan plan = draw_plan(rng, Profile::kCluster);
    power_loss += plan.faults.power_loss > Duration::zero();
    partition += plan.faults.partition > Duration::zero();
    pause += plan.faults.pause > Duration::zero();
    drop += plan.faults.frames.drop > 0;
  }
  for (const int count : {power_loss, partition, drop, pause}) {
    EXPECT_GT(count, kSeeds / 5);
    EXPECT_LT(count, kSeeds * 4 / 5);
  }
}

TEST(Plan, AQuietProfileHasNoFaults) {
  Rng rng(1);
  const FaultRates faults = draw_plan(rng, Profile::kQuiet).faults;
  EXPECT_EQ(faults.power_loss + faults.kill + faults.pause + faults.partition + faults.one_way,
            Duration::zero());
  EXPECT_FALSE(faults.frames.any());
}

Result<SimOptions> parse(std::vector<std::string> arguments) {
  return parse_options(arguments);
}

TEST(Options, OneSeedOrMany) {
  EXPECT_EQ(parse({"17"})->run.seed, 17u);
  EXPECT_TRUE(parse({"17"})->is_single);
  EXPECT_EQ(parse({"--seeds", "100", "--start", "7"})->seeds_count, 100u);
  EXPECT_EQ(parse({"--seeds", "100", "--start", "7"})->run.seed, 7u);
  EXPECT_FALSE(parse({"--seeds", "100"})->is_single);
  EXPECT_EQ(parse({"--bug", "forget-vote"})->seeds_count, 500u);
  EXPECT_EQ(parse({"3", "--bug", "forget-vote"})->run.bug, PlantedBug::kForgetVote);
}

TEST(Options, NonsenseIsRefusedWithWhatIsKnown) {
  EXPECT_EQ(parse({"x"}).code(), Errc::kInvalidArgument);
  EXPECT_EQ(parse({"--frobnicate", "3"}).code(), Errc::kInvalidArgument);
  EXPECT_EQ(parse({"--seeds"}).code(), Errc::kInvalidArgument);
  EXPECT_EQ(parse({"1", "--seeds", "3"}).code(), Errc::kInvalidArgument);
  const auto unknown = parse({"--bug", "gremlin"});
  ASSERT_FALSE(unknown.ok());
  EXPECT_NE(unknown.error().message().find("ack-before-flush"), std::string::npos);
}

TEST(Options, AReplayCommandParsesToTheSameRun) {
  RunOptions options;
  options.seed = 99;
  options.profile = Profile::kCrash;
  options.bug = PlantedBug::kForgetVote;
  std::string command = replay_command(options);
  std::vector<std::string> words;
  for (size_t at = 0; at < command.size();) {
    const size_t space = std::min(command.find(' ', at), command.size());
    words.push_back(command.substr(at, space - at));
    at = space + 1;
  }
  words.erase(words.begin(), words.begin() + 2);  // ./dev sim
  const auto parsed = parse(words);
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->run.seed, 99u);
  EXPECT_EQ(parsed->run.profile, Profile::kCrash);
  EXPECT_EQ(parsed->run.bug, PlantedBug::kForgetVote);
}

}  // namespace
}  // namespace cairn::sim
