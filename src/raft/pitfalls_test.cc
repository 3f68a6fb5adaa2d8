// Bugs that other implementations shipped, by their numbers in docs/raft-pitfalls.md: those that
// have no test elsewhere.
#include <gtest/gtest.h>

#include "raft/test_group.h"

namespace cairn::raft {
namespace {

Entry entry(uint64_t term, uint64_t index) {
  return {.term = Term(term), .index = LogIndex(index), .head = {}, .payload = {}};
}

// Delivers what is on its way to `id`, and drops the rest.
void deliver_only(TestGroup& group, uint64_t id) {
  for (Message& message : std::exchange(group.in_flight(), {})) {
    if (message.to == NodeId(id)) (void)group[id].step(std::move(message));
  }
}

// A member whose storage is asynchronous and is served by the test.
class AsyncMember {
 public:
  explicit AsyncMember(std::vector<NodeId> voters) {
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->metadata.conf_state.voters = std::move(voters);
    snapshot->metadata.index = LogIndex(1);
    snapshot->metadata.term = Term(1);
    CHECK(storage_.apply_snapshot(snapshot).ok());
    Config config;
    config.id = NodeId(1);
    config.storage = &storage_;
    config.rng = &rng_;
    config.async_storage_writes = true;
    raw_ = std::move(RawNode::create(config)).value();
  }
  RawNode& operator*() { return *raw_; }
  RawNode* operator->() { return raw_.get(); }

  /// The work for its storage; none may be missing. Other messages are dropped.
  Message take_append_work() {
    CHECK(raw_->has_ready());
    for (Message& message : raw_->ready().messages) {
      if (message.to != kAppendThread) continue;
      if (!message.term.is_zero()) written_term_ = message.term;
      for (const Entry& e : message.entries) {
        EXPECT_LE(e.term, written_term_)
            << "pitfall 16: the term comes with its entries, or before";
      }
      return std::move(message);
    }
    check_failed("no work", __FILE__, __LINE__);
  }
  /// Writes it and lets the node have the answers that are its own.
  void finish(const Message& work) {
    storage_.append(work.entries);
    for (const Message& response : work.responses) {
      if (response.to == NodeId(1)) EXPECT_TRUE(raw_->step(response).ok());
    }
  }

