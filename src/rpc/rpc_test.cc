/// Server and client against each other in the simulator: time is virtual, so that every limit,
/// timeout and backoff is tested to the millisecond and without waiting.
#include "rpc/rpc_test.h"

#include "sim/io/world.h"

namespace cairn::rpc {
namespace {

using namespace cairn::rpc::testing;

class RpcTest : public ::testing::Test {
 protected:
  RpcTest() : world_(20261122), server_host_(host("server")), client_host_(host("client")) {}
  ~RpcTest() override {
    if (client_host_.is_running())
      client_host_.crash(sim::CrashKind::kKill, [&] { client_.reset(); });
    if (server_host_.is_running()) crash_server(sim::CrashKind::kKill);
  }

  sim::Host& host(const std::string& name) {
    world_.set_log(&log_);
    return world_.add_host(name);
  }
  io::Address address() { return server_host_.address(7000); }
  void start_server(ServerOptions options = {}, ClusterKey key = kKey) {
    server_host_.execute([&] {
      service_.emplace(server_host_.env());
      server_.emplace(server_host_.env(), options, key);
      service_->add_to(*server_);
      ASSERT_TRUE(server_->listen(address()).ok());
    });
  }
  void start_client(ClientOptions options = {}, ClusterKey key = kKey) {
    client_host_.execute([&] { client_.emplace(client_host_.env(), options, key); });
  }
  void start() {
    start_server();
    start_client();
  }
  void crash_server(sim::CrashKind kind) {
    server_host_.crash(kind, [&] {
      server_.reset();
      service_.reset();
    });
  }
  template <class T>
  Result<T> run(io::Task<Result<T>> task) {
    return world_.run(client_host_, std::move(task));
  }
  template <class T>
  void begin(io::Task<Result<T>> task, Outcome<T>& outcome) {
    client_host_.spawn(keep(std::move(task), &outcome));
  }
  /// A connected peer that has got through the handshake.
  void connect_raw(RawPeer& peer, bool shakes_hands = true) {
    peer.answers_challenge = shakes_hands;
    world_.run(client_host_, RawPeer::connect(&peer, address()));
    world_.run_for(1ms);
    ASSERT_EQ(peer.is_welcome, shakes_hands);
  }
  void expect_still_serving() { EXPECT_TRUE(run(ping(*client_, address())).ok()); }
  uint64_t count(sim::Host& at, std::string_view name) {
    return at.env().metrics.counter(name, "").value();
  }

