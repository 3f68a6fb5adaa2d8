#include <gtest/gtest.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <filesystem>

#include "io/real/reactor.h"
#include "io/real/receive_buffer.h"
#include "io/real/send_queue.h"
#include "io/real/socket_address.h"
#include "io/real/unique_fd.h"

namespace cairn::io::real {
namespace {

const Address kAnyPort{"127.0.0.1:0"};

/// A handler made of functions; notes what it was told.
class Handler : public ConnectionHandler {
 public:
  std::function<size_t(ByteView)> bytes = [](ByteView b) { return b.size(); };
  std::function<void()> closed = [] {};
  std::function<void()> writable = [] {};
  std::optional<Error> reason;
  int closed_count = 0;

  size_t on_bytes(ByteView b) override { return bytes(b); }
  void on_closed(Error why) override {
    reason = why;
    ++closed_count;
    closed();
  }
  void on_writable() override { writable(); }
};

class RealNetwork : public ::testing::Test {
 protected:
  std::unique_ptr<Listener> listen(Address at, Network::Accept accept) {
    auto listener = reactor_.network().listen(std::move(at), std::move(accept));
    CHECK(listener.ok(), listener.error().message());
    return std::move(listener).value();
  }
  std::unique_ptr<Connection> connect(Address to) {
    auto connection = reactor_.run_until_done(reactor_.network().connect(std::move(to), 5s));
    CHECK(connection.ok(), connection.error().message());
    return std::move(connection).value();
  }
  /// Two connected ends; turns run until both are there.
  void make_pair(Address at = kAnyPort) {
    listener_ = listen(std::move(at), [this](std::unique_ptr<Connection> accepted) {
      server_ = std::move(accepted);
    });
    client_ = connect(listener_->address());
    run_until([this] { return server_ != nullptr; });
  }
  /// Runs turns until `condition` holds; fails the test rather than hang.
  void run_until(std::function<bool()> condition) {
    Timer deadline(reactor_.clock(), [] { CHECK(false, "the condition never came to hold"); });
    deadline.arm_after(20s);
    std::function<void()> look = [&] {
      if (condition()) return reactor_.stop();
      again_->arm_after(Duration::zero());
    };
    again_.emplace(reactor_.clock(), [&] { look(); });
    look();
    if (!condition()) reactor_.run();
    again_.reset();
  }

