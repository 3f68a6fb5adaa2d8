/// The server over the simulated network, driven by a client that writes raw bytes.
#include <gtest/gtest.h>

#include "gateway/nbd/memory_export.h"
#include "gateway/nbd/server.h"
#include "sim/io/world.h"

namespace cairn::nbd {
namespace {

constexpr uint64_t kSize = 8 * kMiB;

/// Collects what the server sends.
struct RawClient : io::ConnectionHandler {
  std::unique_ptr<io::Connection> connection;
  Bytes received;
  bool is_closed = false;

  size_t on_bytes(ByteView bytes) override {
    received.insert(received.end(), bytes.begin(), bytes.end());
    return bytes.size();
  }
  void on_closed(Error) override { is_closed = true; }
};

struct Reply {
  bool is_chunk = false;
  Fault fault = Fault::kNone;
  uint64_t cookie = 0;
  ChunkType type = ChunkType::kNone;
  bool is_last = true;
  Bytes payload;
};

class SessionTest : public ::testing::Test {
 protected:
  SessionTest() { start({}); }
  ~SessionTest() override { tear_down(); }

  void start(ServerOptions options) {
    tear_down();
    world_ = std::make_unique<sim::World>(7);
    server_host_ = &world_->add_host("gateway");
    client_host_ = &world_->add_host("client");
    const io::Env env = server_host_->env();
    disk_ = std::make_shared<MemoryExport>(env.executor, env.buffers,
                                           ExportTraits{"disk", "words", kSize, false});
    auto fixed = std::make_shared<MemoryExport>(env.executor, env.buffers,
                                                ExportTraits{"fixed", "", 12345, true});
    source_ = std::make_unique<MemorySource>();
    source_->add(disk_);
    source_->add(fixed);
    server_ = std::make_unique<Server>(env, options, *source_);
    server_host_->execute([&] { ASSERT_TRUE(server_->listen(server_host_->address(10809)).ok()); });
  }
  void tear_down() {
    if (!world_) return;
    client_host_->crash(sim::CrashKind::kKill, [this] { clients_.clear(); });
    server_host_->crash(sim::CrashKind::kKill, [this] {
      server_.reset();
      source_.reset();
      disk_.reset();
    });
    world_.reset();
  }

  RawClient& connect() {
    auto connection = world_->run(
        *client_host_, client_host_->env().network.connect(server_host_->address(10809), 1s));
    CHECK(connection.ok());
    clients_.push_back(std::make_unique<RawClient>());
    RawClient& client = *clients_.back();
    client.connection = std::move(*connection);
    client_host_->execute([&] { client.connection->start(client); });
    EXPECT_TRUE(receive(client, 18) == encode_greeting());
    return client;
  }
  void send(RawClient& client, const Bytes& bytes) {
    client_host_->execute([&] { client.connection->send(Buffer::copy_of(ByteView(bytes))); });
  }
  /// The next bytes; fewer if the server closes before.
  Bytes receive(RawClient& client, size_t size) {
    world_->run_until([&] { return client.received.size() >= size || client.is_closed; }, 5s);
    size = std::min(size, client.received.size());
    const auto end = client.received.begin() + static_cast<std::ptrdiff_t>(size);
    Bytes taken(client.received.begin(), end);
    client.received.erase(client.received.begin(), end);
    return taken;
  }
  bool closes(RawClient& client) {
    return world_->run_until([&] { return client.is_closed; }, 5s);
  }

