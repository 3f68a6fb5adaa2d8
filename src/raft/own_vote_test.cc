// Pitfalls 16 and 17 with asynchronous storage: a term is durable on its leader before anything of
// that term is in the world.
#include <gtest/gtest.h>

#include "base/rng.h"
#include "raft/raw_node.h"

namespace cairn::raft {
namespace {

constexpr NodeId kSelf{1};

class Candidate {
 public:
  Candidate() {
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->metadata.index = LogIndex(1);
    snapshot->metadata.term = Term(1);
    snapshot->metadata.conf_state.voters = {NodeId(1), NodeId(2), NodeId(3)};
    EXPECT_TRUE(storage_.apply_snapshot(snapshot).ok());
    storage_.set_hard_state({.term = Term(1), .vote = {}, .commit = LogIndex(1)});
    Config config;
    config.id = kSelf;
    config.storage = &storage_;
    config.rng = &rng_;
    config.async_storage_writes = true;
    raw = RawNode::create(config).value();
  }
  /// What the node asks of its storage in one Ready, not yet done; type kHup if nothing.
  Message take_append() {
    Message append;
    while (raw->has_ready()) {
      for (Message& message : raw->ready().messages) {
        if (message.to == kAppendThread) append = std::move(message);
      }
    }
    return append;
  }
  void complete(const Message& append) {
    for (const Message& response : append.responses) {
      if (response.to == kSelf) ASSERT_TRUE(raw->step(response).ok());
    }
  }
  void vote_from(uint64_t voter) {
    ASSERT_TRUE(raw->step({.type = MessageType::kVoteResponse,
                           .to = kSelf,
                           .from = NodeId(voter),
                           .term = raw->term()})
                    .ok());
  }

  std::unique_ptr<RawNode> raw;

 private:
  MemoryStorage storage_;
  Rng rng_{7};
};

TEST(OwnVote, ACandidateLeadsOnlyOnceItsOwnVoteIsDurable) {
  Candidate candidate;
  candidate.raw->campaign();
  const Message vote = candidate.take_append();
  ASSERT_EQ(vote.term, Term(2));
  candidate.vote_from(2);
  candidate.vote_from(3);
  // A majority without its own vote: leading now, it could lose the term in a crash and win it
  // once more, with other entries.
  EXPECT_EQ(candidate.raw->role(), Role::kCandidate);
  candidate.complete(vote);
  EXPECT_EQ(candidate.raw->role(), Role::kLeader);
  EXPECT_EQ(candidate.raw->term(), Term(2));
}

TEST(OwnVote, TheOwnVoteFirstAndOneOtherIsEnough) {
  Candidate candidate;
  candidate.raw->campaign();
  candidate.complete(candidate.take_append());
  EXPECT_EQ(candidate.raw->role(), Role::kCandidate);
  candidate.vote_from(3);
  EXPECT_EQ(candidate.raw->role(), Role::kLeader);
}

}  // namespace
}  // namespace cairn::raft