  LogLines log_;
  sim::World world_;
  sim::Host& server_host_;
  sim::Host& client_host_;
  std::optional<TestService> service_;
  std::optional<Server> server_;
  std::optional<Client> client_;
};

// --- Calls ---

TEST_F(RpcTest, AnAttachmentInPartsComesBackAsOneAlignedBuffer) {
  start();
  const Buffer whole = pattern(1 * kMiB + 100);
  auto answer = run(echo(*client_, address(),
                         {whole.slice(0, 4096), Buffer(), whole.slice(4096, 1 * kMiB - 3996)}));
  ASSERT_TRUE(answer.ok()) << answer.error().describe();
  EXPECT_EQ(answer->message.index(), 42u);
  ASSERT_EQ(answer->attachment.size(), 1u);
  EXPECT_EQ(as_text(answer->attachment[0].view()), as_text(whole.view()));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(answer->attachment[0].data()) % kBlockBytes, 0u);
  EXPECT_TRUE(service_->is_last_aligned);
  EXPECT_GT(service_->last_budget, 900ms);
  EXPECT_LE(service_->last_budget, 1s);
}

TEST_F(RpcTest, ConcurrentCallsShareOneConnectionAndEachGetsItsOwnAnswer) {
  start();
  std::vector<Outcome<Answer<wire::WriteChunkReply>>> outcomes(200);
  for (size_t i = 0; i < outcomes.size(); ++i) {
    begin(echo(*client_, address(), {pattern(100 + i, static_cast<uint8_t>(i))}), outcomes[i]);
  }
  world_.run_for(100ms);
  for (size_t i = 0; i < outcomes.size(); ++i) {
    ASSERT_TRUE(outcomes[i] && outcomes[i]->ok());
    EXPECT_EQ(as_text((**outcomes[i]).attachment[0].view()),
              as_text(pattern(100 + i, static_cast<uint8_t>(i)).view()));
  }
  EXPECT_EQ(server_->connections_count(), 1u);
  EXPECT_EQ(count(client_host_, "cairn_rpc_client_connects_total"), 1u);
  EXPECT_EQ(client_host_.env().metrics.gauge("cairn_rpc_client_inflight_calls", "").value(), 0);
}

TEST_F(RpcTest, TheErrorOfAHandlerReachesItsCallerAndAnUnknownMethodIsUnsupported) {
  start();
  wire::StatVolumeRequest request;
  request.set_name("gone");
  auto answer =
      run(client_->call<wire::StatVolumeReply>(address(), Method::kStatVolume, request, {}, 1s));
  EXPECT_EQ(answer.code(), Errc::kNotFound);
  EXPECT_EQ(answer.error().message(), "no volume gone");
  auto unknown =
      run(client_->call<wire::StatVolumeReply>(address(), Method::kGetSegment, request, {}, 1s));
  EXPECT_EQ(unknown.code(), Errc::kUnsupported);
}

TEST_F(RpcTest, ARequestThatCannotBeReadIsRefusedAndTheConnectionStays) {
  start();
  RawPeer peer(client_host_.env());
  connect_raw(peer);
  OutgoingFrame frame = make_frame(FrameKind::kRequest, as_bytes("\xff\xff\xff"));
  frame.prefix.method = Method::kWriteChunk;
  peer.send_frame(std::move(frame), 5);
  world_.run_for(1ms);
  ASSERT_TRUE(peer.last_error);
  EXPECT_EQ(peer.last_error->code(), Errc::kInvalidArgument);
  EXPECT_FALSE(peer.closed);
}

TEST_F(RpcTest, AMessageOverTheLimitIsNotSent) {
  start();
  wire::StatVolumeRequest request;
  request.set_name(std::string(5 * kMiB, 'x'));
  auto answer =
      run(client_->call<wire::StatVolumeReply>(address(), Method::kStatVolume, request, {}, 1s));
  EXPECT_EQ(answer.code(), Errc::kInvalidArgument);
  auto attachment = run(echo(*client_, address(), {pattern(20 * kMiB), pattern(13 * kMiB)}));
  EXPECT_EQ(attachment.code(), Errc::kInvalidArgument);
  EXPECT_EQ(server_->connections_count(), 0u);
}

TEST_F(RpcTest, OneWayMessagesArriveInOrderOnceConnected) {
  start();
  auto send = [&](uint64_t from) {
    wire::RaftBatch batch;
    batch.set_from_node(from);
    Status status = ok();
    client_host_.execute([&] {
      status = client_->send_one_way(address(), Method::kRaftBatch, batch, {pattern(100)});
    });
    return status;
  };
  EXPECT_EQ(send(1).code(), Errc::kUnavailable) << "nothing is queued before there is a connection";
  world_.run_for(5ms);
  for (uint64_t i = 2; i <= 4; ++i) EXPECT_TRUE(send(i).ok());
  world_.run_for(5ms);
  EXPECT_EQ(service_->taken_from, (std::vector<uint64_t>{2, 3, 4}));
  EXPECT_EQ(service_->taken_bytes, 300u);
}

TEST_F(RpcTest, AnIdleConnectionCostsNothing) {
  start();
  expect_still_serving();
  EXPECT_TRUE(world_.run_until_idle(1s)) << "a timer goes on though nothing is pending";
  EXPECT_EQ(server_->connections_count(), 1u);
}

// --- Deadlines ---

TEST_F(RpcTest, ACallTimesOutWithinASweepAndItsLateAnswerIsDropped) {
  start();
  expect_still_serving();
  const Instant begun = world_.now();
  auto answer = run(held(*client_, address(), 50ms));
  EXPECT_EQ(answer.code(), Errc::kTimeout);
  EXPECT_NE(answer.error().message().find("outcome is unknown"), std::string::npos);
  EXPECT_GE(world_.now() - begun, 50ms);
  EXPECT_LE(world_.now() - begun, 61ms);
  server_host_.execute([&] { service_->release.set(); });
  world_.run_for(5ms);
  EXPECT_EQ(count(client_host_, "cairn_rpc_client_late_answers_total"), 1u);
  expect_still_serving();
  EXPECT_EQ(count(client_host_, "cairn_rpc_client_connects_total"), 1u);
}

TEST_F(RpcTest, ARequestThatExpiredOnItsWayIsNotDispatched) {
  start();
  RawPeer peer(client_host_.env());
  connect_raw(peer);
  OutgoingFrame frame = make_frame(FrameKind::kRequest, {});
  frame.prefix.method = Method::kPing;
  EXPECT_TRUE(attach(frame, {pattern(1000)}, 1000).ok());
  seal(frame, 9, 50);
  peer.send_bytes(frame.head.view());
  world_.run_for(60ms);  // the attachment takes longer than the caller waits
  peer.send_bytes(frame.attachment[0].view());
  world_.run_for(1ms);
  ASSERT_TRUE(peer.last_error);
  EXPECT_EQ(peer.last_error->code(), Errc::kTimeout);
  EXPECT_EQ(service_->pings_count, 0u);
  EXPECT_EQ(count(server_host_, "cairn_rpc_server_expired_total"), 1u);
}

// --- Authentication ---

TEST_F(RpcTest, AWrongKeyIsToldWhatToDoAndTheServerCountsAndLogsIt) {
  start_server();
  start_client({}, ClusterKey{"another key, as long as the first"});
  auto answer = run(ping(*client_, address()));
  EXPECT_EQ(answer.code(), Errc::kUnauthenticated);
  EXPECT_NE(answer.error().message().find("pass the same --key-file as the servers"),
            std::string::npos);
  EXPECT_EQ(count(server_host_, "cairn_rpc_server_unauthenticated_total"), 1u);
  EXPECT_TRUE(log_.contains("cluster key differs"));
  EXPECT_EQ(service_->pings_count, 0u);
  world_.run_for(50ms);
  EXPECT_EQ(server_->connections_count(), 0u);
}

TEST_F(RpcTest, AServerThatSendsTheClientsProofBackIsNotBelieved) {
  start_client();
  RawPeer impostor(server_host_.env());
  std::unique_ptr<io::Listener> listener;
  const Nonce nonce{};
  server_host_.execute([&] {
    auto accept = [&](std::unique_ptr<io::Connection> c) {
      impostor.take(std::move(c));
      impostor.send_frame(make_frame(FrameKind::kChallenge, bytes_of(ChallengeBody{nonce})));
      // What a client of this key would prove, as if it had been recorded.
      const WelcomeBody body{prove(kKey, Role::kClient, nonce, nonce)};
      impostor.send_frame(make_frame(FrameKind::kWelcome, bytes_of(body)));
    };
    listener = std::move(server_host_.env().network.listen(address(), accept)).value();
  });
  auto answer = run(ping(*client_, address()));
  EXPECT_EQ(answer.code(), Errc::kUnauthenticated);
  EXPECT_NE(answer.error().message().find("did not prove"), std::string::npos);
}

TEST_F(RpcTest, WhatIsNotACairnServerIsUnavailable) {
  start_client();
  RawPeer impostor(server_host_.env());
  std::unique_ptr<io::Listener> listener;
  server_host_.execute([&] {
    auto accept = [&](std::unique_ptr<io::Connection> c) {
      impostor.take(std::move(c));
      impostor.send_bytes(as_bytes("SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u2\r\n"));
    };
    listener = std::move(server_host_.env().network.listen(address(), accept)).value();
  });
  auto answer = run(ping(*client_, address()));
  EXPECT_EQ(answer.code(), Errc::kUnavailable);
  EXPECT_NE(answer.error().message().find("not a Cairn frame"), std::string::npos);
}

TEST_F(RpcTest, APeerThatNeverProvesItselfIsClosedAndTheRoomForSuchIsLimited) {
  start_server({.connections_unproven_max = 3});
  start_client();
  std::deque<RawPeer> peers;
  for (int i = 0; i < 4; ++i) {
    peers.emplace_back(client_host_.env());
    connect_raw(peers.back(), false);
  }
  EXPECT_TRUE(peers[3].closed);
  EXPECT_FALSE(peers[0].closed);
  EXPECT_EQ(server_->connections_count(), 3u);
  world_.run_for(3200ms);
  for (const RawPeer& peer : peers) EXPECT_TRUE(peer.closed);
  EXPECT_EQ(server_->connections_count(), 0u);
  expect_still_serving();
}

TEST_F(RpcTest, ARequestBeforeTheHandshakeIsRefused) {
  start();
  RawPeer peer(client_host_.env());
  connect_raw(peer, false);
  OutgoingFrame frame = make_frame(FrameKind::kRequest, {});
  frame.prefix.method = Method::kPing;
  peer.send_frame(std::move(frame), 1);
  world_.run_for(50ms);
  EXPECT_TRUE(peer.refusal && peer.closed);
  EXPECT_EQ(service_->pings_count, 0u);
}

// --- Bad bytes ---

TEST_F(RpcTest, GarbageOnThePortEndsThatConnectionAlone) {
  start();
  expect_still_serving();
  Rng rng(7);
  for (int round = 0; round < 20; ++round) {
    RawPeer peer(client_host_.env());
    connect_raw(peer, round % 2 == 0);
    std::vector<std::byte> garbage(kPrefixBytes + rng.below(5000));
    for (auto& byte : garbage) byte = static_cast<std::byte>(rng.next());
    peer.send_bytes(garbage);
    world_.run_for(50ms);
    EXPECT_TRUE(peer.closed);
    ASSERT_TRUE(peer.refusal);
    EXPECT_EQ(peer.refusal->code(), Errc::kProtocol);
  }
  EXPECT_TRUE(log_.contains("not a Cairn frame"));
  EXPECT_EQ(server_->connections_count(), 1u);
  expect_still_serving();
  EXPECT_EQ(count(client_host_, "cairn_rpc_client_connects_total"), 1u);
}

TEST_F(RpcTest, AHugeLengthAndAFlippedBitEndThatConnectionAloneWithAClearReason) {
  start();
  for (const bool is_huge : {true, false}) {
    RawPeer peer(client_host_.env());
    connect_raw(peer);
    OutgoingFrame frame = make_frame(FrameKind::kRequest, as_bytes("header"));
    if (is_huge) frame.prefix.attachment_bytes = 0xffffffff;
    seal(frame, 1, 0);
    std::vector<std::byte> bytes(frame.head.view().begin(), frame.head.view().end());
    if (!is_huge) bytes.back() ^= std::byte{4};
    peer.send_bytes(bytes);
    world_.run_for(50ms);
    EXPECT_TRUE(peer.closed);
    EXPECT_TRUE(log_.contains(is_huge ? "an attachment of 4294967295 bytes" : "header is damaged"));
  }
  EXPECT_EQ(count(server_host_, "cairn_rpc_server_refused_connections_total"), 2u);
  EXPECT_EQ(server_host_.env().buffers.lent_bytes(), 0u);
  expect_still_serving();
}

// --- Limits ---

TEST_F(RpcTest, CallsOverTheServersLimitAreRefusedAtOnce) {
  start_server({.inflight_calls_max = 4});
  start_client();
  std::vector<Outcome<Answer<wire::ReadChunkReply>>> outcomes(6);
  for (auto& outcome : outcomes) begin(held(*client_, address()), outcome);
  world_.run_for(5ms);
  EXPECT_EQ(service_->held_count, 4);
  for (size_t i = 0; i < 4; ++i) EXPECT_FALSE(outcomes[i]);
  EXPECT_EQ(code_of(outcomes[4]), Errc::kOverloaded);
  EXPECT_EQ(code_of(outcomes[5]), Errc::kOverloaded);
  server_host_.execute([&] { service_->release.set(); });
  world_.run_for(5ms);
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(code_of(outcomes[i]), Errc::kOk);
  EXPECT_EQ(server_->inflight_calls_count(), 0u);
}

TEST_F(RpcTest, BytesOverTheServersLimitAreRefusedAndTheLimitIsGivenBack) {
  start_server({.limits = {.attachment_bytes_max = 1 * kMiB}, .inflight_bytes_max = 1 * kMiB});
  start_client();
  wire::ReadChunkRequest request;
  std::vector<Outcome<Answer<wire::ReadChunkReply>>> outcomes(2);
  for (auto& outcome : outcomes) {
    begin(client_->call<wire::ReadChunkReply>(address(), Method::kReadChunk, request,
                                              {pattern(600 * kKiB)}, 10s),
          outcome);
  }
  world_.run_for(20ms);
  EXPECT_FALSE(outcomes[0]);
  EXPECT_EQ(code_of(outcomes[1]), Errc::kOverloaded);
  server_host_.execute([&] { service_->release.set(); });
  world_.run_for(20ms);
  EXPECT_EQ(code_of(outcomes[0]), Errc::kOk);
  EXPECT_TRUE(run(echo(*client_, address(), {pattern(1 * kMiB)})).ok());
}

TEST_F(RpcTest, CallsOverTheClientsLimitAreNotSent) {
  start_server();
  start_client({.pending_calls_max = 2});
  std::vector<Outcome<Answer<wire::ReadChunkReply>>> outcomes(3);
  for (auto& outcome : outcomes) begin(held(*client_, address()), outcome);
  EXPECT_EQ(code_of(outcomes[2]), Errc::kOverloaded);
  world_.run_for(5ms);
  EXPECT_EQ(service_->held_count, 2);
}

TEST_F(RpcTest, BytesThatCannotLeaveAreBounded) {
  start_server();
  start_client({.unsent_bytes_max = 4 * kMiB});
  expect_still_serving();
  world_.fabric().cut_both(client_host_, server_host_);
  wire::RaftBatch batch;
  int sent_count = 0;
  Status last = ok();
  for (int turn = 0; turn < 2; ++turn) {  // after the first the network has taken its window
    last = ok();
    client_host_.execute([&] {
      while (last.ok() && sent_count < 1000) {
        last = client_->send_one_way(address(), Method::kRaftBatch, batch, {pattern(256 * kKiB)});
        sent_count += last.ok();
      }
    });
    world_.run_for(1ms);
  }
  EXPECT_EQ(last.code(), Errc::kOverloaded);
  EXPECT_GE(sent_count, 16);
  EXPECT_LE(sent_count, 34) << "the bound and one message, twice";
  auto answer = run(ping(*client_, address(), 100ms));
  EXPECT_EQ(answer.code(), Errc::kOverloaded);
}

TEST_F(RpcTest, AServerReadsNoMoreFromAPeerThatDoesNotReadItsAnswers) {
  start_server({.unsent_bytes_max = 4 * kMiB});
  start_client();
  server_host_.execute([&] { service_->release.set(); });
  RawPeer peer(client_host_.env());
  connect_raw(peer);
  peer.connection->pause_reading();
  wire::ReadChunkRequest request;
  request.set_size_bytes(256 * kKiB);
  const uint64_t requests_count = 400;
  for (uint64_t id = 1; id <= requests_count; ++id) {
    auto frame = encode(FrameKind::kRequest, Method::kReadChunk, request, {}, {});
    peer.send_frame(std::move(frame).value(), id);
    world_.run_for(1ms);
  }
  const uint64_t taken = count(server_host_, "cairn_rpc_server_calls_total");
  EXPECT_GE(taken, 16u);
  EXPECT_LE(taken, 30u) << "the bound and the network's window, 256 KiB an answer";
  expect_still_serving();
  peer.connection->resume_reading();
  world_.run_for(2s);
  EXPECT_EQ(peer.answers.size(), requests_count);
  EXPECT_FALSE(peer.closed);
}

TEST_F(RpcTest, AnswersToAPeerThatDoesNotReadAreRefusedBeforeTheyPileUp) {
  start_server({.unsent_bytes_max = 1 * kMiB});
  start_client();
  RawPeer peer(client_host_.env());
  connect_raw(peer);
  peer.connection->pause_reading();
  wire::ReadChunkRequest request;
  request.set_size_bytes(1 * kMiB);
  for (uint64_t id = 1; id <= 12; ++id) {
    auto frame = encode(FrameKind::kRequest, Method::kReadChunk, request, {}, {});
    peer.send_frame(std::move(frame).value(), id);
  }
  world_.run_for(1ms);
  EXPECT_EQ(service_->held_count, 12);
  server_host_.execute([&] { service_->release.set(); });
  peer.connection->resume_reading();
  world_.run_for(2s);
  const auto is_error = [](const FramePrefix& p) { return p.kind == FrameKind::kError; };
  ASSERT_EQ(peer.answers.size(), 12u);
  EXPECT_EQ(std::ranges::count_if(peer.answers, is_error), 9) << "four times the bound are kept";
  EXPECT_EQ(peer.last_error->code(), Errc::kOverloaded);
  EXPECT_FALSE(peer.closed);
}

// --- Connections that break ---

TEST_F(RpcTest, CallsToAPortWhereNobodyListensFailUnsentAndAttemptsAreSpacedOut) {
  start_client();
  const Instant begun = world_.now();
  while (world_.now() - begun < 10s) {
    auto answer = run(ping(*client_, address(), 5s));
    ASSERT_EQ(answer.code(), Errc::kUnavailable);
    ASSERT_NE(answer.error().message().find("nothing was sent"), std::string::npos);
  }
  const uint64_t attempts = count(client_host_, "cairn_rpc_client_connects_total");
  EXPECT_GE(attempts, 15u);
  EXPECT_LE(attempts, 32u) << "10 ms, doubled up to 1 s, half of it by chance";
  start_server();
  world_.run_for(1s);
  expect_still_serving();
}

TEST_F(RpcTest, ACallThatWaitsForAConnectionKeepsItsDeadline) {
  start_client();
  while (count(client_host_, "cairn_rpc_client_connects_total") < 10) {
    EXPECT_FALSE(run(ping(*client_, address(), 5s)).ok());
  }
  const Instant begun = world_.now();
  auto answer = run(ping(*client_, address(), 100ms));
  EXPECT_EQ(answer.code(), Errc::kTimeout) << "the backoff is a second by now";
  EXPECT_LE(world_.now() - begun, 111ms);
}

TEST_F(RpcTest, ACrashedServerFailsWhatIsUnderWayAndIsFoundAgainWhenItIsBack) {
  start();
  Outcome<Answer<wire::ReadChunkReply>> outcome;
  begin(held(*client_, address()), outcome);
  world_.run_for(5ms);
  crash_server(sim::CrashKind::kKill);
  world_.run_for(5ms);
  ASSERT_EQ(code_of(outcome), Errc::kUnavailable);
  EXPECT_NE(outcome->error().message().find("outcome is unknown"), std::string::npos);
  server_host_.boot();
  start_server();
  Instant begun = world_.now();
  while (!run(ping(*client_, address())).ok()) ASSERT_LT(world_.now() - begun, 2s);
}

TEST_F(RpcTest, AHalfDeadPeerIsGivenUpAfterTimeoutsWithoutASignOfLife) {
  start();
  expect_still_serving();
  world_.fabric().cut_both(client_host_, server_host_);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(run(ping(*client_, address(), 100ms)).code(), Errc::kTimeout);
  }
  EXPECT_TRUE(log_.contains("calls timed out 3 times in a row"));
  world_.fabric().heal_all();
  const Instant begun = world_.now();
  while (!run(ping(*client_, address(), 100ms)).ok()) ASSERT_LT(world_.now() - begun, 4s);
  EXPECT_GE(count(client_host_, "cairn_rpc_client_connects_total"), 2u);
}