  Reactor reactor_;
  std::optional<Timer> again_;
  std::unique_ptr<Listener> listener_;
  std::unique_ptr<Connection> client_;
  std::unique_ptr<Connection> server_;
  Handler client_handler_;
  Handler server_handler_;
};

Buffer numbered(size_t size_bytes, uint32_t from) {
  Buffer buffer = Buffer::allocate(size_bytes);
  const MutableByteView view = buffer.mutable_view();
  for (size_t i = 0; i < size_bytes; ++i) view[i] = static_cast<std::byte>((from + i) % 251);
  return buffer;
}

TEST_F(RealNetwork, EchoesATransferLargerThanAnySocketBuffer) {
  make_pair();
  constexpr size_t kTotalBytes = 64 << 20;
  size_t received_bytes = 0;
  size_t sent_bytes = 0;
  size_t largest_offer_bytes = 0;
  server_handler_.bytes = [&](ByteView b) {
    server_->send(Buffer::copy_of(b));
    return b.size();
  };
  const auto produce = [&] {
    while (sent_bytes < kTotalBytes && client_->unsent_bytes() < (4u << 20)) {
      const size_t piece_bytes = std::min<size_t>(100'003, kTotalBytes - sent_bytes);
      client_->send(numbered(piece_bytes, static_cast<uint32_t>(sent_bytes % 251)));
      sent_bytes += piece_bytes;
    }
  };
  client_handler_.bytes = [&](ByteView b) {
    largest_offer_bytes = std::max(largest_offer_bytes, b.size());
    for (size_t i = 0; i < b.size(); i += 1009) {
      CHECK(b[i] == static_cast<std::byte>((received_bytes + i) % 251), "bytes out of order");
    }
    received_bytes += b.size();
    return b.size();
  };
  client_handler_.writable = produce;
  server_->start(server_handler_);
  client_->start(client_handler_);
  produce();
  run_until([&] { return received_bytes == kTotalBytes; });
  EXPECT_EQ(sent_bytes, kTotalBytes);
  EXPECT_EQ(client_->unsent_bytes(), 0u);
  EXPECT_GT(largest_offer_bytes, 64u << 10) << "much at a time under load";
}

TEST_F(RealNetwork, BuffersOfATurnArriveTogether) {
  make_pair();
  std::vector<size_t> offers;
  server_handler_.bytes = [&](ByteView b) {
    offers.push_back(b.size());
    return b.size();
  };
  server_->start(server_handler_);
  client_->start(client_handler_);
  for (int i = 0; i < 200; ++i) client_->send(numbered(20, 0));
  client_->send(Buffer());
  EXPECT_EQ(client_->unsent_bytes(), 4000u) << "nothing is sent within the call";
  run_until([&] { return !offers.empty(); });
  EXPECT_EQ(offers, std::vector<size_t>{4000});
}

TEST_F(RealNetwork, WhatIsNotTakenIsOfferedAgainWithMoreBehindIt) {
  make_pair();
  std::vector<size_t> offers;
  server_handler_.bytes = [&](ByteView b) -> size_t {
    offers.push_back(b.size());
    return b.size() / 10 * 10;
  };
  server_->start(server_handler_);
  client_->send(numbered(25, 0));
  run_until([&] { return offers.size() == 1; });
  client_->send(numbered(7, 0));
  run_until([&] { return offers.size() == 2; });
  EXPECT_EQ(offers, (std::vector<size_t>{25, 12}));
}

TEST_F(RealNetwork, AnExpectedFrameIsOfferedWholeHoweverLarge) {
  make_pair();
  constexpr size_t kFrameBytes = 9'000'000;
  std::vector<size_t> offers;
  server_handler_.bytes = [&](ByteView b) -> size_t {
    offers.push_back(b.size());
    if (b.size() < kFrameBytes) {
      server_->expect(kFrameBytes);
      return 0;
    }
    CHECK(b[kFrameBytes - 1] == static_cast<std::byte>((kFrameBytes - 1) % 251));
    return kFrameBytes;
  };
  server_->start(server_handler_);
  client_->start(client_handler_);
  client_->send(numbered(100, 0));
  run_until([&] { return offers.size() == 1; });
  client_->send(numbered(kFrameBytes - 100, 100));
  run_until([&] { return offers.size() == 2; });
  EXPECT_EQ(offers, (std::vector<size_t>{100, kFrameBytes}));
}

TEST_F(RealNetwork, ExpectingNoMoreThanWhatIsLeftIsAnsweredAtOnce) {
  make_pair();
  std::vector<size_t> offers;
  server_handler_.bytes = [&](ByteView b) -> size_t {
    offers.push_back(b.size());
    server_->expect(10);
    return std::min<size_t>(b.size(), 10);
  };
  server_->start(server_handler_);
  client_->send(numbered(35, 0));
  run_until([&] { return offers.size() == 3; });
  client_->send(numbered(5, 0));
  run_until([&] { return offers.size() == 4; });
  EXPECT_EQ(offers, (std::vector<size_t>{35, 25, 15, 10}));
}

TEST_F(RealNetwork, APausedReaderHoldsTheSenderBack) {
  make_pair();
  size_t received_bytes = 0;
  int calls = 0;
  server_handler_.bytes = [&](ByteView b) -> size_t {
    if (++calls == 1) {
      server_->pause_reading();
      return 1;  // The rest of what is here must come after the pause, without new bytes.
    }
    received_bytes += b.size();
    return b.size();
  };
  bool writable = false;
  client_handler_.writable = [&] { writable = true; };
  server_->start(server_handler_);
  client_->start(client_handler_);
  client_->send(numbered(100, 0));
  run_until([&] { return calls == 1; });
  constexpr size_t kMoreBytes = 32 << 20;  // More than the two kernels' buffers hold.
  client_->send(numbered(kMoreBytes, 0));
  reactor_.run_until_done(
      [](Clock* clock) -> Task<void> { co_await clock->sleep(50ms); }(&reactor_.clock()));
  EXPECT_EQ(calls, 1) << "nothing is offered during the pause";
  EXPECT_GT(client_->unsent_bytes(), 0u);
  EXPECT_FALSE(writable);
  server_->resume_reading();
  EXPECT_EQ(calls, 1) << "not from inside the call";
  run_until([&] { return received_bytes == kMoreBytes + 99; });
  EXPECT_TRUE(writable);
}

TEST_F(RealNetwork, APauseBetweenTwoFramesLosesNothing) {
  make_pair();
  int calls = 0;
  server_handler_.bytes = [&](ByteView) -> size_t {
    ++calls;
    server_->pause_reading();
    return 10;
  };
  server_->start(server_handler_);
  client_->send(numbered(30, 0));
  for (int expected = 1; expected <= 3; ++expected) {
    run_until([&] { return calls == expected; });
    server_->resume_reading();
  }
  EXPECT_EQ(calls, 3);
}

TEST_F(RealNetwork, TheEndOfThePeerIsToldOnceAfterItsLastBytes) {
  make_pair();
  size_t received_bytes = 0;
  server_handler_.bytes = [&](ByteView b) {
    received_bytes += b.size();
    return b.size();
  };
  server_->start(server_handler_);
  client_->send(numbered(1000, 0));
  client_.reset();  // Queued and not yet sent: it goes out all the same.
  run_until([&] { return server_handler_.closed_count > 0; });
  EXPECT_EQ(received_bytes, 1000u);
  EXPECT_EQ(server_handler_.reason->code(), Errc::kClosed);
  server_->send(numbered(10, 0));
  server_->resume_reading();
  EXPECT_EQ(server_->unsent_bytes(), 0u) << "sending on a closed connection does nothing";
  EXPECT_EQ(server_handler_.closed_count, 1);
}

TEST_F(RealNetwork, AConnectionMayBeDestroyedFromEachOfItsCallbacks) {
  make_pair();
  bool gone = false;
  server_handler_.bytes = [&](ByteView b) {
    server_->send(numbered(5, 0));
    server_.reset();
    return b.size();
  };
  client_handler_.closed = [&] {
    client_.reset();
    gone = true;
  };
  server_->start(server_handler_);
  client_->start(client_handler_);
  client_->send(numbered(100'000, 0));
  run_until([&] { return gone; });
  EXPECT_EQ(server_, nullptr);
  EXPECT_EQ(client_, nullptr);

  make_pair();
  server_->start(server_handler_);
  server_handler_.bytes = [](ByteView b) { return b.size(); };
  client_handler_.writable = [&] { client_.reset(); };
  client_->start(client_handler_);
  client_->send(numbered(32 << 20, 0));
  run_until([&] { return client_ == nullptr; });
}

TEST_F(RealNetwork, SendingToAPeerThatResetIsAnEndAndNoSignal) {
  make_pair();
  client_->start(client_handler_);
  server_.reset();
  for (int i = 0; i < 10 && client_handler_.closed_count == 0; ++i) {
    client_->send(numbered(100'000, 0));
    reactor_.post([&] { reactor_.stop(); });
    reactor_.run();
  }
  run_until([&] { return client_handler_.closed_count == 1; });
  EXPECT_EQ(client_handler_.reason->code(), Errc::kClosed);
}

TEST_F(RealNetwork, AnEndBeforeTheStartIsToldAfterIt) {
  make_pair();
  server_.reset();
  for (int i = 0; i < 10; ++i) {
    client_->send(numbered(100'000, 0));
    reactor_.post([&] { reactor_.stop(); });
    reactor_.run();
  }
  client_->start(client_handler_);
  EXPECT_EQ(client_handler_.closed_count, 0) << "not from inside the call";
  run_until([&] { return client_handler_.closed_count == 1; });
}

TEST_F(RealNetwork, ManyConnectionsAtOnceAreAllAccepted) {
  std::vector<std::unique_ptr<Connection>> accepted;
  listener_ =
      listen(kAnyPort, [&](std::unique_ptr<Connection> c) { accepted.push_back(std::move(c)); });
  std::vector<std::unique_ptr<Connection>> connected;
  for (int i = 0; i < 200; ++i) connected.push_back(connect(listener_->address()));
  run_until([&] { return accepted.size() == 200; });
  EXPECT_NE(accepted[0]->peer(), accepted[1]->peer());
  EXPECT_EQ(connected[0]->peer(), listener_->address());
}

TEST_F(RealNetwork, SixthVersionOfTheProtocol) {
  const UniqueFd probe(::socket(AF_INET6, SOCK_STREAM, 0));
  auto listener = reactor_.network().listen({"[::1]:0"}, [](std::unique_ptr<Connection>) {});
  if (!probe || !listener.ok()) GTEST_SKIP() << "this machine has no IPv6";
  EXPECT_TRUE((*listener)->address().text.starts_with("[::1]:"));
  EXPECT_EQ(connect((*listener)->address())->peer(), (*listener)->address());
}

TEST_F(RealNetwork, UnixSocketsCarryAndTheirNameGoesWithTheListener) {
  std::string directory = (std::filesystem::temp_directory_path() / "cairn_net_XXXXXX").string();
  ASSERT_NE(::mkdtemp(directory.data()), nullptr);
  const std::string path = directory + "/socket";
  const Address at{"unix:" + path};
  make_pair(at);
  size_t received_bytes = 0;
  server_handler_.bytes = [&](ByteView b) {
    received_bytes += b.size();
    return b.size();
  };
  server_->start(server_handler_);
  client_->start(client_handler_);
  client_->send(numbered(5 << 20, 0));
  run_until([&] { return received_bytes == 5u << 20; });
  EXPECT_EQ(server_->peer(), at);
  EXPECT_EQ(reactor_.network().listen(at, [](std::unique_ptr<Connection>) {}).code(),
            Errc::kAlreadyExists)
      << "somebody listens";
  listener_.reset();
  EXPECT_FALSE(std::filesystem::exists(path));

  {  // What a server that was killed leaves behind: a name, and nobody who listens.
    const UniqueFd dead(::socket(AF_UNIX, SOCK_STREAM, 0));
    auto name = parse_address(at);
    ASSERT_EQ(::bind(dead.get(), name->get(), name->size_bytes), 0);
  }
  EXPECT_TRUE(std::filesystem::exists(path));
  make_pair(at);
  EXPECT_NE(server_, nullptr);
  listener_.reset();
  std::filesystem::remove_all(directory);
}

TEST_F(RealNetwork, AFileInTheWayOfAUnixSocketIsLeftAlone) {
  std::string path = (std::filesystem::temp_directory_path() / "cairn_net_XXXXXX").string();
  const UniqueFd file(::mkstemp(path.data()));
  EXPECT_EQ(reactor_.network().listen({"unix:" + path}, [](std::unique_ptr<Connection>) {}).code(),
            Errc::kAlreadyExists);
  EXPECT_TRUE(std::filesystem::exists(path));
  std::filesystem::remove(path);
}

TEST_F(RealNetwork, RefusedAndSilentPeersAreUnavailable) {
  auto listener = listen(kAnyPort, [](std::unique_ptr<Connection>) {});
  const Address address = listener->address();
  listener.reset();
  auto refused = reactor_.run_until_done(reactor_.network().connect(address, 5s));
  EXPECT_EQ(refused.code(), Errc::kUnavailable);
  EXPECT_NE(refused.error().message().find("refused"), std::string::npos);

  // A listener whose backlog is full answers nobody.
  const UniqueFd silent(::socket(AF_INET, SOCK_STREAM, 0));
  auto name = parse_address(kAnyPort);
  ASSERT_EQ(::bind(silent.get(), name->get(), name->size_bytes), 0);
  ASSERT_EQ(::listen(silent.get(), 0), 0);
  SocketAddress bound;
  bound.size_bytes = sizeof(bound.storage);
  ASSERT_EQ(::getsockname(silent.get(), bound.get(), &bound.size_bytes), 0);
  std::vector<std::unique_ptr<Connection>> filling;
  Result<std::unique_ptr<Connection>> last = error(Errc::kInternal, "never tried");
  do {
    last = reactor_.run_until_done(reactor_.network().connect(format_address(bound), 50ms));
    if (last.ok()) filling.push_back(std::move(*last));
  } while (last.ok() && filling.size() < 10);
  EXPECT_EQ(last.code(), Errc::kUnavailable);
  EXPECT_NE(last.error().message().find("no answer within 50 ms"), std::string::npos);

  EXPECT_EQ(reactor_.run_until_done(reactor_.network().connect({"unix:/none"}, 1s)).code(),
            Errc::kUnavailable);
}

TEST_F(RealNetwork, AListenerMayBeDestroyedByWhomItCalls) {
  int accepted = 0;
  listener_ = listen(kAnyPort, [&](std::unique_ptr<Connection>) {
    ++accepted;
    listener_.reset();
  });
  const auto client = connect(listener_->address());
  run_until([&] { return accepted == 1; });
  EXPECT_EQ(listener_, nullptr);
}

class CountingSink : public LogSink {
 public:
  int warnings = 0;
  void write(LogLevel level, std::string_view, std::string_view,
             std::initializer_list<LogField>) override {
    if (level == LogLevel::kWarn) ++warnings;
  }
};

TEST(RealNetworkLimits, OutOfDescriptorsAcceptsLaterAndDoesNotSpin) {
  CountingSink sink;
  Reactor reactor({.logger = Logger(sink, "test")});
  int accepted = 0;
  auto listener =
      reactor.network().listen(kAnyPort, [&](std::unique_ptr<Connection>) { ++accepted; });
  ASSERT_TRUE(listener.ok());
  auto first = reactor.run_until_done(reactor.network().connect((*listener)->address(), 1s));
  ASSERT_TRUE(first.ok());
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const UniqueFd next(::dup(0));
  const UniqueFd client(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
  auto name = parse_address((*listener)->address());
  const rlimit none{.rlim_cur = 3, .rlim_max = before.rlim_max};
  // A first call now: the undefined-behaviour sanitizer wants a pipe to look at a class it meets.
  Logger(sink, "test").warn("first");
  Timer give_back(reactor.clock(), [&] { ::setrlimit(RLIMIT_NOFILE, &before); });
  Timer stop(reactor.clock(), [&] { reactor.stop(); });
  accepted = 0;
  sink.warnings = 0;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  ::connect(client.get(), name->get(), name->size_bytes);
  give_back.arm_after(250ms);
  stop.arm_after(500ms);
  reactor.run();
  EXPECT_EQ(accepted, 1);
  EXPECT_GE(sink.warnings, 1);
  EXPECT_LE(sink.warnings, 4) << "one an attempt, ten attempts a second";
}

TEST(SocketAddress, IsParsedAndFormatted) {
  for (const char* text : {"127.0.0.1:7000", "[::1]:65535", "0.0.0.0:0", "unix:/run/a b"}) {
    auto parsed = parse_address({text});
    ASSERT_TRUE(parsed.ok()) << text;
    EXPECT_EQ(format_address(*parsed).text, text);
  }
  for (const char* text :
       {"", ":", "host:1", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:1x",
        "127.0.0.1:-1", "::1:80", "[::1]", "[]:1", "unix:", "unix:relative"}) {
    EXPECT_EQ(parse_address({text}).code(), Errc::kInvalidArgument) << text;
  }
  EXPECT_EQ(parse_address({"unix:/" + std::string(200, 'x')}).code(), Errc::kInvalidArgument);
}

TEST(ReceiveBuffer, KeepsItsContentWhileItMovesAndGrows) {
  ReceiveBuffer buffer;
  size_t added = 0;
  size_t taken = 0;
  for (int i = 0; i < 2000; ++i) {
    const size_t wanted = i % 100 == 0 ? size_t{1} << 20 : 0;
    const MutableByteView space = buffer.space_for(wanted);
    ASSERT_GE(space.size(), ReceiveBuffer::kSpaceMin);
    ASSERT_GE(space.size() + buffer.content_bytes(), wanted);
    const size_t count = std::min<size_t>(space.size(), static_cast<size_t>(i) * 7919 % 60'000);
    for (size_t k = 0; k < count; ++k) space[k] = static_cast<std::byte>(added++ % 251);
    buffer.add(count);
    const size_t take = i % 50 == 49 ? buffer.content_bytes() : buffer.content_bytes() / 2;
    for (size_t k = 0; k < take; ++k) {
      ASSERT_EQ(buffer.content()[k], static_cast<std::byte>(taken++ % 251));
    }
    buffer.take(take);
  }
  EXPECT_EQ(buffer.content_bytes(), added - taken);
}

TEST(SendQueue, PartialWritesContinueWhereTheyEnded) {
  SendQueue queue;
  std::vector<std::byte> expected;
  for (uint32_t i = 1; i <= 20; ++i) {
    queue.push(numbered(i * 10, i));
    const Buffer copy = numbered(i * 10, i);
    expected.insert(expected.end(), copy.view().begin(), copy.view().end());
  }
  std::vector<std::byte> sent;
  std::array<iovec, 4> vectors;
  while (!queue.empty()) {
    size_t offered_bytes = 0;
    const size_t count = queue.describe(vectors, &offered_bytes);
    const size_t taken_bytes = std::min<size_t>(offered_bytes, 37);
    for (size_t i = 0, left = taken_bytes; i < count && left > 0; ++i) {
      const auto* from = static_cast<const std::byte*>(vectors[i].iov_base);
      const size_t part = std::min(left, vectors[i].iov_len);
      sent.insert(sent.end(), from, from + part);
      left -= part;
    }
    queue.take(taken_bytes);
    EXPECT_EQ(queue.unsent_bytes(), expected.size() - sent.size());
  }
  EXPECT_EQ(sent, expected);
}

}  // namespace
}  // namespace cairn::io::real
