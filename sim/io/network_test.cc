#include "sim/io/network.h"

#include <gtest/gtest.h>

#include "sim/io/world.h"

namespace cairn::sim {
namespace {

/// Keeps what arrives.
class Sink : public io::ConnectionHandler {
 public:
  size_t on_bytes(ByteView bytes) override {
    ++calls;
    if (take_max == 0) return 0;
    const size_t count = std::min(take_max, bytes.size());
    text += as_text(bytes.first(count));
    return count;
  }
  void on_closed(Error reason) override {
    closed = reason.message();
    if (destroy_on_close) connection.reset();
  }
  void on_writable() override { ++writable_calls; }

  std::unique_ptr<io::Connection> connection;
  std::string text;
  std::string closed;
  size_t take_max = SIZE_MAX;
  int calls = 0;
  int writable_calls = 0;
  bool destroy_on_close = false;
};

/// Frames of one length byte and that many bytes behind it; a frame that begins with 'H' is a
/// handshake's.
FrameCodec test_codec() {
  FrameCodec codec;
  codec.frame_bytes = [](ByteView bytes) -> size_t {
    if (bytes.empty()) return 0;
    const size_t whole = 1 + static_cast<size_t>(bytes[0]);
    return whole <= bytes.size() ? whole : 0;
  };
  codec.may_fault = [](ByteView frame) { return frame.size() > 1 && frame[1] != std::byte{'H'}; };
  return codec;
}
Buffer frame(const std::string& text) {
  std::string bytes(1, static_cast<char>(text.size()));
  return Buffer::copy_of(bytes + text);
}

class NetworkTest : public ::testing::Test {
 protected:
  NetworkTest() : world_(1), a_(world_.add_host("a")), b_(world_.add_host("b")) {}
  ~NetworkTest() override {
    if (a_.is_running()) a_.crash(CrashKind::kKill, [&] { client_.connection.reset(); });
    if (b_.is_running()) b_.crash(CrashKind::kKill, [&] { forget_server(); });
  }
  void forget_server() {
    server_.connection.reset();
    listener_.reset();
  }
  void listen() {
    listener_ = b_.env()
                    .network
                    .listen(b_.address(7000),
                            [this](std::unique_ptr<io::Connection> connection) {
                              server_.connection = std::move(connection);
                              server_.connection->start(server_);
                            })
                    .value();
  }
  Result<std::unique_ptr<io::Connection>> connect(Duration timeout = 1s) {
    return world_.run(a_, a_.env().network.connect(b_.address(7000), timeout));
  }
  void establish() {
    listen();
    client_.connection = connect().value();
    client_.connection->start(client_);
    world_.run_for(1ms);
    ASSERT_TRUE(server_.connection);
  }
  void send(const std::string& text) {
    a_.execute([&] { client_.connection->send(Buffer::copy_of(text)); });
  }