TEST_F(RpcTest, ASlowServerIsNotTakenForADeadOne) {
  start();
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(run(held(*client_, address(), 50ms)).code(), Errc::kTimeout);
  }
  EXPECT_EQ(count(client_host_, "cairn_rpc_client_connects_total"), 1u);
  expect_still_serving();
}

TEST_F(RpcTest, OneWayTrafficAloneNoticesADeadPeerByAPing) {
  start();
  expect_still_serving();
  auto send_for = [&](Duration duration) {
    Status last = ok();
    for (const Instant until = world_.now() + duration; world_.now() < until;) {
      client_host_.execute([&] {
        last = client_->send_one_way(address(), Method::kRaftBatch, wire::RaftBatch(), {});
      });
      world_.run_for(100ms);
    }
    return last;
  };
  EXPECT_TRUE(send_for(10s).ok());
  EXPECT_EQ(count(client_host_, "cairn_rpc_client_connects_total"), 1u);
  // The peer hears us and is never heard: TCP alone would go on for a quarter of an hour.
  world_.fabric().set_model({.give_up_min = 900s, .give_up_max = 901s});
  world_.fabric().cut(server_host_, client_host_);
  EXPECT_EQ(send_for(4500ms).code(), Errc::kUnavailable);
  EXPECT_TRUE(log_.contains("a ping was not answered"));
  world_.fabric().heal_all();
  EXPECT_TRUE(send_for(8s).ok());
}

