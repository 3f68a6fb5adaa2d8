#include "rpc/services.h"

#include "rpc/rpc_test.h"
#include "sim/io/world.h"

namespace cairn::rpc {
namespace {

using namespace testing;

/// A server whose role comes and goes, and a client that calls it.
class ServicesTest : public ::testing::Test {
 protected:
  ServicesTest()
      : world_(1),
        host_(world_.add_host("a")),
        service_(host_.env()),
        server_(host_.env(), {}, kKey),
        client_(host_.env(), {}, kKey),
        role_(host_.env().executor) {
    role_.add(wire::Method::kPing, service_, &TestService::ping);
    role_.add(wire::Method::kReadChunk, service_, &TestService::hold);
    CHECK(server_.listen(host_.address(9000)).ok());
  }
  ~ServicesTest() override {
    world_.run(host_, client_.stop());
    world_.run(host_, server_.stop());
  }
  Result<Answer<wire::PingReply>> call_ping() {
    return world_.run(host_, ping(client_, host_.address(9000)));
  }

  sim::World world_;
  sim::Host& host_;
  TestService service_;
  Server server_;
  Client client_;
  Services role_;
};

TEST_F(ServicesTest, MethodsComeAndGoAndTheirAbsenceIsExplained) {
  EXPECT_EQ(call_ping().code(), Errc::kUnsupported);
  server_.set_absent([](wire::Method) { return error(Errc::kNotLeader, "ask at b"); });
  EXPECT_EQ(call_ping().code(), Errc::kNotLeader);
  server_.attach(role_);
  EXPECT_TRUE(call_ping().ok());
  server_.detach(role_);
  EXPECT_EQ(call_ping().code(), Errc::kNotLeader);
  EXPECT_EQ(service_.pings_count, 1u);
  server_.attach(role_);
  EXPECT_TRUE(call_ping().ok());
}

io::Task<Status> refuse_if(const bool* refuses) {
  if (*refuses) co_return error(Errc::kNotLeader, "no longer");
  co_return ok();
}

TEST_F(ServicesTest, TheGuardIsAskedBeforeEachCall) {
  bool refuses = false;
  role_.set_guard([&] { return refuse_if(&refuses); });
  server_.attach(role_);
  EXPECT_TRUE(call_ping().ok());
  refuses = true;
  EXPECT_EQ(call_ping().code(), Errc::kNotLeader);
  EXPECT_EQ(service_.pings_count, 1u);
}

TEST_F(ServicesTest, CloseWaitsForWhatIsUnderWayAndTheServerGoesOn) {
  server_.add(wire::Method::kWriteChunk, service_, &TestService::echo);
  server_.attach(role_);
  Outcome<Answer<wire::ReadChunkReply>> answer;
  host_.spawn(keep(held(client_, host_.address(9000)), &answer));
  ASSERT_TRUE(world_.run_until([&] { return service_.held_count == 1; }, 1s));
  server_.detach(role_);
  bool is_closed = false;
  host_.spawn(sim::detail::store_end(role_.close(), &is_closed));
  world_.run_for(1s);
  EXPECT_FALSE(is_closed);
  EXPECT_TRUE(world_.run(host_, echo(client_, host_.address(9000), {})).ok());
  host_.execute([&] { service_.release.set(); });
  ASSERT_TRUE(world_.run_until([&] { return is_closed && answer; }, 1s));
  EXPECT_TRUE(answer->ok());
}

}  // namespace
}  // namespace cairn::rpc