  // Handshake.
  void send_option(RawClient& client, Option option, const Bytes& data) {
    Bytes bytes;
    put(&bytes, kOptionMagic);
    put(&bytes, option);
    put(&bytes, static_cast<uint32_t>(data.size()));
    bytes.insert(bytes.end(), data.begin(), data.end());
    send(client, bytes);
  }
  std::pair<OptionReply, Bytes> receive_option_reply(RawClient& client) {
    const Bytes head = receive(client, 20);
    if (head.size() < 20) return {OptionReply::kUnsupported, {}};
    ByteView view = head;
    EXPECT_EQ(take<uint64_t>(&view), kOptionReplyMagic);
    take<uint32_t>(&view);
    const auto type = static_cast<OptionReply>(take<uint32_t>(&view));
    return {type, receive(client, take<uint32_t>(&view))};
  }
  static Bytes query_of(std::string_view name) {
    Bytes data;
    put(&data, static_cast<uint32_t>(name.size()));
    put_text(&data, name);
    put(&data, uint16_t{0});
    return data;
  }
  static Bytes meta_of(std::string_view name, std::string_view query) {
    Bytes data;
    put(&data, static_cast<uint32_t>(name.size()));
    put_text(&data, name);
    put(&data, uint32_t{1});
    put(&data, static_cast<uint32_t>(query.size()));
    put_text(&data, query);
    return data;
  }
  static Bytes flags_of(uint32_t flags) {
    Bytes bytes;
    put(&bytes, flags);
    return bytes;
  }
  RawClient& greet(uint32_t flags = 3) {
    RawClient& client = connect();
    send(client, flags_of(flags));
    return client;
  }
  /// Through the handshake.
  RawClient& open(std::string_view name, bool structured) {
    RawClient& client = greet();
    if (structured) {
      send_option(client, Option::kStructuredReply, {});
      EXPECT_EQ(receive_option_reply(client).first, OptionReply::kAck);
      send_option(client, Option::kSetMetaContext, meta_of(name, "base:allocation"));
      EXPECT_EQ(receive_option_reply(client).first, OptionReply::kMetaContext);
      EXPECT_EQ(receive_option_reply(client).first, OptionReply::kAck);
    }
    send_option(client, Option::kGo, query_of(name));
    EXPECT_EQ(receive_option_reply(client).first, OptionReply::kInfo);
    EXPECT_EQ(receive_option_reply(client).first, OptionReply::kInfo);
    EXPECT_EQ(receive_option_reply(client).first, OptionReply::kAck);
    return client;
  }

  // Transmission.
  static Bytes request_of(Command command, uint16_t flags, uint64_t cookie, uint64_t offset,
                          uint32_t size) {
    Bytes bytes;
    put(&bytes, kRequestMagic);
    put(&bytes, flags);
    put(&bytes, command);
    put(&bytes, cookie);
    put(&bytes, offset);
    put(&bytes, size);
    return bytes;
  }
  void send_request(RawClient& client, Command command, uint16_t flags, uint64_t cookie,
                    uint64_t offset, uint32_t size, const Bytes& payload = {}) {
    Bytes bytes = request_of(command, flags, cookie, offset, size);
    bytes.insert(bytes.end(), payload.begin(), payload.end());
    send(client, bytes);
  }
  /// A simple reply with `data_bytes`, or one chunk.
  Reply receive_reply(RawClient& client, size_t data_bytes = 0) {
    Reply reply;
    Bytes head = receive(client, 16);
    if (head.size() < 16) return {false, Fault::kShutdown, 0, ChunkType::kNone, true, {}};
    ByteView view = head;
    const uint32_t magic = take<uint32_t>(&view);
    if (magic == kSimpleReplyMagic) {
      reply.fault = static_cast<Fault>(take<uint32_t>(&view));
      reply.cookie = take<uint64_t>(&view);
      if (reply.fault == Fault::kNone) reply.payload = receive(client, data_bytes);
      return reply;
    }
    EXPECT_EQ(magic, kChunkMagic);
    reply.is_chunk = true;
    reply.is_last = (take<uint16_t>(&view) & kChunkDone) != 0;
    reply.type = static_cast<ChunkType>(take<uint16_t>(&view));
    reply.cookie = take<uint64_t>(&view);
    reply.payload = receive(client, get<uint32_t>(receive(client, 4)));
    if (reply.type == ChunkType::kError) {
      reply.fault = static_cast<Fault>(get<uint32_t>(reply.payload));
    }
    return reply;
  }
  static Bytes pattern(size_t size, uint8_t seed) {
    Bytes bytes(size);
    for (size_t i = 0; i < size; ++i) bytes[i] = std::byte(seed + i % 253);
    return bytes;
  }

