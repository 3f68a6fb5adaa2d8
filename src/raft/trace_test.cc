#include "raft/trace.h"

#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "raft/test_group.h"

namespace cairn::raft {
namespace {

using Json = nlohmann::json;

class Collector : public TraceSink {
 public:
  void on_event(std::string_view line) override {
    EXPECT_EQ(line.find('\n'), std::string_view::npos);
    events.push_back(Json::parse(line));
  }
  std::vector<Json> events;
};

Config traced(Collector& sink) {
  Config config;
  config.trace = &sink;
  config.check_quorum = config.pre_vote = true;
  return config;
}

TEST(Trace, AnEventTellsWhoItWasWhatHappenedAndTheStateAfterIt) {
  Collector sink;
  TestGroup group(3, traced(sink));
  ASSERT_EQ(sink.events.size(), 3U);
  EXPECT_EQ(sink.events[0].dump(), Json::parse(R"({
      "name": "init", "node": 1, "term": 1, "vote": 0, "commit": 1, "role": "follower",
      "leader": 0, "log": 1, "log_term": 1, "applied": 1,
      "config": {"voters": [1, 2, 3], "outgoing": [], "learners": [], "learners_next": [],
                 "auto_leave": false}})")
                                       .dump());
  group.elect(1);
  sink.events.clear();
  ASSERT_TRUE(group[1].propose(Buffer::copy_of("four")).ok());
  ASSERT_EQ(sink.events.size(), 5U);  // receive, append, the promise to oneself, two appends
  EXPECT_EQ(sink.events[0]["name"], "receive");
  EXPECT_EQ(sink.events[0]["message"]["type"], "MsgProp");
  EXPECT_EQ(sink.events[1]["name"], "append");
  EXPECT_EQ(sink.events[1]["log"], 3);
  EXPECT_EQ(sink.events[3]["name"], "send");
  EXPECT_EQ(sink.events[3]["message"].dump(), Json::parse(R"({
      "type": "MsgApp", "from": 1, "to": 2, "term": 2, "log_term": 2, "index": 2, "commit": 2,
      "reject": false, "reject_hint": 0,
      "entries": [{"term": 2, "index": 3, "type": "EntryNormal", "bytes": 4}]})")
                                                  .dump());
}

// What a specification would check, on a group that loses messages and leaders.
TEST(Trace, ShowsElectionSafetyVotesThatStandAndCommitsThatOnlyGrow) {
  Collector sink;
  TestGroup group(3, traced(sink));
  Rng rng(11);
  for (int round = 0; round < 400; ++round) {
    if (round % 20 == 0) {
      group.heal();
      group.isolate(rng.between(1, 3));
    }
    for (uint64_t id = 1; id <= 3; ++id) {
      group[id].tick();
      if (group[id].is_leader()) (void)group[id].propose(Buffer::copy_of("x"));
      if (rng.chance(0.002)) group.start(NodeId(id));
    }
    group.settle();
  }
  std::map<uint64_t, uint64_t> leader_of_term;
  std::map<std::pair<uint64_t, uint64_t>, uint64_t> votes;
  std::map<uint64_t, uint64_t> commits;
  std::map<std::string, size_t> counts;
  for (const Json& event : sink.events) {
    const uint64_t node = event["node"];
    const uint64_t term = event["term"];
    ++counts[event["name"]];
    if (event["name"] == "become_leader") {
      const auto [at, first] = leader_of_term.try_emplace(term, node);
      ASSERT_EQ(at->second, node) << "two leaders of term " << term;
    }
    if (event["vote"] != 0) {
      const auto [at, first] = votes.try_emplace({node, term}, event["vote"]);
      ASSERT_EQ(at->second, event["vote"]) << "a vote was changed";
    }
    if (event["name"] == "init") commits[node] = 0;
    ASSERT_GE(event["commit"], commits[node]);
    commits[node] = event["commit"];
    ASSERT_LE(event["applied"], event["commit"]);
    ASSERT_LE(event["commit"], event["log"]);
  }
  for (const char* name : {"become_follower", "become_pre_candidate", "become_candidate",
                           "become_leader", "append", "commit", "apply", "send", "receive"}) {
    EXPECT_GT(counts[name], 0U) << name;
  }
  EXPECT_GT(leader_of_term.size(), 3U);
}

TEST(Trace, TellsOfConfigurationsAndOfAReset) {
  Collector sink;
  TestGroup group(3, traced(sink));
  group.elect(1);
  ConfChangeV2 change;
  change.changes = parse_conf_changes("l4").value();
  ASSERT_TRUE(group[1].propose_conf_change(change).ok());
  group.settle();
  const auto last_named = [&](std::string_view name) {
    const auto at = std::ranges::find_if(sink.events.rbegin(), sink.events.rend(),
                                         [&](const Json& e) { return e["name"] == name; });
    return at == sink.events.rend() ? Json() : *at;
  };
  EXPECT_EQ(last_named("configuration")["config"]["learners"], Json::array({4}));
  group.isolate(3);
  group.tick(3, 30);
  ASSERT_TRUE(group[3].reset_configuration({NodeId(3)}, {}).ok());
  EXPECT_EQ(last_named("reset")["term"], kTermsPerGeneration);
  EXPECT_EQ(last_named("configuration")["config"]["voters"], Json::array({3}));
}

}  // namespace
}  // namespace cairn::raft