  World world_;
  Host& a_;
  Host& b_;
  Sink client_, server_;
  std::unique_ptr<io::Listener> listener_;
};

TEST_F(NetworkTest, BytesArriveInOrderAndOneTurnIsOneDelivery) {
  establish();
  a_.execute([&] {
    client_.connection->send(Buffer::copy_of("one "));
    client_.connection->send(Buffer::copy_of("two "));
  });
  send("three");
  world_.run_for(10ms);
  EXPECT_EQ(server_.text, "one two three");
  EXPECT_LE(server_.calls, 2);
  b_.execute([&] { server_.connection->send(Buffer::copy_of("back")); });
  world_.run_for(10ms);
  EXPECT_EQ(client_.text, "back");
}

TEST_F(NetworkTest, TheRestIsOfferedAgainWithMoreBehindIt) {
  establish();
  server_.take_max = 2;
  send("abc");
  world_.run_for(10ms);
  EXPECT_EQ(server_.text, "ab");
  send("d");
  world_.run_for(10ms);
  EXPECT_EQ(server_.text, "abcd");
  server_.connection->expect(10);
  server_.take_max = SIZE_MAX;
  const int calls = server_.calls;
  send("12345");
  world_.run_for(10ms);
  EXPECT_EQ(server_.calls, calls) << "fewer bytes than expected";
  send("67890");
  world_.run_for(10ms);
  EXPECT_EQ(server_.text, "abcd1234567890");
}

TEST_F(NetworkTest, APausedReaderHoldsItsSenderBackAndNothingIsLost) {
  establish();
  server_.connection->pause_reading();
  const std::string chunk(100'000, 'x');
  for (int i = 0; i < 40; ++i) {
    send(chunk);
    world_.run_for(1ms);
  }
  EXPECT_EQ(server_.text.size(), 0u);
  EXPECT_GT(client_.connection->unsent_bytes(), 2'000'000u);
  EXPECT_EQ(client_.writable_calls, 0);
  b_.execute([&] { server_.connection->resume_reading(); });
  world_.run_for(100ms);
  EXPECT_EQ(server_.text.size(), 4'000'000u);
  EXPECT_EQ(client_.connection->unsent_bytes(), 0u);
  EXPECT_EQ(client_.writable_calls, 1);
}

TEST_F(NetworkTest, ClosingDeliversWhatWasSentAndThenTellsThePeer) {
  establish();
  server_.destroy_on_close = true;
  a_.execute([&] {
    client_.connection->send(Buffer::copy_of("last words"));
    client_.connection.reset();
  });
  world_.run_for(10ms);
  EXPECT_EQ(server_.text, "last words");
  EXPECT_EQ(server_.closed, "the peer closed the connection");
  EXPECT_FALSE(server_.connection);
  EXPECT_EQ(world_.fabric().links_count(), 0u);
}

TEST_F(NetworkTest, RefusedUnreachableAndUnknownAddressesAreUnavailable) {
  EXPECT_EQ(connect().code(), Errc::kUnavailable) << "nobody listens";
  listen();
  world_.fabric().cut(b_, a_);
  const Instant begin = world_.now();
  EXPECT_EQ(connect(500ms).code(), Errc::kUnavailable);
  EXPECT_GE(world_.now() - begin, 500ms);
  world_.fabric().heal_all();
  EXPECT_TRUE(connect().ok());
  EXPECT_EQ(world_.run(a_, a_.env().network.connect({"10.9.9.9:1"}, 100ms)).code(),
            Errc::kUnavailable);
  EXPECT_EQ(b_.env().network.listen(b_.address(7000), [](auto) {}).code(), Errc::kAlreadyExists);
}

TEST_F(NetworkTest, APathIsOneHostsOwn) {
  Sink accepted;
  auto listener = b_.env().network.listen({"unix:/run/x"}, [&](auto connection) {
    accepted.connection = std::move(connection);
    accepted.connection->start(accepted);
  });
  EXPECT_EQ(world_.run(a_, a_.env().network.connect({"unix:/run/x"}, 100ms)).code(),
            Errc::kUnavailable);
  auto own = world_.run(b_, b_.env().network.connect({"unix:/run/x"}, 100ms));
  ASSERT_TRUE(own.ok());
  b_.execute([&] { (*own)->send(Buffer::copy_of("hi")); });
  world_.run_for(1ms);
  EXPECT_EQ(accepted.text, "hi");
  (*own).reset();
  accepted.connection.reset();
}

TEST_F(NetworkTest, AShortCutDelaysAndLosesNothing) {
  establish();
  world_.fabric().cut_both(a_, b_);
  send("held ");
  world_.run_for(1s);
  send("back");
  EXPECT_EQ(server_.text, "");
  world_.fabric().heal_all();
  world_.run_for(1s);
  EXPECT_EQ(server_.text, "held back");
  EXPECT_EQ(client_.closed, "");
}

TEST_F(NetworkTest, ALongCutBreaksTheSenderAndAfterwardsTheOtherSide) {
  establish();
  world_.fabric().cut(a_, b_);
  send("never");
  world_.run_for(20s);
  EXPECT_EQ(client_.closed, "connection timed out");
  EXPECT_EQ(server_.closed, "") << "whoever has nothing to send learns nothing";
  world_.fabric().heal_all();
  world_.run_for(1s);
  b_.execute([&] { server_.connection->send(Buffer::copy_of("anyone?")); });
  world_.run_for(1s);
  EXPECT_EQ(server_.closed, "connection reset by the peer");
  EXPECT_EQ(server_.text, "");
}

TEST_F(NetworkTest, AOneWayCutLetsTheOtherDirectionPass) {
  establish();
  world_.fabric().cut(a_, b_);
  b_.execute([&] { server_.connection->send(Buffer::copy_of("still")); });
  world_.run_for(100ms);
  EXPECT_EQ(client_.text, "still");
}

TEST_F(NetworkTest, AKilledPeerResetsAndALostMachineIsSilent) {
  establish();
  b_.crash(CrashKind::kKill, [&] { forget_server(); });
  world_.run_for(10ms);
  EXPECT_EQ(client_.closed, "connection reset by the peer");
  EXPECT_EQ(connect(100ms).code(), Errc::kUnavailable);

  b_.boot();
  client_ = Sink{};
  establish();
  b_.crash(CrashKind::kPowerLoss, [&] { forget_server(); });
  send("into the dark");
  world_.run_for(1s);
  EXPECT_EQ(client_.closed, "");
  b_.boot();
  world_.run_for(2s);
  EXPECT_EQ(client_.closed, "connection reset by the peer")
      << "the machine is back and knows nothing of it";
}

TEST_F(NetworkTest, APausedProcessReceivesWhenItGoesOn) {
  establish();
  b_.pause();
  send("wake ");
  world_.run_for(1s);
  send("up");
  world_.run_for(1s);
  EXPECT_EQ(server_.text, "");
  b_.resume();
  world_.run_for(1ms);
  EXPECT_EQ(server_.text, "wake up");
}

TEST_F(NetworkTest, FramesAreDroppedRepeatedAndReorderedWholeButAHandshakeNever) {
  world_.fabric().set_frame_codec(test_codec());
  world_.fabric().set_frame_faults({.drop = 0.2, .duplicate = 0.2, .delay = 0.2});
  establish();
  a_.execute([&] { client_.connection->send(frame("Hello")); });
  for (int i = 0; i < 200; ++i) {
    a_.execute([&] { client_.connection->send(frame("n" + std::to_string(i))); });
    world_.run_for(1ms);
  }
  world_.run_for(1s);
  std::map<std::string, int> counts;
  std::vector<int> order;
  for (size_t at = 0; at < server_.text.size();) {
    const auto bytes = static_cast<size_t>(server_.text[at]);
    ASSERT_LE(at + 1 + bytes, server_.text.size()) << "frames stay whole";
    const std::string body = server_.text.substr(at + 1, bytes);
    ++counts[body];
    if (body[0] == 'n') order.push_back(std::stoi(body.substr(1)));
    at += 1 + bytes;
  }
  EXPECT_EQ(counts["Hello"], 1);
  EXPECT_FALSE(std::is_sorted(order.begin(), order.end()));
  const auto& counters = world_.fabric().counters();
  EXPECT_GT(counters.frames_dropped, 10u);
  EXPECT_GT(counters.frames_duplicated, 10u);
  EXPECT_GT(counters.frames_delayed, 10u);
  EXPECT_EQ(order.size(), 200 - counters.frames_dropped + counters.frames_duplicated);
}

TEST_F(NetworkTest, TheWorldCanResetConnections) {
  establish();
  world_.fabric().reset_connections(b_, a_);
  world_.run_for(1ms);
  EXPECT_EQ(client_.closed, "connection reset by the network");
  EXPECT_EQ(server_.closed, "connection reset by the network");
  EXPECT_EQ(world_.fabric().links_count(), 0u);
}

}  // namespace
}  // namespace cairn::sim