TEST_F(RpcTest, AHandlerWhoseCallerHasGoneRunsToItsEnd) {
  start();
  RawPeer peer(client_host_.env());
  connect_raw(peer);
  auto frame = encode(FrameKind::kRequest, Method::kReadChunk, wire::ReadChunkRequest(), {}, {});
  peer.send_frame(std::move(frame).value(), 1);
  world_.run_for(1ms);
  EXPECT_EQ(service_->held_count, 1);
  peer.connection.reset();
  world_.run_for(5ms);
  EXPECT_EQ(server_->inflight_calls_count(), 1u);
  EXPECT_EQ(server_->connections_count(), 1u) << "kept for the call";
  server_host_.execute([&] { service_->release.set(); });
  world_.run_for(1ms);
  EXPECT_EQ(server_->inflight_calls_count(), 0u);
  EXPECT_EQ(server_->connections_count(), 0u);
  expect_still_serving();
}

// --- Stopping ---

io::Task<void> stop_server(Server* server, bool* stopped) {
  co_await server->stop();
  *stopped = true;
}

TEST_F(RpcTest, AStoppingServerAnswersWhatIsUnderWayAndRefusesTheRest) {
  start();
  Outcome<Answer<wire::ReadChunkReply>> outcome;
  begin(held(*client_, address(), 10s, 3 * kMiB), outcome);
  world_.run_for(5ms);
  bool stopped = false;
  server_host_.spawn(stop_server(&*server_, &stopped));
  world_.run_for(5ms);
  EXPECT_FALSE(stopped);
  EXPECT_EQ(run(ping(*client_, address())).code(), Errc::kClosed);
  server_host_.execute([&] { service_->release.set(); });
  world_.run_for(100ms);
  EXPECT_TRUE(stopped);
  ASSERT_EQ(code_of(outcome), Errc::kOk) << "the last answer leaves before the connection closes";
  EXPECT_EQ((**outcome).attachment[0].size_bytes(), 3 * kMiB);
  EXPECT_EQ(run(ping(*client_, address())).code(), Errc::kUnavailable);
}

