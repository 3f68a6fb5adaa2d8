#include <gtest/gtest.h>

#include <map>

#include "base/rng.h"
#include "raft/quorum/joint.h"

namespace cairn::raft {
namespace {

using Indexes = std::map<NodeId, LogIndex>;
using Votes = std::map<NodeId, bool>;

template <typename Map>
auto lookup(const Map& map) {
  return [&map](NodeId id) -> std::optional<typename Map::mapped_type> {
    const auto found = map.find(id);
    if (found == map.end()) return std::nullopt;
    return found->second;
  };
}

NodeSet random_set(Rng& rng, uint64_t ids_max) {
  NodeSet set;
  for (uint64_t id = 1; id <= ids_max; ++id) {
    if (rng.chance(0.5)) set.insert(NodeId(id));
  }
  return set;
}

// By definition: the highest index that a majority has reached.
LogIndex committed_by_definition(const NodeSet& voters, const Indexes& known) {
  if (voters.empty()) return kEverything;
  for (uint64_t index = 20; index > 0; --index) {
    size_t reached = 0;
    for (NodeId id : voters) {
      const auto own = known.find(id);
      reached += own != known.end() && own->second.value() >= index ? 1 : 0;
    }
    if (2 * reached > voters.count()) return LogIndex(index);
  }
  return LogIndex(0);
}

bool wins(const NodeSet& voters, const Votes& votes) {
  size_t granted = 0;
  for (NodeId id : voters) granted += votes.contains(id) && votes.at(id) ? 1 : 0;
  return voters.empty() || 2 * granted > voters.count();
}

// By definition: what the vote comes to when the missing ones all say no, or all say yes.
VoteResult vote_by_definition(const JointConfig& config, const Votes& votes) {
  Votes at_best = votes;
  for (NodeId id : config.ids()) at_best.emplace(id, true);
  if (wins(config.incoming, votes) && wins(config.outgoing, votes)) return VoteResult::kWon;
  const bool can_win = wins(config.incoming, at_best) && wins(config.outgoing, at_best);
  return can_win ? VoteResult::kPending : VoteResult::kLost;
}

TEST(NodeSet, StaysSortedAndUnique) {
  NodeSet set{NodeId(3), NodeId(1), NodeId(3)};
  set.insert(NodeId(2));
  set.insert(NodeId(2));
  EXPECT_EQ(to_string(set), "(1 2 3)");
  set.erase(NodeId(1));
  set.erase(NodeId(9));
  EXPECT_EQ(to_string(set), "(2 3)");
  EXPECT_TRUE(set.contains(NodeId(2)));
  EXPECT_FALSE(set.contains(NodeId(1)));
}

TEST(Quorum, CommittedIndexAgreesWithItsDefinitionOnRandomConfigurations) {
  Rng rng(1);
  for (int round = 0; round < 20'000; ++round) {
    const JointConfig config{random_set(rng, 12), random_set(rng, 12)};
    Indexes known;
    for (NodeId id : config.ids()) {
      if (rng.chance(0.8)) known[id] = LogIndex(rng.between(1, 20));
    }
    const LogIndex in = committed_by_definition(config.incoming, known);
    const LogIndex out = committed_by_definition(config.outgoing, known);
    ASSERT_EQ(majority_committed(config.incoming, lookup(known)), in);
    ASSERT_EQ(config.committed_index(lookup(known)), std::min(in, out));
    const JointConfig mirrored{config.outgoing, config.incoming};
    ASSERT_EQ(mirrored.committed_index(lookup(known)), std::min(in, out));
  }
}

TEST(Quorum, VoteResultAgreesWithItsDefinitionOnRandomConfigurations) {
  Rng rng(2);
  for (int round = 0; round < 20'000; ++round) {
    const JointConfig config{random_set(rng, 9), random_set(rng, 9)};
    Votes votes;
    for (NodeId id : config.ids()) {
      if (rng.chance(0.7)) votes[id] = rng.chance(0.6);
    }
    ASSERT_EQ(config.vote_result(lookup(votes)), vote_by_definition(config, votes));
  }
}

TEST(Quorum, AnyTwoMajoritiesOverlap) {
  for (uint64_t count = 1; count <= 9; ++count) {
    NodeSet voters;
    for (uint64_t id = 1; id <= count; ++id) voters.insert(NodeId(id));
    EXPECT_GT(2 * majority_count(voters), count);
    EXPECT_LE(majority_count(voters), count);
  }
}

TEST(Quorum, AnEmptySetHoldsNothingBack) {
  const Indexes none;
  EXPECT_EQ(majority_committed(NodeSet(), lookup(none)), kEverything);
  EXPECT_EQ(describe_index(kEverything), "∞");
  EXPECT_EQ(majority_vote(NodeSet(), lookup(Votes())), VoteResult::kWon);
}

TEST(Quorum, DescriptionShowsHowManyAreBelow) {
  const Indexes known{{NodeId(1), LogIndex(7)}, {NodeId(2), LogIndex(7)}};
  EXPECT_EQ(describe_quorum({NodeId(1), NodeId(2), NodeId(3)}, lookup(known)),
            "       idx\n"
            "x>       7    (id=1)\n"
            "x>       7    (id=2)\n"
            "?        0    (id=3)\n");
}

}  // namespace
}  // namespace cairn::raft
