/// Several MDS on one replicated store, and clients that find the active one.
#include "mds/member.h"

#include <gtest/gtest.h>

#include "client/cluster.h"
#include "kv/replicated_store.h"
#include "sim/io/world.h"
#include "store/kv/memory_meta_store.h"
#include "wire/mds.pb.h"

namespace cairn::mds {
namespace {

const rpc::ClusterKey kKey{"a key of the test's cluster"};
constexpr uint16_t kPort = 6700;

/// A process with everything that `cairn mds --peers` runs.
class Process {
 public:
  Process(sim::Host& host, kv::ReplicatedOptions store_options)
      : host_(host), store_options_(std::move(store_options)) {
    options_.cluster_key = kKey;
    options_.listen = host_.address(kPort);
    start();
    store_options_.is_new = false;
  }
  ~Process() { crash(sim::CrashKind::kKill); }

  void start() {
    if (!host_.is_running()) host_.boot();
    host_.execute([this] {
      const io::Env env = host_.env();
      client_ = std::make_unique<rpc::Client>(env, rpc::ClientOptions(), kKey);
      server_ = std::make_unique<rpc::Server>(env, rpc::ServerOptions(), kKey);
      store_ = std::make_unique<kv::ReplicatedStore>(env, host_.disk(), local_, *client_,
                                                     store_options_);
      store_->add_to(*server_);
      member_ = std::make_unique<Member>(env, *store_, *server_, options_);
      CHECK(server_->listen(options_.listen).ok());
      env.executor.spawn(run_start());
    });
  }
  void crash(sim::CrashKind kind) {
    if (!host_.is_running()) return;
    host_.crash(kind, [this] {
      member_.reset();
      store_.reset();
      server_.reset();
      client_.reset();
    });
    if (kind == sim::CrashKind::kPowerLoss) local_.lose_unsynced(host_.world().rng());
  }
  io::Task<void> stop() {
    co_await member_->stop();
    co_await store_->stop();
    co_await server_->stop();
    co_await client_->stop();
  }
  sim::Host& host() { return host_; }
  int64_t gauge(std::string_view name) { return host_.env().metrics.gauge(name, "").value(); }
  bool is_active() const { return host_.is_running() && member_->active() != nullptr; }

 private:
  io::Task<void> run_start() {
    const Status started = co_await store_->start();
    CHECK(started.ok(), started.ok() ? "" : started.error().message());
    CHECK(member_->start().ok());
  }
  sim::Host& host_;
  kv::ReplicatedOptions store_options_;
  Options options_;
  kv::MemoryMetaStore local_;
  std::unique_ptr<rpc::Client> client_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<kv::ReplicatedStore> store_;
  std::unique_ptr<Member> member_;
};

class MemberTest : public ::testing::TestWithParam<uint64_t> {
 protected:
  MemberTest() : world_(GetParam()), client_host_(world_.add_host("client")) {
    kv::ReplicatedOptions store{
        .is_new = true, .raft = kv::metadata_raft_options(), .wal = {.segment_bytes = 4 * kMiB}};
    std::vector<sim::Host*> hosts;
    client::ClientOptions options{.key = kKey};
    for (uint64_t i = 1; i <= 3; ++i) {
      hosts.push_back(&world_.add_host("mds-" + std::to_string(i)));
      store.members.emplace(NodeId(i), hosts.back()->address(kPort));
      options.mds.push_back(hosts.back()->address(kPort));
    }
    for (uint64_t i = 1; i <= 3; ++i) {
      store.self = NodeId(i);
      processes_.push_back(std::make_unique<Process>(*hosts[i - 1], store));
    }
    cluster_ = std::make_unique<client::Cluster>(client_host_.env(), options);
  }
  ~MemberTest() override {
    CHECK(world_.run(client_host_, cluster_->stop()).ok());
    cluster_.reset();
  }
  Process* active() {
    for (auto& process : processes_) {
      if (process->is_active() && !process->host().is_paused()) return process.get();
    }
    return nullptr;
  }
  Result<wire::VolumeInfo> create(int number) {
    return world_.run(client_host_,
                      cluster_->create_volume("v" + std::to_string(number), 10 * kGiB));
  }

  sim::World world_;
  sim::Host& client_host_;
  std::vector<std::unique_ptr<Process>> processes_;
  std::unique_ptr<client::Cluster> cluster_;
};

TEST_P(MemberTest, AClientFindsTheActiveOneAndStatusShowsIt) {
  ASSERT_TRUE(create(1).ok());
  auto status = world_.run(client_host_, cluster_->cluster_status());
  ASSERT_TRUE(status.ok()) << status.error().describe();
  ASSERT_EQ(status->mds_size(), 3);
  ASSERT_NE(active(), nullptr);
  for (const auto& mds : status->mds()) {
    EXPECT_EQ(mds.is_active(), mds.address() == active()->host().address(kPort).text);
  }
}

TEST_P(MemberTest, WhenTheActiveOneIsLostAnotherServesWithinFiveSecondsWithoutAnError) {
  ASSERT_TRUE(create(0).ok());
  for (int round = 1; round <= 4; ++round) {
    Process* lost = active();
    ASSERT_NE(lost, nullptr);
    lost->crash(round % 2 ? sim::CrashKind::kPowerLoss : sim::CrashKind::kKill);
    const Instant before = world_.now();
    const auto made = create(round);
    ASSERT_TRUE(made.ok()) << made.error().describe();
    EXPECT_LE(world_.now() - before, 5s);
    lost->start();
    world_.run_for(2s);
  }
  const auto volumes = world_.run(client_host_, cluster_->list_volumes());
  ASSERT_TRUE(volumes.ok());
  EXPECT_EQ(volumes->size(), 5u);
}

TEST_P(MemberTest, APausedActiveOneComesBackAndDecidesNothing) {
  ASSERT_TRUE(create(0).ok());
  Process* first = active();
  ASSERT_TRUE(world_.run_until([&] { return first->gauge("cairn_mds_volumes") == 1; }, 5s));
  EXPECT_EQ(first->gauge("cairn_mds_active"), 1);
  first->host().pause();
  ASSERT_TRUE(create(1).ok());
  ASSERT_TRUE(world_.run(client_host_, cluster_->delete_volume("v0")).ok());
  first->host().resume();
  // Whoever is asked: nobody answers from the past.
  for (int i = 2; i < 6; ++i) {
    ASSERT_TRUE(create(i).ok());
    EXPECT_EQ(world_.run(client_host_, cluster_->stat_volume("v0")).code(), Errc::kNotFound);
    world_.run_for(500ms);
  }
  ASSERT_TRUE(world_.run_until([&] { return !first->is_active(); }, 10s));
  EXPECT_EQ(first->gauge("cairn_mds_active"), 0);
  EXPECT_EQ(first->gauge("cairn_mds_volumes"), 0) << "it no longer knows";
  EXPECT_EQ(world_.run(client_host_, cluster_->list_volumes())->size(), 5u);
}

TEST_P(MemberTest, AStopHandsOverWithoutAnElectionTimeout) {
  ASSERT_TRUE(create(0).ok());
  Process* first = active();
  const Instant before = world_.now();
  first->host().spawn(first->stop());
  ASSERT_TRUE(world_.run_until([&] { return active() && active() != first; }, 5s));
  EXPECT_LT(world_.now() - before, 700ms);
  ASSERT_TRUE(create(1).ok());
  world_.run_for(10s);
}

INSTANTIATE_TEST_SUITE_P(Seeds, MemberTest, ::testing::Range(uint64_t{1}, uint64_t{6}));

}  // namespace
}  // namespace cairn::mds
