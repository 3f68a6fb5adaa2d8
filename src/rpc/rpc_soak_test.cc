/// Calls under faults that come and go: each ends in time, with its own answer or with an error
/// that is allowed, and nothing is left behind.
#include "rpc/rpc_test.h"
#include "sim/io/world.h"

namespace cairn::rpc {
namespace {

using namespace cairn::rpc::testing;

constexpr Duration kTimeout = 200ms;
constexpr Duration kTimeoutSlack = 15ms;  // a sweep, and turns that others keep busy

struct Tally {
  uint64_t right_count = 0;
  uint64_t failed_count = 0;
  uint64_t wrong_count = 0;
  uint64_t late_count = 0;
  uint64_t strange_count = 0;  ///< an error that this must not give
  size_t running_count = 0;
};

bool is_expected(Errc code) {
  return code == Errc::kTimeout || code == Errc::kUnavailable || code == Errc::kOverloaded;
}

io::Task<void> call_until(Client* client, io::Clock* clock, io::Address to, Instant until,
                          uint64_t flow, Tally* tally) {
  ++tally->running_count;
  for (uint64_t round = 0; clock->now() < until; ++round) {
    const Buffer sent = pattern((flow * 7919 + round * 104729) % 20000 + 1,
                                static_cast<uint8_t>(flow * 16 + round));
    const Instant begun = clock->now();
    auto answer = co_await echo(*client, to, {sent}, kTimeout);
    if (clock->now() - begun > kTimeout + kTimeoutSlack) ++tally->late_count;
    if (!answer) {
      ++tally->failed_count;
      if (!is_expected(answer.code())) ++tally->strange_count;
    } else {
      const bool is_right = answer->attachment.size() == 1 &&
                            as_text(answer->attachment[0].view()) == as_text(sent.view());
      ++(is_right ? tally->right_count : tally->wrong_count);
    }
    co_await clock->sleep(10ms);
  }
  --tally->running_count;
}

bool may_fault(ByteView frame) {
  const auto kind = load<FramePrefix>(frame).kind;
  return kind <= FrameKind::kPong;  // the handshake's and what ends a connection pass
}

class RpcSoakTest : public ::testing::TestWithParam<uint64_t> {
 protected:
  RpcSoakTest()
      : world_(GetParam()),
        server_host_(world_.add_host("server")),
        client_host_(world_.add_host("client")) {}
  ~RpcSoakTest() override {
    client_host_.crash(sim::CrashKind::kKill, [&] { client_.reset(); });
    crash_server(sim::CrashKind::kKill);
  }
  void start_server() {
    server_host_.execute([&] {
      service_.emplace(server_host_.env());
      server_.emplace(server_host_.env(), ServerOptions{.inflight_calls_max = 20}, kKey);
      service_->add_to(*server_);
      CHECK(server_->listen(server_host_.address(7000)).ok());
    });
  }
  void crash_server(sim::CrashKind kind) {
    server_host_.crash(kind, [&] {
      server_.reset();
      service_.reset();
    });
  }
  void disturb() {
    sim::Fabric& fabric = world_.fabric();
    Rng& rng = world_.rng();
    switch (rng.below(7)) {
      case 0:
        return fabric.cut_both(client_host_, server_host_);
      case 1:
        return fabric.cut(server_host_, client_host_);
      case 2:
        return fabric.reset_connections(client_host_, server_host_);
      case 3:
        crash_server(rng.chance(0.5) ? sim::CrashKind::kKill : sim::CrashKind::kPowerLoss);
        world_.run_for(Duration(rng.below(300'000'000)));
        server_host_.boot();
        return start_server();
      case 4:
        return fabric.set_frame_faults({.drop = 0.05, .duplicate = 0.1, .delay = 0.1});
      case 5:
        return fabric.set_extra_delay(client_host_, server_host_, Duration(rng.below(250'000'000)));
      default:
        fabric.set_frame_faults({});
        return fabric.heal_all();
    }
  }

  sim::World world_;
  sim::Host& server_host_;
  sim::Host& client_host_;
  std::optional<TestService> service_;
  std::optional<Server> server_;
  std::optional<Client> client_;
};

INSTANTIATE_TEST_SUITE_P(Seeds, RpcSoakTest, ::testing::Range<uint64_t>(1, 13));

TEST_P(RpcSoakTest, EveryCallEndsInTimeWithItsOwnAnswerOrAnAllowedError) {
  world_.fabric().set_frame_codec({.frame_bytes = frame_bytes_at_front, .may_fault = may_fault});
  start_server();
  client_host_.execute([&] { client_.emplace(client_host_.env(), ClientOptions{}, kKey); });
  Tally tally;
  io::Clock& clock = client_host_.env().clock;
  const Instant until = clock.now() + 20s;
  for (uint64_t flow = 0; flow < 32; ++flow) {
    client_host_.spawn(
        call_until(&*client_, &clock, server_host_.address(7000), until, flow, &tally));
  }
  while (clock.now() < until - 5s) {
    world_.run_for(Duration(world_.rng().below(600'000'000)));
    disturb();
  }
  world_.fabric().set_frame_faults({});
  world_.fabric().heal_all();
  world_.run_for(4s);
  const uint64_t right_before_count = tally.right_count;
  EXPECT_TRUE(world_.run_until([&] { return tally.running_count == 0; }, 5s));
  EXPECT_GT(tally.right_count, right_before_count) << "it did not come back after the faults";
  EXPECT_GT(tally.failed_count, 0u);
  EXPECT_EQ(tally.wrong_count, 0u);
  EXPECT_EQ(tally.late_count, 0u);
  EXPECT_EQ(tally.strange_count, 0u);
  EXPECT_EQ(client_host_.env().metrics.gauge("cairn_rpc_client_inflight_calls", "").value(), 0);
  world_.run_for(100ms);
  EXPECT_EQ(server_->inflight_calls_count(), 0u);
}

}  // namespace
}  // namespace cairn::rpc
