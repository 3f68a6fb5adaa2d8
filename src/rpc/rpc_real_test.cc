/// Server and client over the kernel's sockets: what the simulator's network cannot show.
#include <gtest/gtest.h>

#include "io/real/reactor.h"
#include "rpc/rpc_test.h"

namespace cairn::rpc {
namespace {

using namespace cairn::rpc::testing;

class RpcRealTest : public ::testing::TestWithParam<const char*> {
 protected:
  RpcRealTest()
      : env_{reactor_,
             reactor_.clock(),
             reactor_.network(),
             reactor_.entropy(),
             buffers_,
             rng_,
             Logger(log_, "test"),
             metrics_},
        service_(env_),
        server_(env_, {}, kKey),
        client_(env_, {}, kKey) {
    service_.add_to(server_);
    auto bound = server_.listen({GetParam()});
    CHECK(bound.ok(), bound.ok() ? "" : bound.error().message());
    address_ = *bound;
  }
  ~RpcRealTest() override {
    reactor_.run_until_done(client_.stop());
    reactor_.run_until_done(server_.stop());
  }

  LogLines log_;
  BufferPool buffers_;
  Rng rng_{1};
  Registry metrics_;
  io::real::Reactor reactor_;
  io::Env env_;
  TestService service_;
  Server server_;
  Client client_;
  io::Address address_;
};

INSTANTIATE_TEST_SUITE_P(Loopback, RpcRealTest, ::testing::Values("127.0.0.1:0", "[::1]:0"));

TEST_P(RpcRealTest, AttachmentsOfEverySizeComeBack) {
  for (const size_t size_bytes : {0ul, 1ul, 4096ul, 65537ul, 1 * kMiB, 32 * kMiB}) {
    const Buffer sent = pattern(size_bytes);
    auto answer = reactor_.run_until_done(echo(client_, address_, {sent}, 20s));
    ASSERT_TRUE(answer.ok()) << answer.error().describe();
    if (size_bytes == 0) {
      EXPECT_TRUE(answer->attachment.empty());
    } else {
      ASSERT_EQ(answer->attachment.size(), 1u);
      EXPECT_TRUE(as_text(answer->attachment[0].view()) == as_text(sent.view())) << size_bytes;
    }
  }
}

io::Task<void> echo_many(Client* client, io::Address to, int calls_count, int* right_count) {
  for (int i = 0; i < calls_count; ++i) {
    const Buffer sent = pattern(4096, static_cast<uint8_t>(i));
    auto answer = co_await echo(*client, to, {sent}, 20s);
    if (answer.ok() && as_text(answer->attachment[0].view()) == as_text(sent.view())) {
      ++*right_count;
    }
  }
}

TEST_P(RpcRealTest, ManyFlowsShareOneConnection) {
  int right_count = 0;
  for (int flow = 0; flow < 64; ++flow) {
    reactor_.spawn(echo_many(&client_, address_, 100, &right_count));
  }
  auto last = reactor_.run_until_done(ping(client_, address_, 20s));
  EXPECT_TRUE(last.ok());
  while (right_count < 6400 && metrics_.gauge("cairn_rpc_client_inflight_calls", "").value() > 0) {
    EXPECT_TRUE(reactor_.run_until_done(ping(client_, address_, 20s)).ok());
  }
  EXPECT_EQ(right_count, 6400);
  EXPECT_EQ(server_.connections_count(), 1u);
}

TEST_P(RpcRealTest, AWrongKeyIsToldWhatToDo) {
  Client stranger(env_, {}, ClusterKey{"another key, as long as the first"});
  auto answer = reactor_.run_until_done(ping(stranger, address_));
  EXPECT_EQ(answer.code(), Errc::kUnauthenticated);
  EXPECT_NE(answer.error().message().find("--key-file"), std::string::npos);
  reactor_.run_until_done(stranger.stop());
}

io::Task<void> sleep_for(io::Clock* clock, Duration duration) {
  co_await clock->sleep(duration);
}

TEST_P(RpcRealTest, GarbageOnThePortLeavesTheOthersServed) {
  EXPECT_TRUE(reactor_.run_until_done(ping(client_, address_)).ok());
  RawPeer peer(env_);
  reactor_.run_until_done(RawPeer::connect(&peer, address_));
  peer.send_bytes(as_bytes("GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: curl/7.88.1\r\n\r\n"));
  for (int i = 0; i < 500 && !peer.closed; ++i) {
    reactor_.run_until_done(sleep_for(&reactor_.clock(), 10ms));
  }
  EXPECT_TRUE(peer.closed);
  ASSERT_TRUE(peer.refusal) << "the reason arrives before the end";
  EXPECT_NE(peer.refusal->message().find("not a Cairn frame"), std::string::npos);
  EXPECT_TRUE(reactor_.run_until_done(ping(client_, address_)).ok());
}

}  // namespace
}  // namespace cairn::rpc
