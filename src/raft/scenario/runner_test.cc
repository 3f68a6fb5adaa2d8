#include "raft/scenario/runner.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "raft/scenario/script.h"

namespace cairn::raft::scenario {
namespace {

Totals run(std::string_view text, std::string* report = nullptr) {
  std::ostringstream out;
  const Totals totals = run_script("script", text, out);
  if (report) *report = out.str();
  return totals;
}

TEST(Script, DirectivesHaveArgumentsInputAndOutput) {
  const auto script = parse_script(
      "# comment\n"
      "first a=(1, 2,3) b c=x \\\n"
      "   d=y\n"
      "input 1\n"
      "input 2\n"
      "----\n"
      "out 1\n"
      "out 2\n"
      "\n"
      "\n"
      "second\n"
      "----\n"
      "----\n"
      "with\n"
      "\n"
      "a gap\n"
      "----\n"
      "----\n"
      "\n"
      "third\n"
      "----\n");
  ASSERT_TRUE(script.ok());
  ASSERT_EQ(script->size(), 3U);
  const Directive& first = (*script)[0];
  EXPECT_EQ(first.line, 2U);
  EXPECT_EQ(first.command.name, "first");
  ASSERT_EQ(first.command.arguments.size(), 4U);
  EXPECT_EQ(first.command.find("a")->values, (std::vector<std::string>{"1", "2", "3"}));
  EXPECT_EQ(first.command.find("d")->values, (std::vector<std::string>{"y"}));
  EXPECT_EQ(first.command.words(), (std::vector<std::string>{"b"}));
  EXPECT_EQ(first.input, "input 1\ninput 2");
  EXPECT_EQ(first.expected, "out 1\nout 2\n");
  EXPECT_EQ((*script)[1].expected, "with\n\na gap\n");
  EXPECT_EQ((*script)[2].expected, "");
}

TEST(Script, WhatIsMalformedIsRefusedWithItsLine) {
  EXPECT_EQ(parse_script("\nfirst\n").error().message(), "line 2: missing ---- after first");
  EXPECT_EQ(parse_script("first a=(1,2\n----\n").code(), Errc::kInvalidArgument);
  EXPECT_EQ(parse_script("first =x\n----\n").code(), Errc::kInvalidArgument);
}

TEST(Runner, CountsDirectivesAndShowsWhatDiffers) {
  std::string report;
  const Totals totals =
      run("vote\n----\nVoteWon\n\n"
          "vote cfg=(1) votes=(y)\n----\nVoteLost\n",
          &report);
  EXPECT_EQ(totals.passed, 1U);
  EXPECT_EQ(totals.failed, 1U);
  EXPECT_EQ(report,
            "script:5: vote cfg=(1) votes=(y)\n"
            "  expected:\n    VoteLost\n"
            "  got:\n    VoteWon\n");
}

TEST(Runner, LogLinesDoNotCount) {
  const Totals totals =
      run("add-nodes 1 voters=(1) index=3\n----\nok\n\n"
          "campaign 1\n----\nINFO something else entirely\n\n"
          "process-ready 1\n----\n"
          "Ready MustSync=true:\nLead:0 State:StateCandidate\n  DEBUG whatever\n"
          "HardState Term:1 Vote:1 Commit:3\n");
  EXPECT_EQ(totals.passed, 3U);
  EXPECT_EQ(totals.failed, 0U);
}

// Whatever a script says, the runner says what is wrong with it.
TEST(Runner, NonsenseFailsTheDirectiveAndNothingElse) {
  const char* const kNonsense[] = {
      "explode",
      "campaign",
      "campaign 7",
      "campaign x",
      "add-nodes",
      "add-nodes 1 colour=red",
      "add-nodes 1 voters=(1) index=1",
      "add-nodes 1 learners=(1) index=5",
      "add-nodes 1 voters=(x)",
      "add-nodes 1 inflight=0",
      "add-nodes 1 read-only=lease-based",
      "add-nodes 1000000",
      "compact 1 99",
      "compact 1 1",
      "compact 1",
      "propose 1",
      "propose 1 a=b",
      "propose 1 orphan",
      "deliver-msgs x",
      "deliver-msgs type=MsgNone",
      "deliver-msgs 1 drop=1",
      "deliver-msgs drop=x",
      "log-level loud",
      "raft-log 9",
      "set-randomized-election-timeout 1",
      "stabilize 9",
      "stabilize log-level=loud",
      "status 0",
      "tick 1",
      "tick 1 99999999999",
      "tick-election 9",
      "transfer-leadership from=1",
      "transfer-leadership from=1 to=9",
      "forget-leader 9",
      "send-snapshot 1",
      "send-snapshot 1 1",
      "send-snapshot 1 9 9",
      "report-unreachable 1",
      "report-unreachable 1 9",
      "propose-conf-change 1 v1=maybe",
      "propose-conf-change 1 transition=soon",
      "propose-conf-change 1 v1=true",
      "process-append-thread 9",
  };
  for (const char* directive : kNonsense) {
    const Totals totals = run(std::string("add-nodes 1 voters=(1) index=3\n----\n\n") + directive +
                              "\n----\nthis is not what it says\n\n"
                              "_breakpoint\n----\nok\n");
    EXPECT_EQ(totals.passed, 2U) << directive;
    EXPECT_EQ(totals.failed, 1U) << directive;
  }
}

TEST(Runner, NonsenseInTheOtherFormatsFailsToo) {
  EXPECT_EQ(run("vote cfg=(1) votes=(x)\n----\nVoteWon\n").failed, 1U);
  EXPECT_EQ(run("committed cfg=(1) idx=(0)\n----\n0\n").failed, 1U);
  EXPECT_EQ(run("committed cfg=(1) colour=(0)\n----\n0\n").failed, 1U);
  EXPECT_EQ(
      run("simple\nv1\n----\nvoters=(1)\n1: StateProbe match=0 next=1\n\nfoo\n----\nok\n").failed,
      1U);
  EXPECT_EQ(run("enter-joint autoleave=maybe\nv1\n----\nok\n").failed, 1U);
  EXPECT_EQ(run("committed cfg=(1,2) idx=(3)\n----\n"
                "error: mismatched input (explicit or _) for voters map[1:{} 2:{}]: [3]\n")
                .passed,
            1U);
}

TEST(Runner, FilesBelowADirectoryAreRunInOrder) {
  namespace fs = std::filesystem;
  const fs::path dir = fs::path(testing::TempDir()) / "cairn_runner_test";
  fs::remove_all(dir);
  fs::create_directories(dir / "below");
  std::ofstream(dir / "b.txt") << "vote\n----\nVoteLost\n";
  std::ofstream(dir / "below" / "a.txt") << "simple\nl1\n----\nremoved all voters\n";
  std::ofstream(dir / "README.md") << "not a script\n";
  std::ostringstream out;
  const auto totals = run_path(dir, out);
  ASSERT_TRUE(totals.ok());
  EXPECT_EQ(totals->passed, 1U);
  EXPECT_EQ(totals->failed, 1U);
  EXPECT_EQ(run_path(dir / "nowhere", out).code(), Errc::kNotFound);
  fs::remove_all(dir);
}

}  // namespace
}  // namespace cairn::raft::scenario
