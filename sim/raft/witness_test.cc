#include "sim/raft/witness.h"

#include <gtest/gtest.h>

#include "base/rng.h"
#include "sim/raft/core_run.h"

namespace cairn::sim {
namespace {

constexpr GroupId kGroup{1};

/// A core with a log of one's choice; its only voter, so that it leads when it campaigns.
class Core {
 public:
  Core(uint64_t id, std::vector<std::pair<uint64_t, std::string>> terms_and_heads) {
    auto snapshot = std::make_shared<raft::Snapshot>();
    snapshot->metadata.index = LogIndex(1);
    snapshot->metadata.term = Term(1);
    snapshot->metadata.conf_state.voters = {NodeId(id)};
    CHECK(storage_.apply_snapshot(snapshot).ok());
    uint64_t last_term = 1;
    uint64_t index = 1;
    for (const auto& [term, head] : terms_and_heads) {
      raft::Entry entry{.term = Term(term), .index = LogIndex(++index)};
      entry.head = Buffer::copy_of(head);
      storage_.append({&entry, 1});
      last_term = std::max(last_term, term);
    }
    storage_.set_hard_state({.term = Term(last_term), .vote = {}, .commit = LogIndex(1)});
    raft::Config config;
    config.id = NodeId(id);
    config.storage = &storage_;
    config.rng = &rng_;
    raw = raft::RawNode::create(config).value();
  }
  void lead() {
    raw->campaign();
    while (raw->has_ready()) {
      const raft::Ready ready = raw->ready();
      if (!ready.hard_state.empty()) storage_.set_hard_state(ready.hard_state);
      storage_.append(ready.entries);
      raw->advance();
    }
    CHECK(raw->is_leader());
  }

  std::unique_ptr<raft::RawNode> raw;

 private:
  raft::MemoryStorage storage_;
  Rng rng_{1};
};

uint64_t digest(const std::string& head) {
  return RaftWitness::digest_of(raft::EntryType::kNormal, as_bytes(head), 0);
}

TEST(RaftWitness, MembersThatAgreeAreNoViolation) {
  RaftWitness witness;
  Core a(1, {{1, "x"}, {2, "y"}}), b(2, {{1, "x"}});
  a.lead();
  witness.look(kGroup, NodeId(1), *a.raw);
  witness.look(kGroup, NodeId(2), *b.raw);
  witness.look(kGroup, NodeId(1), *a.raw);
  witness.on_applied(kGroup, NodeId(1), LogIndex(2), Term(1), digest("x"));
  witness.on_applied(kGroup, NodeId(2), LogIndex(2), Term(1), digest("x"));
  EXPECT_EQ(witness.violation(), "");
  EXPECT_EQ(witness.leaderships_count(), 1u);
  EXPECT_EQ(witness.truncations_count(), 0u);
}

TEST(RaftWitness, TwoLeadersOfOneTermViolateElectionSafety) {
  RaftWitness witness;
  Core a(1, {}), b(2, {});
  a.lead();
  b.lead();
  witness.look(kGroup, NodeId(1), *a.raw);
  witness.look(GroupId(2), NodeId(2), *b.raw);
  EXPECT_EQ(witness.violation(), "") << "groups have nothing to do with each other";
  witness.look(kGroup, NodeId(2), *b.raw);
  EXPECT_NE(witness.violation().find("election safety"), std::string::npos);
}

TEST(RaftWitness, OneEntryWithTwoContentsViolatesLogMatching) {
  RaftWitness witness;
  Core a(1, {{1, "x"}}), b(2, {{1, "z"}});
  witness.look(kGroup, NodeId(1), *a.raw);
  witness.look(kGroup, NodeId(2), *b.raw);
  EXPECT_NE(witness.violation().find("log matching"), std::string::npos);
}

TEST(RaftWitness, OneEntryBehindTwoTermsViolatesLogMatching) {
  RaftWitness witness;
  Core a(1, {{1, "x"}, {3, "y"}}), b(2, {{2, "x"}, {3, "y"}});
  witness.look(kGroup, NodeId(1), *a.raw);
  witness.look(kGroup, NodeId(2), *b.raw);
  EXPECT_NE(witness.violation().find("behind terms"), std::string::npos);
}

TEST(RaftWitness, ALeaderWithoutWhatWasAppliedViolatesLeaderCompleteness) {
  RaftWitness witness;
  witness.on_applied(kGroup, NodeId(2), LogIndex(3), Term(1), digest("lost"));
  Core a(1, {{1, "x"}});
  a.lead();  // with an entry of its own where the applied one has to be
  witness.look(kGroup, NodeId(1), *a.raw);
  EXPECT_NE(witness.violation().find("leader completeness"), std::string::npos);
}

TEST(RaftWitness, ADeposedLeaderThatIsSeenLateIsNotBlamedForWhatCameSince) {
  RaftWitness witness;
  Core a(1, {{1, "x"}});
  a.lead();
  witness.on_applied(kGroup, NodeId(2), LogIndex(5), Term(7), digest("newer"));
  witness.look(kGroup, NodeId(1), *a.raw);
  EXPECT_EQ(witness.violation(), "");
}

TEST(RaftWitness, TwoCommandsAtOneIndexViolateStateMachineSafety) {
  RaftWitness witness;
  witness.on_applied(kGroup, NodeId(1), LogIndex(4), Term(2), digest("x"));
  witness.on_applied(kGroup, NodeId(2), LogIndex(4), Term(3), digest("x"));
  EXPECT_NE(witness.violation().find("state machine safety"), std::string::npos);
}

TEST(RaftWitness, AReplacedEntryIsATruncationAndNoViolation) {
  RaftWitness witness;
  Core a(1, {{1, "x"}, {1, "y"}}), again(1, {{1, "x"}, {2, "other"}});
  witness.look(kGroup, NodeId(1), *a.raw);
  witness.look(kGroup, NodeId(1), *again.raw);
  EXPECT_EQ(witness.violation(), "");
  EXPECT_EQ(witness.truncations_count(), 1u);
}

TEST(RaftRuns, ASeedRepeatsExactly) {
  for (const uint64_t seed : {3, 4}) {
    const RaftOutcome groups = run_raft_seed({.seed = seed});
    EXPECT_EQ(groups.reason, "");
    EXPECT_EQ(groups.fingerprint, run_raft_seed({.seed = seed}).fingerprint);
    const RaftOutcome cores = run_core_seed({.seed = seed});
    EXPECT_EQ(cores.reason, "");
    EXPECT_EQ(cores.fingerprint, run_core_seed({.seed = seed}).fingerprint);
  }
}

TEST(RaftRuns, WithoutFaultsEverythingSucceeds) {
  const RaftOutcome outcome = run_raft_seed({.seed = 5, .quiet = true});
  EXPECT_EQ(outcome.reason, "");
  EXPECT_GT(outcome.ops_count, 20u);
}

}  // namespace
}  // namespace cairn::sim
