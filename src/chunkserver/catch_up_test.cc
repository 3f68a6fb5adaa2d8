// Replicas that lag are caught up by boundary, beside the log that goes on.
#include "chunkserver/chunkserver_bench_test.h"

namespace cairn::chunkserver {
namespace {

class CatchUpTest : public ChunkserverTest {
 protected:
  /// Restarts the follower with so slow a copy that the test can look at it.
  void slow_down(Server& server, uint64_t bytes_per_second) {
    server.options().fetch_bytes_per_second = bytes_per_second;
    server.crash(sim::CrashKind::kKill);
    server.start();
    ASSERT_TRUE(world_.run_until([&] { return all_up(); }, 60s));
    world_.run_for(2s);
  }
  void fill(uint64_t chunks_count) {
    for (uint64_t i = 0; i < chunks_count; ++i) {
      ASSERT_TRUE(write(leader(), kChunk + i, 0, pattern(i + 1, 16)).ok());
    }
  }
  void write_one_block(uint64_t times, uint64_t stamp) {
    for (uint64_t i = 0; i < times; ++i) {
      ASSERT_TRUE(write(leader(), kChunk, 0, pattern(stamp + i, 1)).ok());
    }
  }
  /// More than is on its way to one that is cut off, which gets that when the links are whole
  /// again.
  void write_past_the_window(uint64_t stamp = 1000) { write_one_block(400, stamp); }
  /// More than the leader keeps of its log.
  void write_past_the_log(uint64_t stamp = 2000) {
    write_one_block(80, stamp);
    world_.run_for(1s);
  }
  /// It misses new content of all chunks, and returns.
  void falls_behind(Server& away, uint64_t chunks_count, uint64_t stamp = 50) {
    cut_off(away);
    write_past_the_window(100 * stamp);
    for (uint64_t i = 0; i < chunks_count; ++i) {
      ASSERT_TRUE(write(leader(), kChunk + i, 0, pattern(stamp + i, 16)).ok());
    }
    write_past_the_log(200 * stamp);
    world_.fabric().heal_all();
    ASSERT_TRUE(becomes_incomplete(away)) << "stamp " << stamp;
  }
  uint64_t fetched_bytes(Server& server) {
    return server.host().env().metrics.counter("cairn_chunkserver_fetched_bytes_total", "").value();
  }
  uint32_t missing(Server& server) {
    wire::CopysetStatusRequest request;
    request.set_copyset(kCopyset);
    auto answer = call<wire::CopysetStatusReply>(server, wire::Method::kCopysetStatus, request);
    return answer ? answer->message.copysets(0).chunks_missing_count() : 0;
  }
  bool becomes_incomplete(Server& server) {
    return wait([&] { return missing(server) > 0; });
  }
  template <typename Condition>
  bool wait(Condition condition) {
    for (int i = 0; i < 2000; ++i) {
      if (condition()) return true;
      world_.run_for(10ms);
    }
    return false;
  }
};

TEST_F(CatchUpTest, ChunksThatAreDiscardedMeanwhileStayAwayAndThoseWrittenAgainComeBack) {
  create();
  fill(8);
  Server& away = follower();
  slow_down(away, 64 * kKiB);
  falls_behind(away, 8);
  const uint32_t missing_before = missing(away);
  ASSERT_GT(missing_before, 4u);
  // The first is being copied, the others are above the boundary.
  for (uint64_t chunk : {kChunk, kChunk + 3, kChunk + 5, kChunk + 6}) {
    auto request = write_request(chunk, 0, kChunkBytes);
    request.set_kind(wire::CHUNK_WRITE_DISCARD);
    ASSERT_TRUE(call<wire::WriteChunkReply>(leader(), wire::Method::kWriteChunk, request).ok());
  }
  for (uint64_t chunk : {kChunk, kChunk + 5}) {
    ASSERT_TRUE(write(leader(), chunk, 2 * kBlock, pattern(900 + chunk, 3)).ok());
  }
  ASSERT_TRUE(wait([&] { return missing(away) < missing_before; }));
  ASSERT_TRUE(world_.run_until([&] { return missing(away) == 0; }, 120s));
  EXPECT_TRUE(replicas_agree());
  for (uint64_t chunk : {kChunk, kChunk + 5}) {
    EXPECT_TRUE(reads(leader(), chunk, 2 * kBlock, pattern(900 + chunk, 3)));
    EXPECT_TRUE(reads(leader(), chunk, 0, Buffer::copy_of(std::string(2 * kBlock, '\0'))));
  }
}

TEST_F(CatchUpTest, AReturningReplicaCopiesOnlyWhatChanged) {
  create();
  fill(8);
  Server& away = follower();
  EXPECT_TRUE(replicas_agree());
  cut_off(away);
  write_past_the_window();
  const uint64_t changed_bytes = 20 * kBlock;
  for (uint64_t i = 0; i < 20; ++i) {
    ASSERT_TRUE(write(leader(), kChunk + i % 8, (i / 8) * kBlock, pattern(500 + i, 1)).ok());
  }
  write_past_the_log();
  const uint64_t before = fetched_bytes(away);
  world_.fabric().heal_all();
  ASSERT_TRUE(wait([&] { return fetched_bytes(away) > before; }));
  EXPECT_TRUE(replicas_agree());
  EXPECT_LE(fetched_bytes(away) - before, changed_bytes * 12 / 10);
}

TEST_F(CatchUpTest, TheCopyEndsWhileWritesGoOnAndLosesNoneOfThem) {
  create();
  fill(8);
  Server& away = follower();
  slow_down(away, 256 * kKiB);
  falls_behind(away, 8);
  uint64_t writes_count = 0;
  for (; writes_count < 20'000 && missing(away) > 0; ++writes_count) {
    const uint64_t chunk = kChunk + writes_count % 9;
    const auto block = static_cast<uint32_t>(writes_count * 7 % 16);
    ASSERT_TRUE(write(leader(), chunk, block * kBlock, pattern(9000 + writes_count, 1)).ok());
  }
  EXPECT_GT(writes_count, 100u) << "the log was cut several times meanwhile";
  EXPECT_EQ(missing(away), 0u);
  EXPECT_TRUE(replicas_agree());
}

TEST_F(CatchUpTest, AChunkThatIsDeletedDuringTheCopyStaysDeleted) {
  create();
  fill(6);
  Server& away = follower();
  slow_down(away, 64 * kKiB);
  falls_behind(away, 6);
  for (uint64_t i = 0; i < 6; ++i) {
    wire::DeleteChunkRequest request;
    request.mutable_target()->set_copyset(kCopyset);
    request.mutable_target()->set_chunk(kChunk + i);
    ASSERT_TRUE(call<wire::DeleteChunkReply>(leader(), wire::Method::kDeleteChunk, request).ok());
    world_.run_for(40ms);
  }
  EXPECT_TRUE(wait([&] { return missing(away) == 0; }));
  EXPECT_TRUE(replicas_agree());
  EXPECT_TRUE(away->store().list(CopysetId(kCopyset))->empty());
}

TEST_F(CatchUpTest, ACrashAtAnyPointOfTheCopyIsHarmless) {
  create();
  fill(6);
  Server& away = follower();
  slow_down(away, 1 * kMiB);
  for (uint64_t round = 0; round < 12; ++round) {
    falls_behind(away, 6, 100 * (round + 1));
    world_.run_for(Duration(round * 25ms));
    away.crash(round % 2 == 0 ? sim::CrashKind::kPowerLoss : sim::CrashKind::kKill);
    ASSERT_TRUE(write(leader(), kChunk + round % 6, kBlock, pattern(7 * round, 2)).ok());
    away.start();
    ASSERT_TRUE(world_.run_until([&] { return all_up(); }, 60s));
    ASSERT_TRUE(replicas_agree()) << "round " << round;
  }
}

TEST_F(CatchUpTest, AnIncompleteReplicaNeitherLeadsNorCountsAsACopy) {
  create();
  fill(8);
  Server& away = follower();
  slow_down(away, 32 * kKiB);
  falls_behind(away, 8);

  wire::ChunkHashRequest hash;
  hash.set_copyset(kCopyset);
  EXPECT_EQ(call<wire::ChunkHashReply>(away, wire::Method::kChunkHash, hash).code(),
            Errc::kUnavailable);
  wire::FetchChunkRequest fetch;
  fetch.set_copyset(kCopyset);
  fetch.set_chunk(kChunk);
  fetch.set_size_bytes(kBlock);
  EXPECT_EQ(call<wire::FetchChunkReply>(away, wire::Method::kFetchChunk, fetch).code(),
            Errc::kUnavailable);

  // The present leader goes: of the two that are left only one can lead.
  Server& gone = leader();
  gone.crash(sim::CrashKind::kKill);
  Server& next = leader();
  EXPECT_NE(&next, &away);
  EXPECT_TRUE(reads(next, kChunk + 3, 0, pattern(53, 16))) << "once the other has what it lacks";
  gone.start();
  ASSERT_TRUE(world_.run_until([&] { return all_up(); }, 60s));
  away.options().fetch_bytes_per_second = 0;
  away.crash(sim::CrashKind::kKill);
  away.start();
  ASSERT_TRUE(world_.run_until([&] { return all_up(); }, 60s));
  EXPECT_TRUE(replicas_agree());
}

TEST_F(CatchUpTest, WhatOnlyOneCopyAndTheLogOfAnotherHaveIsNotCommittedAndNotLost) {
  create();
  fill(8);
  Server& away = follower();
  slow_down(away, 32 * kKiB);
  falls_behind(away, 8);
  Server& gone = leader();
  Server* third = nullptr;
  for (auto& server : servers_) {
    if (server.get() != &gone && server.get() != &away) third = server.get();
  }
  const LogIndex third_last = third->node()->status().last;
  third->crash(sim::CrashKind::kKill);
  // The leader and the incomplete one have it, which are two of three, and only one copy.
  EXPECT_GT(missing(away), 0u);
  EXPECT_FALSE(write(gone, kChunk + 5, 0, pattern(91, 2)).ok());
  EXPECT_GT(missing(away), 0u);
  EXPECT_GT(away.node()->status().last, third_last) << "it takes entries all the same";
  gone.crash(sim::CrashKind::kPowerLoss);
  third->start();
  ASSERT_TRUE(world_.run_until([&] { return third->is_up(); }, 60s));
  EXPECT_EQ(&leader(), third) << "the one that had more was elected, and gave it away";
  EXPECT_EQ(missing(away), 0u) << "nothing is committed before";
  EXPECT_TRUE(reads(*third, kChunk + 5, 0, pattern(91, 2)));
  gone.start();
  ASSERT_TRUE(world_.run_until([&] { return all_up(); }, 60s));
  EXPECT_TRUE(replicas_agree());
}

TEST_F(CatchUpTest, ANewMemberVotesOnlyWhenItHasEverything) {
  create();
  fill(8);
  write_past_the_log();
  Server& added = add_server(4);
  added.options().fetch_bytes_per_second = 64 * kKiB;
  added.crash(sim::CrashKind::kKill);
  added.start();
  ASSERT_TRUE(world_.run_until([&] { return all_up(); }, 60s));
  auto join = founding(kCopyset);
  join.set_joins(true);
  ASSERT_TRUE(call<wire::CreateCopysetReply>(added, wire::Method::kCreateCopyset, join).ok());
  for (auto& server : servers_) {
    wire::HeartbeatReply reply;
    for (auto& peer : servers_) {
      auto* address = reply.add_peers();
      address->set_node(peer->id());
      address->set_address(peer->host().address(8200).text);
    }
    mds_.senders[server->id()].next = reply;
  }
  world_.run_for(3s);
  struct Job {
    static io::Task<void> run(multiraft::Node* node, std::optional<Status>* result) {
      *result = co_await node->add_member(NodeId(4));
    }
  };
  Server& leads = leader();
  std::optional<Status> result;
  leads.host().spawn(Job::run(leads.node(), &result));
  ASSERT_TRUE(becomes_incomplete(added));
  EXPECT_FALSE(result.has_value());
  ASSERT_TRUE(world_.run_until([&] { return result.has_value(); }, 120s));
  EXPECT_TRUE(result->ok()) << result->error().describe();
  EXPECT_EQ(missing(added), 0u);
  std::vector<Server*> all;
  for (auto& server : servers_) all.push_back(server.get());
  EXPECT_TRUE(replicas_agree(all));
}

}  // namespace
}  // namespace cairn::chunkserver
