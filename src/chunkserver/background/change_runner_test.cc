// Changes of members and leaders, as the MDS orders them and as operators do.
#include "chunkserver/background/change_runner.h"

#include "chunkserver/chunkserver_bench_test.h"

namespace cairn::chunkserver {
namespace {

class ChangeRunnerTest : public ChunkserverTest {
 protected:
  ChangeRunnerTest() {
    add_server(4);
    CHECK(world_.run_until([&] { return all_up(); }, 60s));
    create();
    for (uint64_t i = 0; i < 100; ++i) {
      CHECK(write(leader(), kChunk + i % 5, (i % 16) * kBlock, pattern(i, 1)).ok());
    }
  }
  std::string address_of(uint64_t id) { return servers_[id - 1]->host().address(8200).text; }
  wire::CopysetChange change(wire::ChangeKind kind, uint64_t source, uint64_t target) {
    wire::CopysetChange change;
    change.set_copyset(kCopyset);
    change.set_epoch(leader().node()->status().epoch.value());
    change.set_kind(kind);
    change.set_source(source);
    change.set_target(target);
    if (target != 0) change.set_target_address(address_of(target));
    change.set_operator_id(++last_operator_);
    return change;
  }
  /// With the next answer to the chunkserver's heartbeat.
  void order(Server& to, const wire::CopysetChange& change) {
    *mds_.senders[to.id()].next.add_changes() = change;
  }
  /// What the MDS has been told of the operator, by whom it was ordered.
  bool has_ended(Server& at, uint64_t operator_id, Duration limit = 30s) {
    auto& ended = mds_.senders[at.id()].ended;
    return world_.run_until([&] { return ended.contains(operator_id); }, limit);
  }
  std::string outcome(Server& at, uint64_t operator_id) {
    return mds_.senders[at.id()].ended.at(operator_id).first;
  }
  std::vector<NodeId> members() { return leader().node()->status().members; }
  std::vector<Server*> replicas() {
    std::vector<Server*> all;
    for (NodeId member : members()) all.push_back(servers_[member.value() - 1].get());
    return all;
  }
  template <class Request>
  Result<wire::PeersReply> ask(Server& to, wire::Method method, Request request) {
    request.set_copyset(kCopyset);
    auto answer = call<wire::PeersReply>(to, method, request);
    if (!answer) return answer.error();
    return answer->message;
  }
  wire::AddPeerRequest add_request(uint64_t id) {
    wire::AddPeerRequest request;
    request.mutable_peer()->set_node(id);
    request.mutable_peer()->set_address(address_of(id));
    request.set_operator_id(++last_operator_);
    return request;
  }
  uint64_t last_operator_ = 0;
};

TEST_F(ChangeRunnerTest, TheMdsHasAMemberAdded) {
  Server& leads = leader();
  const auto add = change(wire::CHANGE_ADD, 0, 4);
  order(leads, add);
  ASSERT_TRUE(has_ended(leads, add.operator_id()));
  EXPECT_EQ(outcome(leads, add.operator_id()), "");
  EXPECT_EQ(members().size(), 4u);
  EXPECT_TRUE(replicas_agree());
  world_.run_for(5s);
  EXPECT_EQ(mds_.senders[leads.id()].ended.at(add.operator_id()).second, 1)
      << "told until it was heard, and not again";
  EXPECT_FALSE(mds_.report(leads.id(), kCopyset)->has_change());
}

TEST_F(ChangeRunnerTest, AReplicaMovesWhileClientsWriteAndTheOldOneGoes) {
  Server& leads = leader();
  Server& source = follower();
  const auto move = change(wire::CHANGE_REPLACE, source.id(), 4);
  order(leads, move);
  const auto moved = [&] { return mds_.senders[leads.id()].ended.contains(move.operator_id()); };
  uint64_t writes = 0;
  for (; !moved() && writes < 2000; ++writes) {
    ASSERT_TRUE(write(leads, kChunk + writes % 5, (writes % 16) * kBlock, pattern(writes, 1)).ok());
    world_.run_for(5ms);
  }
  ASSERT_TRUE(moved());
  EXPECT_EQ(outcome(leads, move.operator_id()), "");
  EXPECT_TRUE(world_.run_until([&] { return !source.node(); }, 5s)) << "the leader told it to go";
  EXPECT_EQ(source->raft()->removed(), std::vector{GroupId(kCopyset)});
  EXPECT_TRUE(replicas_agree(replicas()));
}

TEST_F(ChangeRunnerTest, TheLeaderItselfIsReplacedAndStillTellsHowItEnded) {
  Server& leads = leader();
  const auto move = change(wire::CHANGE_REPLACE, leads.id(), 4);
  order(leads, move);
  ASSERT_TRUE(has_ended(leads, move.operator_id()));
  EXPECT_EQ(outcome(leads, move.operator_id()), "");
  EXPECT_NE(leader().id(), leads.id());
  EXPECT_TRUE(replicas_agree(replicas()));
}

TEST_F(ChangeRunnerTest, ACopyStaysBelowTheRateThatTheMdsAllows) {
  Server& leads = leader();
  auto add = change(wire::CHANGE_ADD, 0, 4);
  add.set_bytes_per_second_max(64 * kKiB);
  order(leads, add);
  ASSERT_TRUE(world_.run_until([&] { return leads.node()->status().learners.size() == 1; }, 5s));
  const Instant began = world_.now();
  bool has_seen_progress = false;
  ASSERT_TRUE(world_.run_until(
      [&] {
        const auto* report = mds_.report(leads.id(), kCopyset);
        has_seen_progress |= report && report->copy_done_bytes() > 0 &&
                             report->copy_done_bytes() < report->copy_total_bytes();
        return mds_.senders[leads.id()].ended.contains(add.operator_id());
      },
      60s));
  EXPECT_EQ(outcome(leads, add.operator_id()), "");
  EXPECT_GT(world_.now() - began, 3s) << "320 KiB at 64 KiB/s";
  EXPECT_TRUE(has_seen_progress);
  EXPECT_TRUE(replicas_agree());
}

TEST_F(ChangeRunnerTest, AnOrderForAnotherEpochIsRefusedAndReported) {
  Server& leads = leader();
  auto late = change(wire::CHANGE_REMOVE, follower().id(), 0);
  late.set_epoch(late.epoch() - 1);
  order(leads, late);
  ASSERT_TRUE(has_ended(leads, late.operator_id()));
  EXPECT_NE(outcome(leads, late.operator_id()).find("epoch"), std::string::npos);
  EXPECT_EQ(members().size(), 3u);
}

TEST_F(ChangeRunnerTest, ARepeatedOrderIsCarriedOutOnce) {
  Server& leads = leader();
  const auto add = change(wire::CHANGE_ADD, 0, 4);
  for (int i = 0; i < 3; ++i) {
    order(leads, add);
    order(leads, add);
    const size_t count = mds_.senders[leads.id()].count;
    ASSERT_TRUE(world_.run_until([&] { return mds_.senders[leads.id()].count > count; }, 5s));
  }
  ASSERT_TRUE(has_ended(leads, add.operator_id()));
  world_.run_for(3s);
  // A learner, then a voter: two changes, whatever was ordered again afterwards.
  EXPECT_EQ(leads.node()->status().epoch.value(), add.epoch() + 2);
  EXPECT_EQ(members().size(), 4u);
}

TEST_F(ChangeRunnerTest, WhileOneChangeIsUnderWayAnotherIsRefused) {
  Server& leads = leader();
  servers_[3]->crash(sim::CrashKind::kKill);
  const auto add = change(wire::CHANGE_ADD, 0, 4);
  const auto transfer = change(wire::CHANGE_TRANSFER, 0, follower().id());
  order(leads, add);
  order(leads, transfer);
  ASSERT_TRUE(has_ended(leads, transfer.operator_id()));
  EXPECT_NE(outcome(leads, transfer.operator_id()).find("under way"), std::string::npos);
  const auto* report = mds_.report(leads.id(), kCopyset);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->change().operator_id(), add.operator_id());
  EXPECT_EQ(report->change().kind(), wire::CHANGE_ADD);
}

TEST_F(ChangeRunnerTest, ATargetThatDoesNotAnswerIsGivenUpAndMayBeTriedAgain) {
  Server& leads = leader();
  servers_[3]->crash(sim::CrashKind::kKill);
  const auto add = change(wire::CHANGE_ADD, 0, 4);
  order(leads, add);
  ASSERT_TRUE(has_ended(leads, add.operator_id(), 60s));
  EXPECT_NE(outcome(leads, add.operator_id()), "");
  EXPECT_EQ(leads.node()->status().learners.size(), 0u) << "it was asked before it was counted on";
  servers_[3]->start();
  ASSERT_TRUE(world_.run_until([&] { return all_up(); }, 60s));
  const auto again = change(wire::CHANGE_ADD, 0, 4);
  order(leads, again);
  ASSERT_TRUE(has_ended(leads, again.operator_id(), 60s));
  EXPECT_EQ(outcome(leads, again.operator_id()), "");
}

TEST_F(ChangeRunnerTest, ALeftOverLearnerIsRemoved) {
  Server& leads = leader();
  order(leads, change(wire::CHANGE_NONE, 0, 4));  // for its address
  world_.run_for(2s);
  ASSERT_TRUE(world_.run(leads.host(), leads.node()->add_learner(NodeId(4))).ok());
  world_.run_for(2s);
  ASSERT_EQ(mds_.report(leads.id(), kCopyset)->learners_size(), 1);
  const auto remove = change(wire::CHANGE_REMOVE, 4, 0);
  order(leads, remove);
  ASSERT_TRUE(has_ended(leads, remove.operator_id()));
  EXPECT_EQ(outcome(leads, remove.operator_id()), "");
  EXPECT_TRUE(leads.node()->status().learners.empty());
}

TEST_F(ChangeRunnerTest, AChangeOfTheLeaderIsToldSoon) {
  Server& leads = leader();
  Server& next = follower();
  const auto transfer = change(wire::CHANGE_TRANSFER, 0, next.id());
  order(leads, transfer);
  ASSERT_TRUE(world_.run_until([&] { return next.node() && next.node()->is_ready_leader(); }, 10s));
  const Instant led_at = world_.now();
  ASSERT_TRUE(world_.run_until(
      [&] {
        const auto* report = mds_.report(next.id(), kCopyset);
        return report && report->is_leader();
      },
      5s));
  EXPECT_LT(world_.now() - led_at, 300ms) << "the interval is a second";
  ASSERT_TRUE(has_ended(leads, transfer.operator_id()));
  EXPECT_EQ(outcome(leads, transfer.operator_id()), "");
}

TEST_F(ChangeRunnerTest, HeartbeatsCountWhatClientsDidSinceTheLastOne) {
  Server& leads = leader();
  world_.run_for(3s);
  uint64_t writes = 0, written_bytes = 0;
  size_t seen = mds_.senders[leads.id()].count;
  for (uint64_t i = 0; i < 50; ++i) {
    ASSERT_TRUE(write(leads, kChunk, 0, pattern(i, 2)).ok());
    world_.run_for(50ms);
    auto& sender = mds_.senders[leads.id()];
    if (std::exchange(seen, sender.count) == sender.count) continue;
    writes += sender.last.writes();
    written_bytes += sender.last.written_bytes();
  }
  EXPECT_GT(writes, 20u);
  EXPECT_LE(writes, 50u);
  EXPECT_EQ(written_bytes, writes * 2 * kBlock);
}

// ---- by operators

TEST_F(ChangeRunnerTest, AnOperatorAddsAPeerAtTheLeaderAlone) {
  Server& leads = leader();
  const auto request = add_request(4);
  auto elsewhere = ask(follower(), wire::Method::kAddPeer, request);
  ASSERT_TRUE(elsewhere.ok());
  EXPECT_EQ(elsewhere->redirect().leader_node(), leads.id());
  auto added = ask(leads, wire::Method::kAddPeer, request);
  ASSERT_TRUE(added.ok()) << added.error().describe();
  EXPECT_TRUE(added->is_done());
  EXPECT_EQ(added->members_size(), 4);
  const uint64_t epoch = added->epoch();
  added = ask(leads, wire::Method::kAddPeer, request);
  ASSERT_TRUE(added.ok()) << "the answer was lost, and it asks again";
  EXPECT_TRUE(added->is_done());
  EXPECT_EQ(added->epoch(), epoch) << "nothing was done twice";
  EXPECT_TRUE(replicas_agree());
}

TEST_F(ChangeRunnerTest, AnOperatorRemovesAPeerAndTransfersTheLeadership) {
  Server& leads = leader();
  Server& next = follower();
  wire::TransferLeaderRequest transfer;
  transfer.set_peer(next.id());
  transfer.set_operator_id(++last_operator_);
  auto moved = ask(leads, wire::Method::kTransferLeader, transfer);
  ASSERT_TRUE(moved.ok()) << moved.error().describe();
  EXPECT_TRUE(moved->is_done());
  EXPECT_EQ(leader().id(), next.id());
  wire::RemovePeerRequest remove;
  remove.set_peer(leads.id());
  remove.set_epoch(1);
  remove.set_operator_id(++last_operator_);
  EXPECT_EQ(ask(next, wire::Method::kRemovePeer, remove).code(), Errc::kStaleEpoch);
  remove.set_epoch(0);
  auto removed = ask(next, wire::Method::kRemovePeer, remove);
  ASSERT_TRUE(removed.ok()) << removed.error().describe();
  EXPECT_EQ(removed->members_size(), 2);
  EXPECT_TRUE(world_.run_until([&] { return !leads.node(); }, 5s));
}

TEST_F(ChangeRunnerTest, AnOperatorChangesThePeersInOneGo) {
  Server& leads = leader();
  Server& leaves = follower();
  wire::ChangePeersRequest request;
  request.set_operator_id(++last_operator_);
  EXPECT_EQ(ask(leads, wire::Method::kChangePeers, request).code(), Errc::kInvalidArgument);
  for (auto& server : servers_) {
    if (server.get() == &leaves) continue;
    auto* peer = request.add_peers();
    peer->set_node(server->id());
    peer->set_address(address_of(server->id()));
  }
  auto changed = ask(leads, wire::Method::kChangePeers, request);
  ASSERT_TRUE(changed.ok()) << changed.error().describe();
  EXPECT_TRUE(changed->is_done());
  EXPECT_EQ(changed->members_size(), 3);
  EXPECT_TRUE(replicas_agree(replicas()));
}

TEST_F(ChangeRunnerTest, AResetMustAcceptTheLossAndMakesTheSurvivorServeAgain) {
  Server& survivor = leader();
  for (auto& server : servers_) {
    if (server.get() != &survivor) server->crash(sim::CrashKind::kKill);
  }
  world_.run_for(5s);
  EXPECT_FALSE(write(survivor, kChunk, 0, pattern(1, 1)).ok());
  wire::ResetPeersRequest request;
  auto* peer = request.add_peers();
  peer->set_node(survivor.id());
  peer->set_address(address_of(survivor.id()));
  EXPECT_EQ(ask(survivor, wire::Method::kResetPeers, request).code(), Errc::kInvalidArgument);
  request.set_accept_loss(true);
  auto reset = ask(survivor, wire::Method::kResetPeers, request);
  ASSERT_TRUE(reset.ok()) << reset.error().describe();
  EXPECT_EQ(reset->members_size(), 1);
  ASSERT_TRUE(write(survivor, kChunk, 0, pattern(77, 1)).ok());
  EXPECT_TRUE(reads(survivor, kChunk, 0, pattern(77, 1)));
}

TEST_F(ChangeRunnerTest, ASnapshotIsTakenAndTheLeaderNamed) {
  Server& leads = leader();
  wire::GetLeaderRequest who;
  who.set_copyset(kCopyset);
  for (size_t i = 0; i < 3; ++i) {
    auto named = call<wire::GetLeaderReply>(*servers_[i], wire::Method::kGetLeader, who);
    ASSERT_TRUE(named.ok());
    EXPECT_EQ(named->message.leader().leader_node(), leads.id());
    EXPECT_EQ(named->message.leader().leader_address(), address_of(leads.id()));
  }
  wire::SnapshotCopysetRequest snapshot;
  snapshot.set_copyset(kCopyset);
  auto taken = call<wire::SnapshotCopysetReply>(leads, wire::Method::kSnapshotCopyset, snapshot);
  ASSERT_TRUE(taken.ok());
  EXPECT_EQ(taken->message.snapshot_index(), leads.node()->status().applied.value());
}

TEST_F(ChangeRunnerTest, AStopDuringAChangeIsSwift) {
  Server& leads = leader();
  servers_[3]->crash(sim::CrashKind::kKill);
  order(leads, change(wire::CHANGE_ADD, 0, 4));
  world_.run_for(1200ms);
  const Instant began = world_.now();
  world_.run(leads.host(), leads->stop(), 10s);
  EXPECT_LT(world_.now() - began, 5s);
}

}  // namespace
}  // namespace cairn::chunkserver