  std::unique_ptr<sim::World> world_;
  sim::Host* server_host_ = nullptr;
  sim::Host* client_host_ = nullptr;
  std::shared_ptr<MemoryExport> disk_;
  std::unique_ptr<MemorySource> source_;
  std::unique_ptr<Server> server_;
  std::vector<std::unique_ptr<RawClient>> clients_;
};

// ---- Handshake

TEST_F(SessionTest, InfoAndGoDescribeTheExport) {
  RawClient& client = greet();
  for (Option option : {Option::kInfo, Option::kGo}) {
    send_option(client, option, query_of("disk"));
    auto [type, data] = receive_option_reply(client);
    ASSERT_EQ(type, OptionReply::kInfo);
    ByteView view = data;
    EXPECT_EQ(take<uint16_t>(&view), static_cast<uint16_t>(Info::kExport));
    EXPECT_EQ(take<uint64_t>(&view), kSize);
    const uint16_t flags = take<uint16_t>(&view);
    EXPECT_TRUE(flags & kSendFua && flags & kCanMultiConn && flags & kSendFastZero);
    EXPECT_FALSE(flags & kReadOnly || flags & kSendDf) << "DF needs structured replies";
    EXPECT_EQ(receive_option_reply(client).first, OptionReply::kInfo);
    EXPECT_EQ(receive_option_reply(client).first, OptionReply::kAck);
  }
}

TEST_F(SessionTest, ExportNameAnswersWithAndWithoutZeroes) {
  for (uint32_t flags : {1u, 3u}) {
    RawClient& client = greet(flags);
    Bytes name;
    put_text(&name, "disk");
    send_option(client, Option::kExportName, name);
    const Bytes answer = receive(client, flags == 1 ? 134 : 10);
    EXPECT_EQ(get<uint64_t>(answer), kSize);
    send_request(client, Command::kFlush, 0, 5, 0, 0);
    EXPECT_EQ(receive_reply(client).cookie, 5u);
  }
}

TEST_F(SessionTest, OptionsThatCannotBeHadAreRefusedAndTheHandshakeGoesOn) {
  RawClient& client = greet();
  const auto refusal = [&](Option option, const Bytes& data) {
    send_option(client, option, data);
    return receive_option_reply(client).first;
  };
  EXPECT_EQ(refusal(Option::kStartTls, {}), OptionReply::kPolicy);
  EXPECT_EQ(refusal(static_cast<Option>(99), {}), OptionReply::kUnsupported);
  EXPECT_EQ(refusal(Option::kGo, query_of("nope")), OptionReply::kUnknown);
  EXPECT_EQ(refusal(Option::kGo, pattern(7, 1)), OptionReply::kInvalid);
  EXPECT_EQ(refusal(Option::kSetMetaContext, meta_of("disk", "base:allocation")),
            OptionReply::kInvalid)
      << "not before structured replies";
  EXPECT_EQ(refusal(Option::kStructuredReply, pattern(1, 1)), OptionReply::kInvalid);
  EXPECT_EQ(refusal(Option::kList, {}), OptionReply::kServer);
  EXPECT_EQ(receive_option_reply(client).first, OptionReply::kServer);
  EXPECT_EQ(receive_option_reply(client).first, OptionReply::kAck);
  EXPECT_EQ(refusal(Option::kAbort, {}), OptionReply::kAck);
  EXPECT_TRUE(closes(client));
}

TEST_F(SessionTest, AMetaContextHoldsForItsExportAlone) {
  RawClient& client = greet();
  send_option(client, Option::kStructuredReply, {});
  receive_option_reply(client);
  send_option(client, Option::kListMetaContext, meta_of("disk", "base:"));
  EXPECT_EQ(receive_option_reply(client).first, OptionReply::kMetaContext);
  EXPECT_EQ(receive_option_reply(client).first, OptionReply::kAck);
  send_option(client, Option::kSetMetaContext, meta_of("fixed", "base:allocation"));
  EXPECT_EQ(receive_option_reply(client).first, OptionReply::kMetaContext);
  EXPECT_EQ(receive_option_reply(client).first, OptionReply::kAck);
  send_option(client, Option::kGo, query_of("disk"));
  for (int i = 0; i < 3; ++i) receive_option_reply(client);
  send_request(client, Command::kBlockStatus, 0, 1, 0, 4096);
  EXPECT_EQ(receive_reply(client).fault, Fault::kInvalid);
}

TEST_F(SessionTest, BrokenHandshakesCloseThatConnectionAlone) {
  RawClient& good = open("disk", false);
  RawClient& flags = greet(0xff00);
  RawClient& magic = greet();
  send(magic, pattern(16, 0));
  RawClient& huge = greet();
  Bytes bytes;
  put(&bytes, kOptionMagic);
  put(&bytes, Option::kGo);
  put(&bytes, uint32_t{0xffffffff});
  send(huge, bytes);
  for (RawClient* client : {&flags, &magic, &huge}) EXPECT_TRUE(closes(*client));
  send_request(good, Command::kFlush, 0, 1, 0, 0);
  EXPECT_EQ(receive_reply(good).fault, Fault::kNone);
  EXPECT_EQ(server_->sessions_count(), 1u);
}

TEST_F(SessionTest, AHandshakeHasToEndInTime) {
  RawClient& client = greet();
  world_->run_for(50s);
  EXPECT_FALSE(client.is_closed);
  world_->run_for(20s);
  EXPECT_TRUE(client.is_closed);
}

TEST_F(SessionTest, ConnectionsAreBounded) {
  ServerOptions options;
  options.connections_max = 2;
  start(options);
  open("disk", false);
  open("disk", false);
  auto connection = world_->run(
      *client_host_, client_host_->env().network.connect(server_host_->address(10809), 1s));
  ASSERT_TRUE(connection.ok());
  clients_.push_back(std::make_unique<RawClient>());
  clients_.back()->connection = std::move(*connection);
  client_host_->execute([&] { clients_.back()->connection->start(*clients_.back()); });
  EXPECT_TRUE(closes(*clients_.back()));
}

// ---- Transmission

TEST_F(SessionTest, WhatWasWrittenIsReadBackOnAnotherConnection) {
  RawClient& writer = open("disk", false);
  RawClient& reader = open("disk", false);
  const Bytes data = pattern(100'000, 9);
  send_request(writer, Command::kWrite, kFua, 11, 12345, 100'000, data);
  EXPECT_EQ(receive_reply(writer).cookie, 11u);
  send_request(reader, Command::kRead, 0, 12, 12345, 100'000);
  const Reply reply = receive_reply(reader, 100'000);
  EXPECT_EQ(reply.cookie, 12u);
  EXPECT_TRUE(reply.payload == data);
}

TEST_F(SessionTest, AStructuredReadSendsHolesAsHoles) {
  RawClient& client = open("disk", true);
  const uint32_t page = MemoryExport::kPageBytes;
  const Bytes data = pattern(2 * page, 1);
  send_request(client, Command::kWrite, 0, 1, page, 2 * page, data);
  EXPECT_EQ(receive_reply(client).fault, Fault::kNone);
  send_request(client, Command::kRead, 0, 2, 0, 4 * page);
  Reply hole = receive_reply(client);
  EXPECT_EQ(hole.type, ChunkType::kOffsetHole);
  EXPECT_EQ(get<uint32_t>(ByteView(hole.payload).subspan(8)), page);
  Reply middle = receive_reply(client);
  ASSERT_EQ(middle.type, ChunkType::kOffsetData);
  EXPECT_EQ(get<uint64_t>(middle.payload), page);
  EXPECT_TRUE(std::ranges::equal(ByteView(middle.payload).subspan(8), data));
  EXPECT_FALSE(middle.is_last);
  Reply last = receive_reply(client);
  EXPECT_EQ(last.type, ChunkType::kOffsetHole);
  EXPECT_TRUE(last.is_last);

  send_request(client, Command::kRead, kDf, 3, 0, 4 * page);
  Reply whole = receive_reply(client);
  EXPECT_EQ(whole.type, ChunkType::kOffsetData);
  EXPECT_TRUE(whole.is_last);
  ASSERT_EQ(whole.payload.size(), 8 + 4 * page);
  EXPECT_TRUE(std::ranges::equal(ByteView(whole.payload).subspan(8 + page, 2 * page), data));
  EXPECT_EQ(whole.payload.back(), std::byte{0});
}

TEST_F(SessionTest, BlockStatusTellsHolesAndReqOneTellsTheFirst) {
  RawClient& client = open("disk", true);
  const uint32_t page = MemoryExport::kPageBytes;
  send_request(client, Command::kWrite, 0, 1, page, page, pattern(page, 1));
  receive_reply(client);
  send_request(client, Command::kBlockStatus, 0, 2, 0, 3 * page);
  Reply reply = receive_reply(client);
  ASSERT_EQ(reply.type, ChunkType::kBlockStatus);
  ASSERT_EQ(reply.payload.size(), 4u + 3 * 8);
  EXPECT_EQ(get<uint32_t>(ByteView(reply.payload).subspan(8)), kStateHole | kStateZero);
  EXPECT_EQ(get<uint32_t>(ByteView(reply.payload).subspan(16)), 0u);
  send_request(client, Command::kBlockStatus, kReqOne, 3, 0, 3 * page);
  EXPECT_EQ(receive_reply(client).payload.size(), 4u + 8);
}

TEST_F(SessionTest, TrimAndZeroReadAsZerosAndAFastZeroIsFastOrRefused) {
  RawClient& client = open("disk", true);
  const uint32_t page = MemoryExport::kPageBytes;
  send_request(client, Command::kWrite, 0, 1, 0, 2 * page, pattern(2 * page, 1));
  receive_reply(client);
  send_request(client, Command::kWriteZeroes, kFastZero, 2, 100, 100);
  EXPECT_EQ(receive_reply(client).fault, Fault::kNotSupported);
  send_request(client, Command::kWriteZeroes, kFastZero, 3, 0, page);
  EXPECT_EQ(receive_reply(client).fault, Fault::kNone);
  send_request(client, Command::kWriteZeroes, kNoHole | kFua, 4, page, 100);
  EXPECT_EQ(receive_reply(client).fault, Fault::kNone);
  send_request(client, Command::kTrim, 0, 5, page + 200, 50);
  EXPECT_EQ(receive_reply(client).fault, Fault::kNone);
  send_request(client, Command::kCache, 0, 6, 0, page);
  EXPECT_EQ(receive_reply(client).fault, Fault::kNone);
  send_request(client, Command::kRead, kDf, 7, page, 300);
  Reply reply = receive_reply(client);
  const ByteView data = ByteView(reply.payload).subspan(8);
  const Bytes written = pattern(2 * page, 1);
  EXPECT_EQ(data[99], std::byte{0});
  EXPECT_EQ(data[100], written[page + 100]);
  EXPECT_EQ(data[200], std::byte{0});
  EXPECT_EQ(data[250], written[page + 250]);
}

TEST_F(SessionTest, RequestsThatMakeNoSenseAreRefusedAndTheNextIsServed) {
  RawClient& client = open("disk", false);
  const auto fault = [&](Command command, uint16_t flags, uint64_t offset, uint32_t size,
                         const Bytes& payload = {}) {
    send_request(client, command, flags, 77, offset, size, payload);
    return receive_reply(client, command == Command::kRead ? size : 0).fault;
  };
  EXPECT_EQ(fault(Command::kWrite, 0, kSize - 10, 100, pattern(100, 1)), Fault::kNoSpace);
  EXPECT_EQ(fault(Command::kRead, 0, kSize - 10, 100), Fault::kInvalid);
  EXPECT_EQ(fault(Command::kRead, 0, UINT64_MAX - 5, 100), Fault::kInvalid);
  EXPECT_EQ(fault(Command::kTrim, 0, kSize, 1), Fault::kInvalid);
  EXPECT_EQ(fault(Command::kWriteZeroes, 0, kSize, 1), Fault::kNoSpace);
  EXPECT_EQ(fault(Command::kRead, 0, 0, 0), Fault::kInvalid);
  EXPECT_EQ(fault(Command::kRead, kDf, 0, 10), Fault::kInvalid) << "DF was not agreed on";
  EXPECT_EQ(fault(Command::kBlockStatus, 0, 0, 10), Fault::kInvalid);
  EXPECT_EQ(fault(static_cast<Command>(9), 0, 0, 10), Fault::kInvalid);
  EXPECT_EQ(fault(Command::kRead, 0x8000, 0, 10), Fault::kInvalid);
  EXPECT_EQ(fault(Command::kRead, 0, 0, 10), Fault::kNone);
  EXPECT_EQ(disk_->operations_count(), 1u);
  RawClient& fixed = open("fixed", false);
  send_request(fixed, Command::kWrite, 0, 1, 0, 5, pattern(5, 1));
  EXPECT_EQ(receive_reply(fixed).fault, Fault::kPermission);
}

TEST_F(SessionTest, BrokenRequestsCloseThatConnectionAlone) {
  RawClient& good = open("disk", false);
  RawClient& magic = open("disk", false);
  send(magic, pattern(28, 3));
  EXPECT_TRUE(closes(magic));
  RawClient& huge = open("disk", false);
  send_request(huge, Command::kWrite, 0, 1, 0, 0xffffffff);
  EXPECT_TRUE(closes(huge));
  send_request(good, Command::kFlush, 0, 1, 0, 0);
  EXPECT_EQ(receive_reply(good).fault, Fault::kNone);
}

TEST_F(SessionTest, ErrorsOfTheExportAreTranslatedAndExplained) {
  RawClient& client = open("disk", true);
  const std::pair<Errc, Fault> cases[] = {{Errc::kNoSpace, Fault::kNoSpace},
                                          {Errc::kInvalidArgument, Fault::kInvalid},
                                          {Errc::kTimeout, Fault::kIo},
                                          {Errc::kClosed, Fault::kShutdown}};
  for (auto [code, fault] : cases) {
    disk_->fail_with(error(code, "the reason why"));
    for (Command command : {Command::kRead, Command::kFlush, Command::kBlockStatus}) {
      send_request(client, command, 0, 8, 0, command == Command::kFlush ? 0 : 512);
      const Reply reply = receive_reply(client);
      EXPECT_EQ(reply.fault, fault);
      EXPECT_NE(as_text(reply.payload).find("the reason why"), std::string_view::npos);
    }
  }
}

TEST_F(SessionTest, AnExportThatIsLostAnswersOnceAndEndsTheConnection) {
  RawClient& client = open("disk", true);
  disk_->fail_with(error(Errc::kStaleFence, "another client has it"));
  send_request(client, Command::kRead, 0, 8, 0, 512);
  EXPECT_EQ(receive_reply(client).fault, Fault::kPermission);
  EXPECT_TRUE(closes(client));
}

TEST_F(SessionTest, RequestsUnderWayAreBoundedByNotReadingOn) {
  ServerOptions options;
  options.session.inflight_requests_max = 16;
  start(options);
  RawClient& client = open("disk", false);
  disk_->open().reset();
  Bytes all;
  for (uint64_t i = 0; i < 500; ++i) {
    const Bytes one = request_of(Command::kWrite, 0, i, i * 4096, 4096);
    all.insert(all.end(), one.begin(), one.end());
    const Bytes data = pattern(4096, static_cast<uint8_t>(i));
    all.insert(all.end(), data.begin(), data.end());
  }
  send(client, all);
  world_->run_for(2s);
  EXPECT_EQ(disk_->operations_count(), 16u);
  server_host_->execute([&] { disk_->open().set(); });
  std::set<uint64_t> cookies;
  for (int i = 0; i < 500; ++i) cookies.insert(receive_reply(client).cookie);
  EXPECT_EQ(cookies.size(), 500u);
  EXPECT_LE(disk_->under_way_count_max(), 16u);
  send_request(client, Command::kRead, 0, 1, 499 * 4096, 4096);
  EXPECT_TRUE(receive_reply(client, 4096).payload == pattern(4096, static_cast<uint8_t>(499)));
}

TEST_F(SessionTest, StopAnswersWhatIsUnderWayAndRefusesTheRest) {
  RawClient& busy = open("disk", false);
  RawClient& idle = open("disk", false);
  RawClient& shaking = greet();
  disk_->open().reset();
  send_request(busy, Command::kWrite, 0, 1, 0, 4096, pattern(4096, 5));
  world_->run_for(10ms);
  bool stopped = false;
  server_host_->spawn(sim::detail::store_end(server_->stop(), &stopped));
  EXPECT_TRUE(closes(idle));
  EXPECT_TRUE(closes(shaking));
  send_request(busy, Command::kRead, 0, 2, 0, 4096);
  EXPECT_EQ(receive_reply(busy).fault, Fault::kShutdown);
  EXPECT_FALSE(stopped);
  server_host_->execute([&] { disk_->open().set(); });
  const Reply reply = receive_reply(busy);
  EXPECT_EQ(reply.cookie, 1u);
  EXPECT_EQ(reply.fault, Fault::kNone);
  EXPECT_TRUE(closes(busy));
  EXPECT_TRUE(world_->run_until([&] { return stopped; }, 5s));
}

TEST_F(SessionTest, ADisconnectLetsRequestsUnderWayEnd) {
  RawClient& client = open("disk", false);
  disk_->open().reset();
  send_request(client, Command::kWrite, 0, 1, 0, 4096, pattern(4096, 5));
  send_request(client, Command::kDisconnect, 0, 2, 0, 0);
  world_->run_for(100ms);
  EXPECT_FALSE(client.is_closed);
  server_host_->execute([&] { disk_->open().set(); });
  EXPECT_EQ(receive_reply(client).cookie, 1u);
  EXPECT_TRUE(closes(client));
  EXPECT_TRUE(world_->run_until([&] { return server_->sessions_count() == 0; }, 5s));
}

TEST_F(SessionTest, AClientThatVanishesWithRequestsUnderWayHurtsNobody) {
  RawClient& good = open("disk", true);
  RawClient& gone = open("disk", true);
  disk_->open().reset();
  for (uint64_t i = 0; i < 20; ++i) send_request(gone, Command::kRead, 0, i, 0, 65536);
  world_->run_for(10ms);
  client_host_->execute([&] { gone.connection.reset(); });
  world_->run_for(10ms);
  EXPECT_EQ(server_->sessions_count(), 2u) << "its requests are still under way";
  server_host_->execute([&] { disk_->open().set(); });
  EXPECT_TRUE(world_->run_until([&] { return server_->sessions_count() == 1; }, 5s));
  send_request(good, Command::kFlush, 0, 1, 0, 0);
  EXPECT_EQ(receive_reply(good).fault, Fault::kNone);
}

}  // namespace
}  // namespace cairn::nbd
