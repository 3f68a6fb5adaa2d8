/// What people see over HTTP: Mds::view.
#include "mds/service_test.h"

namespace cairn::mds {
namespace {

using testing::FakeChunkserver;
using testing::MdsTest;

class BusyChunkserver final : public FakeChunkserver {
 public:
  using FakeChunkserver::FakeChunkserver;
  wire::HeartbeatRequest heartbeat() override {
    auto request = FakeChunkserver::heartbeat();
    request.set_writes(100);
    request.set_written_bytes(100 * 4096);
    request.set_writes_us(25'000);
    return request;
  }
};

class ViewTest : public MdsTest {
 protected:
  bool holds(std::string_view view, const std::string& text) {
    const auto shown = mds_->view(view);
    return shown.ok() && shown->find(text) != std::string::npos;
  }
};

TEST_F(ViewTest, EveryViewIsAnObjectOfWhatItsOperationAnswers) {
  start_cluster();
  ASSERT_TRUE(create_volume("v", 8 * kGiB).ok());
  EXPECT_TRUE(holds("status", "\"health\":\"ok\""));
  EXPECT_TRUE(holds("topology", "\"zones\":[{"));
  EXPECT_TRUE(holds("volumes", "\"name\":\"v\""));
  EXPECT_TRUE(holds("copysets", "\"copyset\":\"1\""));
  EXPECT_TRUE(holds("operators", "\"operators\":["));
  EXPECT_EQ(Mds::views().size(), 5u);
  const auto unknown = mds_->view("nothing");
  EXPECT_EQ(unknown.code(), Errc::kNotFound);
  EXPECT_NE(unknown.error().message().find("copysets, operators, status"), std::string::npos);
}

TEST_F(ViewTest, TrafficIsWhatTheLatestHeartbeatsCounted) {
  start_cluster();
  auto& host = world_.add_host("busy");
  auto busy = std::make_unique<BusyChunkserver>(host, mds_host_.address(testing::kMdsPort), "z9");
  busy->start();
  world_.run_for(5s);
  const auto status =
      call<wire::ClusterStatusReply>(wire::Method::kClusterStatus, wire::ClusterStatusRequest());
  ASSERT_TRUE(status.ok());
  const wire::Traffic& traffic = status->chunkservers().rbegin()->traffic();
  EXPECT_NEAR(traffic.writes_per_s(), 100, 5);
  EXPECT_NEAR(traffic.written_bytes_per_s(), 100 * 4096, 5 * 4096);
  EXPECT_DOUBLE_EQ(traffic.write_us(), 250);
  EXPECT_DOUBLE_EQ(traffic.reads_per_s(), 0);

  busy->crash();
  world_.run_for(5s);
  const auto later =
      call<wire::ClusterStatusReply>(wire::Method::kClusterStatus, wire::ClusterStatusRequest());
  EXPECT_FALSE(later->chunkservers().rbegin()->has_traffic()) << "of one that is silent";
}

}  // namespace
}  // namespace cairn::mds
