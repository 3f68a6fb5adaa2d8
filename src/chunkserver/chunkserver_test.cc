// Three chunkservers on simulated hosts, by their RPCs.
#include "chunkserver/chunkserver_bench_test.h"

namespace cairn::chunkserver {
namespace {

TEST_F(ChunkserverTest, WhatWasWrittenIsReadAndStandsOnAllReplicas) {
  create();
  Server& leads = leader();
  ASSERT_TRUE(write(leads, kChunk, 2 * kBlock, pattern(1, 3)).ok());
  EXPECT_TRUE(reads(leads, kChunk, 2 * kBlock, pattern(1, 3)));
  auto zeros = read(leads, kChunk, 0, 100);
  ASSERT_TRUE(zeros.ok());
  EXPECT_TRUE(std::ranges::all_of(zeros->view(), [](std::byte b) { return b == std::byte{0}; }));
  EXPECT_TRUE(replicas_agree());
}

TEST_F(ChunkserverTest, AFollowerNamesTheLeader) {
  create();
  Server& leads = leader();
  auto request = write_request(kChunk, 0, kBlock);
  auto answer =
      call<wire::WriteChunkReply>(follower(), wire::Method::kWriteChunk, request, {pattern(1, 1)});
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->message.redirect().leader_node(), leads.id());
  EXPECT_EQ(answer->message.redirect().leader_address(), leads.host().address(8200).text);
}

TEST_F(ChunkserverTest, ADiscardedChunkIsGoneOnAllReplicasUntilItIsWrittenAgain) {
  create();
  const auto discard = [&](uint32_t offset, uint32_t size) {
    auto request = write_request(kChunk, offset, size);
    request.set_kind(wire::CHUNK_WRITE_DISCARD);
    auto answer = call<wire::WriteChunkReply>(leader(), wire::Method::kWriteChunk, request);
    return answer.ok() && !answer->message.has_redirect();
  };
  const auto files_count = [&] {
    uint32_t count = 0;
    for (auto& server : servers_) {
      wire::CopysetStatusRequest request;
      request.set_copyset(kCopyset);
      auto answer = call<wire::CopysetStatusReply>(*server, wire::Method::kCopysetStatus, request);
      if (answer.ok()) count += answer->message.copysets(0).chunks_count();
    }
    return count;
  };
  wire::CountChunksRequest count;
  count.set_copyset(kCopyset);
  for (uint64_t chunk : {kChunk, kChunk + 1, kChunk + 2}) count.add_chunks(chunk);
  const auto counted = [&] {
    auto answer = call<wire::CountChunksReply>(leader(), wire::Method::kCountChunks, count);
    return answer.ok() ? answer->message.chunks_count() : 99;
  };
  ASSERT_TRUE(write(leader(), kChunk, 0, pattern(1, 4)).ok());
  ASSERT_TRUE(write(leader(), kChunk + 1, 0, pattern(2, 1)).ok());
  EXPECT_EQ(counted(), 2u);
  auto elsewhere = call<wire::CountChunksReply>(follower(), wire::Method::kCountChunks, count);
  ASSERT_TRUE(elsewhere.ok());
  EXPECT_EQ(elsewhere->message.redirect().leader_node(), leader().id());

  ASSERT_TRUE(discard(kBlock, kChunkBytes - kBlock));
  EXPECT_EQ(counted(), 2u) << "a part of a chunk keeps its file";
  EXPECT_TRUE(reads(leader(), kChunk, 0, pattern(1, 4).slice(0, kBlock)));
  ASSERT_TRUE(discard(0, kChunkBytes));
  EXPECT_EQ(counted(), 1u);
  EXPECT_TRUE(reads(leader(), kChunk, 0, Buffer::copy_of(std::string(4 * kBlock, '\0'))));
  EXPECT_TRUE(replicas_agree());
  EXPECT_EQ(files_count(), 3u) << "the other chunk's";
  ASSERT_TRUE(write(leader(), kChunk, kBlock, pattern(3, 1)).ok());
  EXPECT_TRUE(reads(leader(), kChunk, 0, Buffer::copy_of(std::string(kBlock, '\0'))));
  EXPECT_TRUE(reads(leader(), kChunk, kBlock, pattern(3, 1)));
  EXPECT_TRUE(replicas_agree());
  EXPECT_EQ(files_count(), 6u);
}

TEST_F(ChunkserverTest, RefusesRequestsThatMakeNoSense) {
  create();
  Server& leads = leader();
  const auto code = [&](const wire::WriteChunkRequest& request, const Buffer& data) {
    return call<wire::WriteChunkReply>(leads, wire::Method::kWriteChunk, request, {data}).code();
  };
  EXPECT_EQ(code(write_request(kChunk, kChunkBytes, kBlock), pattern(1, 1)),
            Errc::kInvalidArgument);
  EXPECT_EQ(code(write_request(kChunk, UINT32_MAX, kBlock), pattern(1, 1)), Errc::kInvalidArgument);
  EXPECT_EQ(code(write_request(kChunk, 0, kBlock), pattern(1, 2)), Errc::kInvalidArgument);
  auto unknown = write_request(kChunk, 0, kBlock);
  unknown.set_kind(static_cast<wire::ChunkWriteKind>(9));
  EXPECT_EQ(code(unknown, Buffer()), Errc::kInvalidArgument) << "it is not a write of zeroes";
  auto wide = write_request(kChunk, 0, kBlock);
  wide.set_client(1);
  wide.set_sequence(5000);
  EXPECT_EQ(code(wide, pattern(1, 1)), Errc::kInvalidArgument);
  auto elsewhere = write_request(kChunk, 0, kBlock);
  elsewhere.mutable_target()->set_copyset(99);
  EXPECT_EQ(code(elsewhere, pattern(1, 1)), Errc::kNotFound);
}

TEST_F(ChunkserverTest, PartsOfABlockWrittenAtOnceAndBesideWholeOnesLoseNothing) {
  create();
  Server& leads = leader();
  ASSERT_TRUE(write(leads, kChunk, 0, pattern(1, 2)).ok());
  struct Job {
    std::optional<Result<rpc::Answer<wire::WriteChunkReply>>> answer;
    static io::Task<void> run(io::Task<Result<rpc::Answer<wire::WriteChunkReply>>> task, Job* job) {
      job->answer.emplace(co_await std::move(task));
    }
  };
  std::deque<Job> jobs;
  // Sixteen parts of block 0, and block 1 as a whole again and again.
  for (uint32_t i = 0; i < 16; ++i) {
    const Buffer part = pattern(100 + i, 1).slice(0, 256);
    auto request = write_request(kChunk, i * 256, 256);
    client_host_.spawn(
        Job::run(client_->call<wire::WriteChunkReply>(
                     leads.host().address(8200), wire::Method::kWriteChunk, request, {part}, 5s),
                 &jobs.emplace_back()));
    client_host_.spawn(Job::run(client_->call<wire::WriteChunkReply>(
                                    leads.host().address(8200), wire::Method::kWriteChunk,
                                    write_request(kChunk, kBlock, kBlock), {pattern(i, 1)}, 5s),
                                &jobs.emplace_back()));
  }
  ASSERT_TRUE(world_.run_until(
      [&] { return std::ranges::all_of(jobs, [](Job& j) { return j.answer.has_value(); }); }, 20s));
  for (Job& job : jobs) EXPECT_TRUE(job.answer->ok());
  for (uint32_t i = 0; i < 16; ++i) {
    EXPECT_TRUE(reads(leads, kChunk, i * 256, pattern(100 + i, 1).slice(0, 256))) << i;
  }
  EXPECT_TRUE(replicas_agree());
}

TEST_F(ChunkserverTest, AcknowledgedWritesSurviveTheLossOfPowerOfAll) {
  create();
  for (uint64_t i = 0; i < 100; ++i) {
    ASSERT_TRUE(write(leader(), kChunk + i % 5, (i % 16) * kBlock, pattern(i, 1)).ok());
  }
  for (auto& server : servers_) server->crash(sim::CrashKind::kPowerLoss);
  for (auto& server : servers_) server->start();
  ASSERT_TRUE(world_.run_until([&] { return all_up(); }, 60s));
  Server& leads = leader();
  for (uint64_t i = 80; i < 100; ++i) {
    EXPECT_TRUE(reads(leads, kChunk + i % 5, (i % 16) * kBlock, pattern(i, 1))) << i;
  }
  EXPECT_TRUE(replicas_agree());
}

TEST_F(ChunkserverTest, AReplicaThatLagsFetchesChunksAndSoDoesOneThatIsKilledMeanwhile) {
  create();
  Server& slow = follower();
  cut_off(slow);
  for (uint64_t i = 0; i < 400; ++i) {
    ASSERT_TRUE(write(leader(), kChunk + i % 5, (i % 16) * kBlock, pattern(i, 1)).ok());
  }
  world_.run_for(1s);
  Counter& fetched = slow.host().env().metrics.counter("cairn_chunkserver_fetched_bytes_total", "");
  world_.fabric().heal_all();
  ASSERT_TRUE(world_.run_until([&] { return fetched.value() > 0; }, 30s));
  slow.crash(sim::CrashKind::kPowerLoss);
  slow.start();
  ASSERT_TRUE(world_.run_until([&] { return all_up(); }, 60s));
  EXPECT_TRUE(replicas_agree());
  EXPECT_GT(slow.host().env().metrics.counter("cairn_chunkserver_fetched_bytes_total", "").value(),
            0u);
}

TEST_F(ChunkserverTest, AFetchFromAServerWithoutTheCopysetIsNotAnEmptyChunk) {
  wire::FetchChunkRequest request;
  request.set_copyset(kCopyset);
  request.set_chunk(kChunk);
  request.set_size_bytes(kBlock);
  EXPECT_EQ(call<wire::FetchChunkReply>(*servers_[0], wire::Method::kFetchChunk, request).code(),
            Errc::kUnavailable);
}

TEST_F(ChunkserverTest, ARottenBlockIsReadFromAnotherReplicaAndMended) {
  create();
  Server& leads = leader();
  ASSERT_TRUE(write(leads, kChunk, 0, pattern(1, 8)).ok());
  for (uint64_t block : {0, 3, 6}) rot(leads, kChunk, block);
  EXPECT_TRUE(reads(leads, kChunk, 0, pattern(1, 8)));
  EXPECT_TRUE(replicas_agree()) << "every block is read from the disk there";
  auto& metrics = leads.host().env().metrics;
  EXPECT_EQ(metrics.counter("cairn_chunkserver_repaired_blocks_total", "").value(), 3u);
}

TEST_F(ChunkserverTest, ABlockThatIsRottenOnTwoReplicasIsReadFromTheThird) {
  create();
  Server& leads = leader();
  ASSERT_TRUE(write(leads, kChunk, 0, pattern(1, 2)).ok());
  EXPECT_TRUE(replicas_agree());
  rot(leads, kChunk, 0);
  rot(follower(), kChunk, 0);
  EXPECT_TRUE(reads(leads, kChunk, 0, pattern(1, 2)));
}

TEST_F(ChunkserverTest, APartOfARottenBlockCanBeWritten) {
  create();
  Server& leads = leader();
  ASSERT_TRUE(write(leads, kChunk, 0, pattern(1, 1)).ok());
  rot(leads, kChunk, 0);
  ASSERT_TRUE(write(leads, kChunk, 512, pattern(2, 1).slice(0, 512)).ok());
  EXPECT_TRUE(reads(leads, kChunk, 512, pattern(2, 1).slice(0, 512)));
  EXPECT_TRUE(reads(leads, kChunk, 1024, pattern(1, 1).slice(1024, 1024)));
  EXPECT_TRUE(replicas_agree());
}

TEST_F(ChunkserverTest, AChunkWhoseChecksumsAreLostIsMendedWholeWhenItIsRead) {
  create();
  ASSERT_TRUE(write(leader(), kChunk, 0, pattern(1, 16)).ok());
  for (uint64_t i = 0; i < 60; ++i) {
    ASSERT_TRUE(write(leader(), kChunk + 1, 0, pattern(i, 1)).ok());  // a snapshot flushes
  }
  world_.run_for(2s);
  Server& broken = leader();
  broken.crash(sim::CrashKind::kKill);
  const chunk::ChunkLayout layout(kChunkBytes);
  for (size_t slot : {0, 1}) {
    ASSERT_TRUE(broken.host().disk().corrupt(path_of(kChunk), layout.slot_offset(slot) + 1).ok());
  }
  broken.start();
  ASSERT_TRUE(world_.run_until([&] { return all_up(); }, 60s));
  world_.run_for(2s);
  for (int tries = 0; tries < 20 && &leader() != &broken; ++tries) {
    multiraft::Node* node = leader().node();
    (void)world_.run(leader().host(), node->transfer_leadership(NodeId(broken.id())), 10s);
  }
  ASSERT_EQ(&leader(), &broken);
  EXPECT_TRUE(reads(broken, kChunk, 0, pattern(1, 16)));
  EXPECT_TRUE(replicas_agree());
}

TEST_F(ChunkserverTest, ABlockThatIsRottenEverywhereIsReportedAndNeverServed) {
  create();
  Server* leads = &leader();
  ASSERT_TRUE(write(*leads, kChunk, 0, pattern(1, 2)).ok());
  EXPECT_TRUE(replicas_agree());
  for (auto& server : servers_) rot(*server, kChunk, 0);
  EXPECT_EQ(read(*leads, kChunk, 0, kBlock).code(), Errc::kCorrupt);
  EXPECT_TRUE(reads(*leads, kChunk, kBlock, pattern(1, 2).slice(kBlock, kBlock)));
  ASSERT_TRUE(write(*leads, kChunk, 0, pattern(3, 1)).ok());
  EXPECT_TRUE(reads(*leads, kChunk, 0, pattern(3, 1))) << "written again, it is sound";
}

// (Profile heal of the simulator, seed 6.)
TEST_F(ChunkserverTest, ABlockThatAReplicaOutOfReachMayHaveIsNotLost) {
  create();
  Server* leads = &leader();
  ASSERT_TRUE(write(*leads, kChunk, 0, pattern(1, 2)).ok());
  EXPECT_TRUE(replicas_agree());
  Server& rotten_too = follower();
  Server* sound = nullptr;
  for (auto& server : servers_) {
    if (server.get() != leads && server.get() != &rotten_too) sound = server.get();
  }
  rot(*leads, kChunk, 0);
  rot(rotten_too, kChunk, 0);
  world_.fabric().cut_both(leads->host(), sound->host());
  const Errc code = read(*leads, kChunk, 0, kBlock).code();
  EXPECT_TRUE(code == Errc::kUnavailable || code == Errc::kTimeout) << static_cast<int>(code);
  world_.fabric().heal_all();
  world_.run_for(2s);
  EXPECT_TRUE(reads(leader(), kChunk, 0, pattern(1, 1)));
}

TEST_F(ChunkserverTest, AFullDiskRefusesNewChunksAndServesTheOthers) {
  create();
  ASSERT_TRUE(write(leader(), kChunk, 0, pattern(1, 1)).ok());
  for (auto& server : servers_) server->host().disk().set_capacity(16 * kMiB);
  Status last = ok();
  uint64_t made = 1;
  for (; made < 100 && last.ok(); ++made) {
    world_.run_for(1100ms);
    last = write(leader(), kChunk + made, 0, pattern(made, 1));
  }
  EXPECT_EQ(last.code(), Errc::kNoSpace);
  Server& leads = leader();
  EXPECT_TRUE(reads(leads, kChunk, 0, pattern(1, 1)));
  EXPECT_TRUE(write(leads, kChunk, 0, pattern(2, 1)).ok()) << "it has its room already";
  EXPECT_TRUE(reads(leads, kChunk, 0, pattern(2, 1)));
}

TEST_F(ChunkserverTest, AFailedDiskIsTakenOutAndTheOthersGoOn) {
  create();
  Server& dead = leader();
  ASSERT_TRUE(write(dead, kChunk, 0, pattern(1, 1)).ok());
  dead.host().disk().set_error_rate(sim::DiskOperation::kWrite, 1.0);
  dead.host().disk().set_error_rate(sim::DiskOperation::kSync, 1.0);
  EXPECT_FALSE(write(dead, kChunk, kBlock, pattern(2, 1)).ok());
  ASSERT_TRUE(dead->raft()->disk_error().has_value());
  Server& next = leader();
  ASSERT_NE(&next, &dead);
  EXPECT_TRUE(write(next, kChunk, 0, pattern(3, 1)).ok());
  EXPECT_TRUE(reads(next, kChunk, 0, pattern(3, 1)));
}

io::Task<Status> remove_all(io::Disk* disk, std::string directory) {
  for (const std::string& name : CO_TRY(co_await disk->list(directory))) {
    CO_TRY(co_await disk->remove(directory + "/" + name));
  }
  co_return ok();
}

TEST_F(ChunkserverTest, ADiskWithChunksAndWithoutItsLogDoesNotStart) {
  create();
  ASSERT_TRUE(write(leader(), kChunk, 0, pattern(1, 1)).ok());
  EXPECT_TRUE(replicas_agree());
  Server& server = *servers_[0];
  server.crash(sim::CrashKind::kKill);
  server.host().boot();
  ASSERT_TRUE(world_.run(server.host(), remove_all(&server.host().disk(), "wal")).ok());
  server.start();
  ASSERT_TRUE(world_.run_until([&] { return server.started.has_value(); }, 10s));
  EXPECT_EQ(server.started->code(), Errc::kNotFound) << "it may have voted and acknowledged";
}

TEST_F(ChunkserverTest, StopsWithCallsUnderWay) {
  create();
  Server& leads = leader();
  cut_off(leads);
  struct Job {
    static io::Task<void> run(io::Task<Result<rpc::Answer<wire::WriteChunkReply>>> task,
                              Errc* code) {
      auto answer = co_await std::move(task);
      *code = answer.code();
    }
  };
  Errc code = Errc::kOk;
  client_host_.spawn(Job::run(
      client_->call<wire::WriteChunkReply>(leads.host().address(8200), wire::Method::kWriteChunk,
                                           write_request(kChunk, 0, kBlock), {pattern(1, 1)}, 5s),
      &code));
  world_.run_for(10ms);
  world_.run(leads.host(), leads->stop(), 5s);
  world_.run_for(100ms);
  EXPECT_EQ(code, Errc::kClosed);
}

TEST_F(ChunkserverTest, StopDuringAStartWaitsForIt) {
  Server& server = *servers_[0];
  server.crash(sim::CrashKind::kKill);
  server.start();
  EXPECT_FALSE(server.started.has_value());
  world_.run(server.host(), server->stop(), 10s);
  ASSERT_TRUE(server.started.has_value()) << "or it would go on in what is destroyed next";
  EXPECT_EQ(server.started->code(), Errc::kClosed);
}

}  // namespace
}  // namespace cairn::chunkserver
