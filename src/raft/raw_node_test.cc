#include "raft/raw_node.h"

#include <gtest/gtest.h>

#include "raft/describe.h"
#include "raft/test_group.h"

namespace cairn::raft {
namespace {

using Texts = std::vector<std::string>;

TEST(RawNode, ReplicatesWhatIsProposed) {
  TestGroup group(3);
  group.elect(1);
  EXPECT_TRUE(group.propose(1, "a"));
  EXPECT_TRUE(group.propose(2, "b"));  // passed on to the leader
  for (uint64_t id : {1, 2, 3}) EXPECT_EQ(group.node(id).applied, (Texts{"a", "b"})) << id;
}

TEST(RawNode, ANodeStartsAgainFromItsStorage) {
  TestGroup group(3);
  group.elect(1);
  group.propose(1, "a");
  const Term term = group[2].term();
  group.start(NodeId(2));
  EXPECT_EQ(group[2].term(), term);
  EXPECT_EQ(group[2].hard_state().vote, NodeId(1));
  group.propose(1, "b");
  EXPECT_EQ(group.node(2).applied, (Texts{"a", "b"}));
}

TEST(RawNode, ABadConfigurationIsRefusedWithAReason) {
  MemoryStorage storage;
  Rng rng(1);
  Config good;
  good.id = NodeId(1);
  good.storage = &storage;
  good.rng = &rng;
  EXPECT_TRUE(RawNode::create(good).ok());
  const auto refused = [&good](auto change) {
    Config bad = good;
    change(bad);
    return RawNode::create(bad).code() == Errc::kInvalidArgument;
  };
  EXPECT_TRUE(refused([](Config& c) { c.id = NodeId(); }));
  EXPECT_TRUE(refused([](Config& c) { c.id = kAppendThread; }));
  EXPECT_TRUE(refused([](Config& c) { c.heartbeat_tick = 0; }));
  EXPECT_TRUE(refused([](Config& c) { c.election_tick = c.heartbeat_tick; }));
  EXPECT_TRUE(refused([](Config& c) { c.storage = nullptr; }));
  EXPECT_TRUE(refused([](Config& c) { c.rng = nullptr; }));
  EXPECT_TRUE(refused([](Config& c) { c.inflight_messages_max = 0; }));
  EXPECT_TRUE(refused([](Config& c) { c.inflight_bytes_max = 1; }));
  EXPECT_TRUE(refused([](Config& c) { c.read_only_option = ReadOnlyOption::kLeaseBased; }));
}

TEST(RawNode, StorageThatContradictsItselfIsRefused) {
  MemoryStorage storage;
  Rng rng(1);
  Config config;
  config.id = NodeId(1);
  config.storage = &storage;
  config.rng = &rng;
  storage.set_hard_state({.term = Term(1), .vote = NodeId(), .commit = LogIndex(5)});
  EXPECT_EQ(RawNode::create(config).code(), Errc::kCorrupt);
  storage.set_hard_state({});
  config.applied = LogIndex(3);
  EXPECT_EQ(RawNode::create(config).code(), Errc::kCorrupt);
}

TEST(RawNode, BootstrapMakesAGroupOfItsPeers) {
  MemoryStorage storage;
  Rng rng(1);
  Config config;
  config.id = NodeId(1);
  config.storage = &storage;
  config.rng = &rng;
  auto node = std::move(RawNode::create(config)).value();
  ASSERT_TRUE(node->bootstrap({NodeId(1)}).ok());
  EXPECT_FALSE(node->bootstrap({NodeId(1)}).ok());
  for (int i = 0; i < 10; ++i) {
    if (!node->has_ready()) node->campaign();  // once the peers are applied
    Ready ready = node->ready();
    if (!ready.hard_state.empty()) storage.set_hard_state(ready.hard_state);
    storage.append(ready.entries);
    for (const Entry& entry : ready.committed_entries) {
      if (entry.type == EntryType::kNormal) continue;
      const auto change = decode_conf_change(entry.head.view());
      EXPECT_TRUE(node->apply_conf_change(*change).ok());
    }
    node->advance();
  }
  EXPECT_TRUE(node->is_leader());
  EXPECT_EQ(node->committed(), node->last_index());
  EXPECT_EQ(to_string(node->config()), "voters=(1)");
}

TEST(RawNode, MessagesThatMakeNoSenseHaveNoEffect) {
  TestGroup group(3);
  group.elect(1);
  RawNode& node = group[2];
  const Term term = node.term();
  EXPECT_EQ(node.step(message_from(1, 2, MessageType::kHup, 9)).code(), Errc::kInvalidArgument);
  EXPECT_EQ(node.step(message_from(1, 2, MessageType::kStorageAppendResponse, 9)).code(),
            Errc::kInvalidArgument);
  EXPECT_EQ(node.step(message_from(9, 2, MessageType::kAppendResponse, 9)).code(), Errc::kNotFound);
  EXPECT_EQ(node.step(message_from(1, 2, MessageType::kVote, 0)).code(), Errc::kProtocol);
  EXPECT_EQ(node.step(message_from(1, 2, MessageType::kPropose, 0)).code(), Errc::kProtocol);
  Message hole = message_from(1, 2, MessageType::kAppend, term.value());
  hole.index = LogIndex(2);
  hole.log_term = term;
  hole.entries = Entries::of({.term = term, .index = LogIndex(4), .head = {}, .payload = {}});
  EXPECT_EQ(node.step(hole).code(), Errc::kProtocol);
  hole.entries = Entries::of({.term = term + 1, .index = LogIndex(3), .head = {}, .payload = {}});
  EXPECT_EQ(node.step(hole).code(), Errc::kProtocol);
  // In its own name: it would take itself for its leader, and pass proposals on to itself.
  for (const MessageType type :
       {MessageType::kAppend, MessageType::kHeartbeat, MessageType::kSnapshot,
        MessageType::kTimeoutNow, MessageType::kVote, MessageType::kPreVote}) {
    EXPECT_EQ(node.step(message_from(2, 2, type, term.value())).code(), Errc::kProtocol);
  }
  EXPECT_EQ(node.term(), term);
  EXPECT_EQ(node.leader(), NodeId(1));
}

TEST(RawNode, AMemberThatLostItsLogIsToldSo) {
  TestGroup group(3);
  group.elect(1);
  group.propose(1, "a");
  Message heartbeat = message_from(1, 3, MessageType::kHeartbeat, group[1].term().value());
  heartbeat.commit = LogIndex(99);
  EXPECT_EQ(group[3].step(heartbeat).code(), Errc::kCorrupt);
}

TEST(RawNode, ProposalsBeyondTheLimitOfUncommittedBytesAreRefused) {
  Config config;
  config.uncommitted_entries_size_max = 100;
  TestGroup group(3, config);
  group.elect(1);
  group.isolate(1);
  EXPECT_TRUE(group.propose(1, std::string(90, 'x')));
  EXPECT_FALSE(group.propose(1, std::string(20, 'y')));
  EXPECT_TRUE(group.propose(1, ""));  // weighs nothing
  group.heal();
  group.tick(1, 2);
  EXPECT_EQ(group.node(2).applied.size(), 1U);
  EXPECT_TRUE(group.propose(1, std::string(500, 'z')));  // one alone always passes
  EXPECT_EQ(group.node(3).applied.size(), 2U);
}

TEST(BatchedAppends, ProposalsBetweenTwoReadysShareOneAppendToEachFollower) {
  Config config;
  config.batch_appends = true;
  TestGroup group(3, config);
  group.elect(1);
  for (const char* text : {"a", "b", "c"})
    ASSERT_TRUE(group[1].propose(Buffer::copy_of(text)).ok());
  const Ready ready = group[1].ready();
  ASSERT_EQ(ready.messages.size(), 2u);
  for (const Message& message : ready.messages) {
    EXPECT_EQ(message.type, MessageType::kAppend);
    EXPECT_EQ(message.entries.size(), 3u) << "to " << message.to.value();
  }
  EXPECT_FALSE(group[1].has_ready());
}

TEST(BatchedAppends, NewsOfACommitTravelsWithTheNextEntries) {
  Config config;
  config.batch_appends = true;
  TestGroup group(3, config);
  group.elect(1);
  ASSERT_TRUE(group[1].propose(Buffer::copy_of("a")).ok());
  group.handle_ready(group.node(1));
  for (Message& append : std::exchange(group.in_flight(), {})) {
    const NodeId to = append.to;
    ASSERT_TRUE(group[to.value()].step(std::move(append)).ok());
    group.handle_ready(group.node(to.value()));
  }
  const LogIndex last = group[1].last_index();
  for (Message& answer : std::exchange(group.in_flight(), {})) {
    ASSERT_TRUE(group[1].step(std::move(answer)).ok());
  }
  ASSERT_TRUE(group[1].propose(Buffer::copy_of("b")).ok());
  group.handle_ready(group.node(1));
  ASSERT_EQ(group.in_flight().size(), 2u);
  for (const Message& append : group.in_flight()) {
    EXPECT_EQ(append.commit, last);
    EXPECT_EQ(append.entries.size(), 1u);
  }
  group.settle();
  for (uint64_t id : {1, 2, 3}) EXPECT_EQ(group.node(id).applied, (Texts{"a", "b"})) << id;
}

TEST(BatchedAppends, ALeaderThatStepsDownOwesNothing) {
  Config config;
  config.batch_appends = true;
  TestGroup group(3, config);
  group.elect(1);
  ASSERT_TRUE(group[1].propose(Buffer::copy_of("a")).ok());
  ASSERT_TRUE(group[1].step(message_from(2, 1, MessageType::kHeartbeat, 9)).ok());
  for (const Message& message : group[1].ready().messages) {
    EXPECT_NE(message.type, MessageType::kAppend);
  }
}

TEST(RawNode, AWindowInBytesHoldsAppendsBack) {
  Config config;
  config.size_per_message_max = 1000;
  config.inflight_bytes_max = 1000;
  TestGroup group(3, config);
  group.elect(1);
  group.isolate(2);
  for (int i = 0; i < 5; ++i) group.propose(1, std::string(600, 'x'));
  const Progress* behind = group[1].progress(NodeId(2));
  EXPECT_EQ(behind->inflights.count(), 2U);
  EXPECT_TRUE(behind->inflights.full());
  group.heal();
  group.tick(1, 3);
  EXPECT_EQ(group.node(2).applied.size(), 5U);
}

// Pitfall 1: an entry of an older term is not committed by counting its copies.
TEST(Safety, APriorTermsEntryIsCommittedOnlyWithOneOfTheOwnTerm) {
  Config config;
  config.size_per_message_max = 1;  // entries travel one by one
  TestGroup group(5, config);
  group.elect(1);
  const LogIndex start = group[1].committed();
  for (uint64_t id : {3, 4, 5}) group.isolate(id);
  group.propose(1, "a");  // on 1 and 2 only
  ASSERT_EQ(group[2].last_index(), start + 1);
  group[2].campaign();
  bool seen_on_a_majority = false;
  for (int round = 0; round < 30; ++round) {
    for (uint64_t id : {1, 2, 3}) {
      while (group[id].has_ready()) group.handle_ready(group.node(id));
    }
    for (Message& message : std::exchange(group.in_flight(), {})) {
      if (message.to.value() > 3) continue;
      (void)group[message.to.value()].step(std::move(message));
      if (!group[2].is_leader() || group[2].committed() != start) continue;
      const auto has = [&](uint64_t id) {
        return group[2].progress(NodeId(id))->match >= start + 1;
      };
      seen_on_a_majority = seen_on_a_majority || (has(1) && has(2) && has(3));
    }
    ASSERT_NE(group[2].committed(), start + 1);
  }
  EXPECT_TRUE(seen_on_a_majority);
  EXPECT_EQ(group[2].committed(), start + 2);
}

// Pitfall 2: a second configuration change waits for the first one to be applied.
TEST(Safety, OneConfigurationChangeAtATime) {
  TestGroup group(3);
  group.elect(1);
  const auto add = [](uint64_t id) {
    return ConfChangeV2(ConfChange{.node = NodeId(id), .context = {}});
  };
  ASSERT_TRUE(group[1].propose_conf_change(add(4)).ok());
  ASSERT_TRUE(group[1].propose_conf_change(add(5)).ok());  // becomes an empty entry
  group.settle();
  EXPECT_EQ(to_string(group[1].config()), "voters=(1 2 3 4)");
  ASSERT_TRUE(group[1].propose_conf_change(add(5)).ok());
  group.settle();
  EXPECT_EQ(to_string(group[2].config()), "voters=(1 2 3 4 5)");
}

// Pitfall 6: what is illegal when it is applied is refused there, on every member alike.
TEST(Safety, AnIllegalChangeInTheLogIsRefusedInApply) {
  Config config;
  config.disable_conf_change_validation = true;
  TestGroup group(3, config);
  group.elect(1);
  ASSERT_TRUE(group[1].propose_conf_change(ConfChangeV2()).ok());  // not joint: nothing to leave
  group.settle();
  for (uint64_t id : {1, 2, 3}) {
    EXPECT_TRUE(group.node(id).configurations.empty());
    EXPECT_EQ(to_string(group[id].config()), "voters=(1 2 3)");
  }
}

// Pitfall 4: learners answer when they are asked, but never ask.
TEST(Elections, LearnersVoteButDoNotCampaign) {
  TestGroup group(2, 1, {});
  group[2].campaign();
  group.tick(2, 50);
  EXPECT_EQ(group[2].role(), Role::kFollower);
  EXPECT_EQ(group[2].term(), Term(1));
  Message vote = message_from(1, 2, MessageType::kVote, 3);
  vote.index = group[2].last_index();
  vote.log_term = Term(1);
  ASSERT_TRUE(group[2].step(vote).ok());
  EXPECT_EQ(group[2].hard_state().vote, NodeId(1));
}

// Pitfall 5, and 3: no campaign before committed configuration changes are applied.
TEST(Elections, NoCampaignWithConfigurationChangesToApply) {
  TestGroup group(3);
  group.elect(1);
  ASSERT_TRUE(group[1]
                  .propose_conf_change(ConfChangeV2(ConfChange{.node = NodeId(4), .context = {}}))
                  .ok());
  while (group[2].committed() != group[1].last_index()) {
    // Node 2 commits the change but does not get to apply it.
    for (uint64_t id : {1, 3}) {
      while (group[id].has_ready()) group.handle_ready(group.node(id));
    }
    if (group[2].committed() < group[1].last_index() && group[2].has_ready()) {
      group.handle_ready(group.node(2));
    }
    for (Message& m : std::exchange(group.in_flight(), {})) {
      if (m.to.value() <= 3) (void)group[m.to.value()].step(std::move(m));
    }
  }
  ASSERT_LT(group[2].applied(), group[2].committed());
  group[2].campaign();
  EXPECT_EQ(group[2].role(), Role::kFollower);
  ASSERT_TRUE(
      group[2].step(message_from(1, 2, MessageType::kTimeoutNow, group[1].term().value())).ok());
  EXPECT_EQ(group[2].role(), Role::kFollower);
  group.settle();
  group[2].campaign();
  EXPECT_EQ(group[2].role(), Role::kCandidate);
}

TEST(Elections, WithPreVoteANodeThatReturnsDisturbsNobody) {
  TestGroup group(3, careful());
  group.elect(1);
  const Term term = group[1].term();
  group.isolate(3);
  group.tick(3, 100);
  EXPECT_EQ(group[3].term(), term);  // asked in vain, and changed nothing
  group.heal();
  group.tick(3, 30);
  group.tick(1, 2);
  EXPECT_TRUE(group[1].is_leader());
  EXPECT_EQ(group[1].term(), term);
  EXPECT_EQ(group[3].leader(), NodeId(1));
}

TEST(Elections, AVoterThatHearsALeaderDoesNotAnswerCandidates) {
  TestGroup group(3, careful());
  group.elect(1);
  Message vote = message_from(3, 2, MessageType::kVote, 7);
  vote.index = LogIndex(99);
  vote.log_term = Term(6);
  ASSERT_TRUE(group[2].step(vote).ok());
  EXPECT_EQ(group[2].term(), group[1].term());
  vote.context = Buffer::copy_of(kTransferContext);  // unless the leader wants it
  ASSERT_TRUE(group[2].step(vote).ok());
  EXPECT_EQ(group[2].term(), Term(7));
}

TEST(Elections, ALeaderCutOffStepsDownAndALoneCandidateIsBroughtBack) {
  TestGroup group(3, careful());
  group.elect(1);
  group.isolate(1);
  group.tick(1, 25);
  EXPECT_NE(group[1].role(), Role::kLeader);
  group.tick(2, 40);
  group.tick(3, 40);
  EXPECT_TRUE(group[2].is_leader() || group[3].is_leader());
}

// Pitfall 10: the answer to an older pre-vote carries our term, so that its sender catches up.
TEST(Elections, APreVoteOfAnOlderTermIsAnsweredWithOurs) {
  TestGroup group(3, careful());
  group.elect(1);
  ASSERT_TRUE(group[2].step(message_from(3, 2, MessageType::kHeartbeat, 5)).ok());
  while (group[2].has_ready()) group.handle_ready(group.node(2));
  group.in_flight().clear();
  ASSERT_TRUE(group[2].step(message_from(1, 2, MessageType::kPreVote, 3)).ok());
  group.handle_ready(group.node(2));
  ASSERT_EQ(group.in_flight().size(), 1U);
  EXPECT_EQ(describe(group.in_flight()[0]),
            "2->1 MsgPreVoteResp Term:5 Log:0/0 Rejected (Hint: 0)");
}

TEST(Transfer, TheTransfereeLeadsOnceItIsUpToDate) {
  TestGroup group(3, careful());
  group.elect(1);
  group.propose(1, "a");
  group[2].transfer_leader(NodeId(3));  // a follower passes it on
  group.settle();
  EXPECT_TRUE(group[3].is_leader());
  EXPECT_EQ(group[1].role(), Role::kFollower);
}

TEST(Transfer, ProposalsWaitAndATransferThatFailsEnds) {
  TestGroup group(3);
  group.elect(1);
  group.isolate(3);
  group.propose(1, "a");
  group[1].transfer_leader(NodeId(3));
  EXPECT_EQ(group[1].propose(Buffer::copy_of("b")).code(), Errc::kUnavailable);
  group.tick(1, 10);
  EXPECT_TRUE(group[1].transferee().is_none());
  EXPECT_TRUE(group.propose(1, "c"));
}

TEST(Transfer, LearnersAndTheLeaderItselfAreNoTransferees) {
  TestGroup group(3, 2, {});
  group.elect(1);
  group[1].transfer_leader(NodeId(3));
  EXPECT_TRUE(group[1].transferee().is_none());
  group[1].transfer_leader(NodeId(1));
  EXPECT_TRUE(group[1].transferee().is_none());
}

Texts contexts_of(const std::vector<ReadState>& reads) {
  Texts texts;
  for (const ReadState& read : reads) texts.emplace_back(as_text(read.context.view()));
  return texts;
}

TEST(Reads, AreAnsweredWhereTheyWereAskedOnceAQuorumConfirms) {
  TestGroup group(3);
  group.elect(1);
  group.propose(1, "a");
  ASSERT_TRUE(group[1].read_index(Buffer::copy_of("here")).ok());
  ASSERT_TRUE(group[3].read_index(Buffer::copy_of("there")).ok());
  group.settle();
  EXPECT_EQ(contexts_of(group.node(1).reads), Texts{"here"});
  EXPECT_EQ(contexts_of(group.node(3).reads), Texts{"there"});
  EXPECT_EQ(group.node(3).reads[0].index, group[1].committed());
}

TEST(Reads, ALeaderThatIsCutOffAnswersNone) {
  TestGroup group(3);
  group.elect(1);
  group.isolate(1);
  ASSERT_TRUE(group[1].read_index(Buffer::copy_of("stale?")).ok());
  group.tick(1, 3);
  group.elect(2);
  group.propose(2, "new");
  EXPECT_TRUE(group.node(1).reads.empty());
  group.heal();
  group.tick(2, 3);
  group.tick(1, 3);
  EXPECT_TRUE(group.node(1).reads.empty());  // it never will be answered: ask again
}

// Pitfall 12: a new leader does not know what is committed until it has committed itself.
TEST(Reads, WaitForTheFirstCommitOfTheTerm) {
  TestGroup group(3);
  group[1].campaign();
  while (!group[1].is_leader()) {
    for (uint64_t id : {1, 2, 3}) {
      while (group[id].has_ready()) group.handle_ready(group.node(id));
    }
    for (Message& m : std::exchange(group.in_flight(), {})) {
      (void)group[m.to.value()].step(std::move(m));
    }
  }
  ASSERT_TRUE(group[1].read_index(Buffer::copy_of("early")).ok());
  EXPECT_LT(group[1].committed(), group[1].last_index());
  group.settle();
  ASSERT_EQ(group.node(1).reads.size(), 1U);
  EXPECT_EQ(group.node(1).reads[0].index, group[1].last_index());
}

// Pitfall 13: the second read with a context is not answered by the first one's round.
TEST(Reads, AContextUsedTwiceBringsNoStaleIndex) {
  TestGroup group(3);
  group.elect(1);
  ASSERT_TRUE(group[1].read_index(Buffer::copy_of("same")).ok());
  group.handle_ready(group.node(1));
  std::vector<Message> first_round = std::exchange(group.in_flight(), {});
  ASSERT_TRUE(group.propose(1, "a"));
  const LogIndex committed = group[1].committed();
  const size_t answered = group.node(1).reads.size();
  ASSERT_TRUE(group[1].read_index(Buffer::copy_of("same")).ok());
  for (Message& m : first_round) (void)group[m.to.value()].step(std::move(m));
  for (uint64_t id : {2, 3}) group.handle_ready(group.node(id));
  for (Message& m : std::exchange(group.in_flight(), {})) (void)group[1].step(std::move(m));
  group.handle_ready(group.node(1));
  // The late round confirms the first read alone.
  ASSERT_EQ(group.node(1).reads.size(), answered + 1);
  EXPECT_LT(group.node(1).reads.back().index, committed);
  group.tick(1, 2);
  ASSERT_EQ(group.node(1).reads.size(), answered + 2);
  EXPECT_EQ(group.node(1).reads.back().index, committed);
}

TEST(Reads, BeyondTheBoundAreRefused) {
  TestGroup group(3);
  group.elect(1);
  for (size_t i = 0; i < kPendingReadsMax; ++i) {
    ASSERT_TRUE(group[1].read_index(Buffer()).ok());
  }
  EXPECT_EQ(group[1].read_index(Buffer()).code(), Errc::kOverloaded);
  group.settle();
  EXPECT_EQ(group.node(1).reads.size(), kPendingReadsMax);
  EXPECT_TRUE(group[1].read_index(Buffer()).ok());
}

TEST(Reads, ByLeaseNeedNoRoundUntilATransfereeMayCampaign) {
  Config config = careful();
  config.read_only_option = ReadOnlyOption::kLeaseBased;
  TestGroup group(3, config);
  group.elect(1);
  group.isolate(1);
  ASSERT_TRUE(group[1].read_index(Buffer::copy_of("lease")).ok());
  group.settle();
  EXPECT_EQ(contexts_of(group.node(1).reads), Texts{"lease"});
  group[1].transfer_leader(NodeId(2));  // its message may still arrive, some day
  group.tick(1, 10);
  EXPECT_TRUE(group[1].transferee().is_none());
  if (group[1].is_leader()) {
    ASSERT_TRUE(group[1].read_index(Buffer::copy_of("after")).ok());
    group.settle();
    EXPECT_EQ(contexts_of(group.node(1).reads), Texts{"lease"});
  }
}

TEST(Snapshots, AFollowerThatNeedsCompactedEntriesGetsOne) {
  TestGroup group(3);
  group.elect(1);
  group.isolate(3);
  for (int i = 0; i < 10; ++i) group.propose(1, "x");
  MemoryStorage& storage = *group.node(1).storage;
  const ConfState state = conf_state_of(group[1].config());
  ASSERT_TRUE(storage.create_snapshot(group[1].applied(), state, {}).ok());
  ASSERT_TRUE(storage.compact(group[1].applied() - 2).ok());
  group.heal();
  group.tick(1, 3);
  EXPECT_EQ(group[3].committed(), group[1].committed());
  EXPECT_EQ(group.node(3).storage->first_index(), group[1].committed() + 1);
  EXPECT_EQ(group[1].progress(NodeId(3))->state, ProgressState::kReplicate);
  group.propose(1, "y");
  EXPECT_EQ(group.node(3).applied, Texts{"y"});
}

// Pitfall 22: a snapshot replaces a log that conflicts with it.
TEST(Snapshots, AConflictingLogIsReplaced) {
  TestGroup group(3);
  group.elect(3);
  group.isolate(3);
  for (int i = 0; i < 20; ++i) group.propose(3, "lost");
  group.elect(1);
  for (int i = 0; i < 9; ++i) group.propose(1, "kept");
  ASSERT_GT(group[3].last_index(), group[1].last_index());  // it has something at that index
  MemoryStorage& storage = *group.node(1).storage;
  ASSERT_TRUE(
      storage.create_snapshot(group[1].applied(), conf_state_of(group[1].config()), {}).ok());
  ASSERT_TRUE(storage.compact(group[1].applied()).ok());
  group.heal();
  group.tick(1, 3);
  EXPECT_EQ(group[3].last_index(), group[1].last_index());
  EXPECT_EQ(group[3].committed(), group[1].committed());
  ASSERT_TRUE(group.propose(1, "goes on"));
  EXPECT_EQ(group.node(3).applied, Texts{"goes on"});
}

TEST(Snapshots, ThatFailedAreSentAgainAfterAHeartbeat) {
  TestGroup group(3);
  group.elect(1);
  group.isolate(3);
  for (int i = 0; i < 5; ++i) group.propose(1, "x");
  MemoryStorage& storage = *group.node(1).storage;
  ASSERT_TRUE(
      storage.create_snapshot(group[1].applied(), conf_state_of(group[1].config()), {}).ok());
  ASSERT_TRUE(storage.compact(group[1].applied()).ok());
  group.tick(1);
  group[1].report_unreachable(NodeId(3));
  ASSERT_TRUE(
      group[1]
          .step(message_from(3, 1, MessageType::kHeartbeatResponse, group[1].term().value()))
          .ok());
  ASSERT_EQ(group[1].progress(NodeId(3))->state, ProgressState::kSnapshot);
  group.settle();  // lost
  group[1].report_snapshot(NodeId(3), false);
  EXPECT_EQ(group[1].progress(NodeId(3))->state, ProgressState::kProbe);
  EXPECT_TRUE(group[1].progress(NodeId(3))->is_paused());
  group.heal();
  group.tick(1, 2);
  EXPECT_EQ(group[3].committed(), group[1].committed());
}

// Pitfalls 15 to 17: promises leave with the write that makes them true.
TEST(AsyncStorage, NothingIsPromisedBeforeItIsWritten) {
  MemoryStorage storage;
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->metadata = {.conf_state = {.voters = {NodeId(1), NodeId(2), NodeId(3)}},
                        .index = LogIndex(1),
                        .term = Term(1)};
  ASSERT_TRUE(storage.apply_snapshot(snapshot).ok());
  Rng rng(1);
  Config config;
  config.id = NodeId(1);
  config.storage = &storage;
  config.rng = &rng;
  config.async_storage_writes = true;
  auto node = std::move(RawNode::create(config)).value();
  Message vote = message_from(2, 1, MessageType::kVote, 2);
  vote.index = LogIndex(1);
  vote.log_term = Term(1);
  ASSERT_TRUE(node->step(vote).ok());
  Message append = message_from(2, 1, MessageType::kAppend, 2);
  append.index = LogIndex(1);
  append.log_term = Term(1);
  append.entries = Entries::of({.term = Term(2), .index = LogIndex(2), .head = {}, .payload = {}});
  ASSERT_TRUE(node->step(append).ok());
  const Ready ready = node->ready();
  EXPECT_TRUE(ready.must_sync);
  ASSERT_EQ(ready.messages.size(), 1U);
  const Message& work = ready.messages[0];
  EXPECT_EQ(describe(work),
            "1->AppendThread MsgStorageAppend Term:2 Log:0/0 Commit:1 Vote:2 "
            "Entries:[2/2 EntryNormal \"\"] Responses:[\n"
            "  1->2 MsgVoteResp Term:2 Log:0/0\n"
            "  1->2 MsgAppResp Term:2 Log:0/2\n"
            "  AppendThread->1 MsgStorageAppendResp Term:2 Log:2/2\n"
            "]");
  EXPECT_FALSE(node->has_ready());
}

TEST(Idle, ANodeIsSmall) {
  EXPECT_LT(sizeof(Raft) + sizeof(RawNode), 2048U);
}

}  // namespace
}  // namespace cairn::raft