TEST_F(RpcTest, AStoppingClientFailsItsCallsAndTakesNoMore) {
  start();
  Outcome<Answer<wire::ReadChunkReply>> outcome;
  begin(held(*client_, address()), outcome);
  world_.run_for(5ms);
  world_.run(client_host_, client_->stop());
  ASSERT_EQ(code_of(outcome), Errc::kClosed);
  EXPECT_NE(outcome->error().message().find("outcome is unknown"), std::string::npos);
  EXPECT_EQ(run(ping(*client_, address())).code(), Errc::kClosed);
  client_host_.execute([&] {
    EXPECT_EQ(
        client_->send_one_way({"10.0.0.9:1"}, Method::kRaftBatch, wire::RaftBatch(), {}).code(),
        Errc::kClosed);
  });
  world_.run_for(50ms);
  EXPECT_EQ(server_->connections_count(), 1u) << "kept for the call that is held";
}

TEST_F(RpcTest, AClientCanBeStoppedWhileItConnects) {
  start_client();
  server_host_.crash(sim::CrashKind::kPowerLoss);
  Outcome<Answer<wire::PingReply>> outcome;
  begin(ping(*client_, address(), 10s), outcome);
  world_.run_for(5ms);
  world_.run(client_host_, client_->stop(), 10ms);
  EXPECT_EQ(code_of(outcome), Errc::kClosed);
  client_host_.execute([this] { client_.reset(); });
  world_.run_for(10s);  // the attempt ends, and nobody waits for it
}

}  // namespace
}  // namespace cairn::rpc