 private:
  MemoryStorage storage_;
  Rng rng_{1};
  std::unique_ptr<RawNode> raw_;
  Term written_term_{1};
};

Message append_of(uint64_t from, uint64_t term, Entry first) {
  Message append = message_from(from, 1, MessageType::kAppend, term);
  append.index = LogIndex(1);
  append.log_term = Term(1);
  append.entries = Entries::of(std::move(first));
  return append;
}

TEST(Pitfall2, ANewLeaderChangesNothingBeforeItHasAppliedTheChangesThatItFound) {
  TestGroup group(3);
  group.elect(1);
  ASSERT_TRUE(group[1].propose_conf_change(change("l4")).ok());
  group.work_off(1);
  deliver_only(group, 2);  // 2 has the change; nobody knows
  group.work_off(2);
  group.in_flight().clear();
  group.isolate(1);
  group[2].campaign();
  for (int i = 0; i < 3 && !group[2].is_leader(); ++i) {
    group.work_off(2);
    deliver_only(group, 3);
    group.work_off(3);
    deliver_only(group, 2);
  }
  ASSERT_TRUE(group[2].is_leader());
  ASSERT_LT(group[2].committed(), LogIndex(3));
  ASSERT_TRUE(group[2].propose_conf_change(change("v5")).ok());  // becomes an empty entry
  group.settle();
  EXPECT_EQ(to_string(group[2].config()), "voters=(1 2 3) learners=(4)");
  EXPECT_EQ(to_string(group[3].config()), "voters=(1 2 3) learners=(4)");
}

// However far a change and what follows from it have come when the leader dies, the others elect.
TEST(Pitfall3, AChangeThatIsHalfWayLeavesSomebodyToLead) {
  for (const std::string_view members : {"v4 r3", "v4", "r1", "l3 v4", "r1 r3 v4"}) {
    for (size_t delivered_count = 0; delivered_count < 60; ++delivered_count) {
      TestGroup group(4, 3, careful());
      group.elect(1);
      ASSERT_TRUE(group[1].propose_conf_change(change(members)).ok());
      for (size_t left = delivered_count; left > 0;) {
        for (uint64_t id : {1, 2, 3, 4}) group.work_off(id);
        if (group.in_flight().empty()) break;
        for (Message& message : std::exchange(group.in_flight(), {})) {
          if (left == 0) break;
          --left;
          (void)group[message.to.value()].step(std::move(message));
        }
      }
      group.in_flight().clear();
      group.isolate(1);
      uint64_t leader = 0;
      for (int round = 0; round < 200 && leader == 0; ++round) {
        for (uint64_t id : {2, 3, 4}) {
          group.tick(id);
          if (group[id].is_leader()) leader = id;
        }
      }
      ASSERT_NE(leader, 0U) << members << " after " << delivered_count << " messages";
      const LogIndex before = group[leader].committed();
      ASSERT_TRUE(group.propose(leader, "x"));
      ASSERT_GT(group[leader].committed(), before) << members << " after " << delivered_count;
    }
  }
}

// A leader that removed itself knows it; the only other voter does not, and needs its vote.
TEST(Pitfall3, ALeaderThatLeavesGathersNothingThatOthersWouldLack) {
  Config config = careful();
  config.hold_proposals_on_removal = config.step_down_on_removal = true;
  TestGroup group(2, config);
  group.elect(1);
  ASSERT_TRUE(group[1].propose_conf_change(change("r1")).ok());
  EXPECT_EQ(group[1].propose(Buffer::copy_of("late")).code(), Errc::kUnavailable);
  group.work_off(1);
  deliver_only(group, 2);
  group.work_off(2);
  deliver_only(group, 1);
  group.work_off(1);
  ASSERT_EQ(to_string(group[1].config()), "voters=(2)");
  ASSERT_EQ(group[1].role(), Role::kFollower);
  group.in_flight().clear();  // 2 does not hear of it
  ASSERT_EQ(to_string(group[2].config()), "voters=(1 2)");
  for (int i = 0; i < 100 && !group[2].is_leader(); ++i) {
    group.tick(2);
    group.tick(1);
  }
  EXPECT_TRUE(group[2].is_leader());
  EXPECT_EQ(to_string(group[2].config()), "voters=(2)");
}

TEST(Pitfall3, ANewLeaderThatFindsItsOwnRemovalHoldsProposalsToo) {
  Config config = careful();
  config.hold_proposals_on_removal = config.step_down_on_removal = true;
  TestGroup group(3, config);
  group.elect(1);
  ASSERT_TRUE(group[1].propose_conf_change(change("r2")).ok());
  group.work_off(1);
  deliver_only(group, 2);
  group.work_off(2);
  group.in_flight().clear();
  group.isolate(1);
  for (int i = 0; i < 30; ++i) group[3].tick();  // its lease runs out
  group[2].campaign();
  for (int i = 0; i < 6 && !group[2].is_leader(); ++i) {
    group.work_off(2);
    deliver_only(group, 3);
    group.work_off(3);
    deliver_only(group, 2);
  }
  ASSERT_TRUE(group[2].is_leader());
  EXPECT_FALSE(group[2].propose(Buffer::copy_of("late")).ok());
}

TEST(Pitfall3, ProposalsGoOnWhenTheLeaderStaysAVoter) {
  Config config = careful();
  config.hold_proposals_on_removal = true;
  TestGroup group(3, config);
  group.elect(1);
  ASSERT_TRUE(group[1].propose_conf_change(change("r3")).ok());
  EXPECT_TRUE(group[1].propose(Buffer::copy_of("a")).ok());
  group.settle();
  // Joint: it votes in the old half until that is left.
  ConfChangeV2 joint = change("r1 v4");
  joint.transition = ConfChangeTransition::kJointExplicit;
  ASSERT_TRUE(group[1].propose_conf_change(joint).ok());
  EXPECT_TRUE(group[1].propose(Buffer::copy_of("b")).ok());
  group.settle();
  ASSERT_TRUE(group[1].propose_conf_change(ConfChangeV2()).ok());
  EXPECT_FALSE(group[1].propose(Buffer::copy_of("c")).ok());
}

TEST(Pitfall7, AJointConfigurationIsLeftOnceAndNotBeforeItIsApplied) {
  Config config;
  config.committed_size_per_ready_max = 1;  // entries are applied one by one
  TestGroup group(4, 3, config);
  group.elect(1);
  const LogIndex start = group[1].last_index();
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(group[1].propose(Buffer::copy_of("before")).ok());
  ConfChangeV2 joint = change("v4 r3");
  ASSERT_TRUE(group[1].propose_conf_change(joint).ok());
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(group[1].propose(Buffer::copy_of("behind")).ok());
  group.settle();
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(group.propose(1, "later"));
  EXPECT_EQ(to_string(group[4].config()), "voters=(1 2 4)");
  // Nine proposals, one entry that leaves, three more proposals: none came to nothing.
  EXPECT_EQ(group[1].last_index(), start + 13);
}

TEST(Pitfall10, AHigherTermAgainstALongerLogIsResolved) {
  TestGroup group(3, careful());
  group.elect(2);
  ASSERT_TRUE(group.propose(2, "a"));
  group.isolate(1);
  ASSERT_TRUE(group.propose(2, "only 2 and 3 have it"));
  group.heal();
  // 1 hears of a far later term; then 3 dies.
  ASSERT_TRUE(group[1].step(message_from(3, 1, MessageType::kHeartbeat, 9)).ok());
  group.isolate(3);
  for (int round = 0; round < 200 && !group[2].is_leader(); ++round) {
    group.tick(1);
    group.tick(2);
  }
  // The old leader steps down, and leads again once it has learnt the term in which 1 would vote.
  for (int round = 0; round < 200 && group[2].term() < Term(9); ++round) {
    group.tick(1);
    group.tick(2);
  }
  for (int round = 0; round < 200 && !group[2].is_leader(); ++round) {
    group.tick(1);
    group.tick(2);
  }
  EXPECT_TRUE(group[2].is_leader());
  EXPECT_GT(group[2].term(), Term(9));
  EXPECT_EQ(group.node(1).applied.size(), 2U);
}

TEST(Pitfall10, ACandidateThatIsBehindInItsTermLearnsItFromThePreVotesAnswer) {
  TestGroup group(3, careful());
  group.elect(2);
  group.isolate(1);
  ASSERT_TRUE(group.propose(2, "1 does not have it"));
  for (uint64_t id : {2, 3}) group.isolate(id);
  group.tick(2, 30);  // no quorum: it steps down
  ASSERT_NE(group[2].role(), Role::kLeader);
  ASSERT_TRUE(group[1].step(message_from(3, 1, MessageType::kHeartbeat, 9)).ok());
  group.tick(1, 30);  // it has forgotten that leader
  group.heal();
  group.isolate(3);
  for (int round = 0; round < 300 && !group[2].is_leader(); ++round) {
    group.tick(1);
    group.tick(2);
  }
  EXPECT_TRUE(group[2].is_leader());
}

TEST(Pitfall11, PreCandidatesAnswerEachOther) {
  TestGroup group(3, careful());
  group.elect(1);
  const Term term = group[1].term();
  group.isolate(1);
  for (uint64_t id : {2, 3}) {
    group[id].set_randomized_election_timeout(10);
    for (int i = 0; i < 10; ++i) group[id].tick();
    ASSERT_EQ(group[id].role(), Role::kPreCandidate);
  }
  group.settle();
  // Had they kept their leader, each would ignore the other for the lease's sake, and for ever: a
  // pre-vote begins a new timeout.
  EXPECT_GT(group[2].term(), term);
  EXPECT_GT(group[3].term(), term);
}

TEST(Pitfall15, ACompletionOfAnOlderTermAcknowledgesNothing) {
  AsyncMember member({NodeId(1), NodeId(2), NodeId(3)});
  ASSERT_TRUE(member->step(append_of(2, 2, entry(2, 2))).ok());
  const Message first = member.take_append_work();
  ASSERT_TRUE(member->step(append_of(3, 3, entry(3, 2))).ok());
  const Message second = member.take_append_work();
  ASSERT_TRUE(member->step(append_of(2, 4, entry(2, 2))).ok());  // the first entry is back
  const Message third = member.take_append_work();
  member.finish(first);
  EXPECT_EQ(member->log().unstable().offset(), LogIndex(2)) << "what is written now is the second";
  member.finish(second);
  EXPECT_EQ(member->log().unstable().offset(), LogIndex(2));
  member.finish(third);
  EXPECT_EQ(member->log().unstable().offset(), LogIndex(3));
}

TEST(Pitfall18, ALoneVoterCommitsNothingBeforeItsWriteIsDone) {
  AsyncMember member({NodeId(1)});
  member->campaign();
  EXPECT_EQ(member->role(), Role::kCandidate);  // its own vote is not durable yet
  member.finish(member.take_append_work());
  ASSERT_TRUE(member->is_leader());
  member.finish(member.take_append_work());
  const LogIndex committed = member->committed();
  ASSERT_TRUE(member->propose(Buffer::copy_of("x")).ok());
  const Message work = member.take_append_work();
  EXPECT_EQ(member->committed(), committed);
  EXPECT_FALSE(member->has_ready());
  member.finish(work);
  EXPECT_EQ(member->committed(), committed + 1);
}

TEST(Pitfall30, ASnapshotIsSentOnlyForEntriesThatAreGoneAndOnce) {
  TestGroup group(3);
  group.elect(1);
  group.isolate(3);
  const LogIndex known = group[1].progress(NodeId(3))->match;
  for (int i = 0; i < 10; ++i) group.propose(1, "x");
  MemoryStorage& storage = *group.node(1).storage;
  const ConfState state = conf_state_of(group[1].config());
  ASSERT_TRUE(storage.create_snapshot(group[1].applied(), state, {}).ok());
  const auto sent_to_3 = [&](MessageType type) {
    size_t count = 0;
    for (int i = 0; i < 5; ++i) {
      group[1].report_unreachable(NodeId(3));
      Message answer = message_from(3, 1, MessageType::kHeartbeatResponse, group[1].term().value());
      CHECK(group[1].step(answer).ok());
      group.work_off(1);
      for (const Message& m : std::exchange(group.in_flight(), {})) {
        count += m.to == NodeId(3) && m.type == type;
      }
    }
    return count;
  };
  // Its next entry is the first that is left: the term before it is known, so it is appended to.
  ASSERT_TRUE(storage.compact(known).ok());
  EXPECT_EQ(sent_to_3(MessageType::kSnapshot), 0U);
  EXPECT_EQ(group[1].progress(NodeId(3))->state, ProgressState::kProbe);
  // One entry more is gone: a snapshot, and no second one while it is on its way.
  ASSERT_TRUE(storage.compact(known + 1).ok());
  EXPECT_EQ(sent_to_3(MessageType::kSnapshot), 1U);
  // Its receiver answers from behind the log's start, though not from the snapshot's index: the log
  // goes on from there, and snapshots are over.
  Message answer = message_from(3, 1, MessageType::kAppendResponse, group[1].term().value());
  answer.index = known + 1;
  ASSERT_TRUE(group[1].step(answer).ok());
  EXPECT_EQ(group[1].progress(NodeId(3))->state, ProgressState::kReplicate);
  EXPECT_EQ(sent_to_3(MessageType::kSnapshot), 0U);
}

}  // namespace
}  // namespace cairn::raft
