/// The store passes what every MetaStore passes on a real etcd, which this test starts.
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <filesystem>

#include "cli/dev_etcd.h"
#include "cli/etcd_mds.h"
#include "io/real/process.h"
#include "store/kv/conformance_test.h"

namespace cairn::kv {
namespace {

namespace fs = std::filesystem;

/// One etcd on loopback, until the test program ends.
class RealEtcd {
 public:
  explicit RealEtcd(bool with_flags = true) {
    const auto program = cli::find_etcd();
    CHECK(program.ok(), "this test needs Debian's etcd-server");
    std::string folder = (fs::temp_directory_path() / "cairn-etcd-XXXXXX").string();
    CHECK(::mkdtemp(folder.data()) != nullptr);
    self_.name = "etcd-1";
    self_.dir = folder_ = folder;
    self_.address = "127.0.0.1:" + std::to_string(*io::real::free_port());
    self_.peer = "127.0.0.1:" + std::to_string(*io::real::free_port());
    auto command = cli::etcd_command(*program, {self_}, self_);
    if (!with_flags) {
      const auto first = std::ranges::find(command, "--max-txn-ops");
      command.erase(first, first + 4);
    }
    auto process = io::real::start_daemon(command, folder + ".log");
    CHECK(process.ok());
    process_ = *process;
  }
  ~RealEtcd() {
    io::real::send_signal(process_, SIGKILL);
    while (io::real::is_running(process_)) ::usleep(1000);
    fs::remove_all(folder_);
    fs::remove(folder_ + ".log");
  }
  const std::string& address() const { return self_.address; }

 private:
  cli::DevProcess self_;
  std::string folder_;
  io::real::ProcessIdentity process_;
};

RealEtcd& real_etcd() {
  static RealEtcd etcd;
  return etcd;
}

/// A process that talks to an etcd.
class Client {
 public:
  explicit Client(const std::string& address, const std::string& prefix = "test") {
    auto connection =
        cli::EtcdConnection::open(process_, {.endpoints = {"http://" + address}, .prefix = prefix});
    CHECK(connection.ok());
    connection_ = std::move(*connection);
  }
  io::Env env() { return process_.env(); }
  io::real::Reactor& reactor() { return process_.reactor(); }
  etcd::Etcd& etcd() { return connection_->etcd(); }
  template <typename T>
  T run(io::Task<T> task) {
    return reactor().run_until_done(std::move(task));
  }

 private:
  cli::Process process_{"test", {.level = "error"}};
  std::unique_ptr<cli::EtcdConnection> connection_;
};

io::Task<void> wait_active(etcd::EtcdElection* election) {
  while (election->term() == 0) co_await election->changed().wait_next();
}

class EtcdBed {
 public:
  EtcdBed() : client_(real_etcd().address()), prefix_("bed-" + std::to_string(++beds_count)) {
    elect();
  }
  ~EtcdBed() { stop(); }
  MetaStore& store() { return *store_; }
  io::Executor& executor() { return client_.reactor(); }
  void drive(io::Task<void> task) { client_.run(std::move(task)); }
  void reopen() {
    stop();
    elect();
  }

 private:
  void elect() {
    etcd::ElectionOptions options{.prefix = prefix_, .self = {"here", "127.0.0.1:1"}};
    election_ = std::make_unique<etcd::EtcdElection>(client_.env(), client_.etcd(), options);
    const Status started = client_.run(election_->start());
    CHECK(started.ok(), started.ok() ? "" : started.error().describe().c_str());
    drive(wait_active(election_.get()));
    store_ = election_->store_of(election_->term());
  }
  void stop() {
    drive(election_->stop());
    store_.reset();
    election_.reset();
  }

  static inline int beds_count = 0;
  Client client_;
  const std::string prefix_;
  std::unique_ptr<etcd::EtcdElection> election_;
  std::unique_ptr<MetaStore> store_;
};

INSTANTIATE_TYPED_TEST_SUITE_P(Etcd, MetaStoreConformance, EtcdBed);

io::Task<Status> try_limits(io::Clock* clock, etcd::Etcd* etcd) {
  for (;;) {
    Status usable = co_await etcd::check_limits(*etcd, etcd::Layout("limits"), 10s);
    if (usable.ok() || usable.code() != Errc::kUnavailable) co_return usable;
    co_await clock->sleep(100ms);  // it starts
  }
}

TEST(RealEtcd, WithoutItsFlagsAnMdsSaysWhichItNeeds) {
  RealEtcd etcd(false);
  Client client(etcd.address());
  const Status usable = client.run(try_limits(&client.reactor().clock(), &client.etcd()));
  ASSERT_EQ(usable.code(), Errc::kInvalidArgument) << usable.error().describe();
  EXPECT_NE(usable.error().message().find("--max-txn-ops="), std::string::npos);
  EXPECT_NE(usable.error().message().find("--max-request-bytes="), std::string::npos);
}

TEST(RealEtcd, ALeaseThatHasEndedIsNotFound) {
  Client client(real_etcd().address());
  const auto granted = client.run(client.etcd().grant(5s, 5s));
  ASSERT_TRUE(granted.ok()) << granted.error().describe();
  EXPECT_EQ(granted->time_to_live, 5s);
  EXPECT_TRUE(client.run(client.etcd().keep_alive(granted->id, 5s)).ok());
  EXPECT_TRUE(client.run(client.etcd().revoke(granted->id, 5s)).ok());
  EXPECT_EQ(client.run(client.etcd().keep_alive(granted->id, 5s)).code(), Errc::kNotFound);
  EXPECT_EQ(client.run(client.etcd().revoke(granted->id, 5s)).code(), Errc::kNotFound);
}

TEST(RealEtcd, WhereNobodyListensACallFailsAtOnce) {
  Client client("127.0.0.1:" + std::to_string(*io::real::free_port()));
  const auto granted = client.run(client.etcd().grant(5s, 5s));
  EXPECT_EQ(granted.code(), Errc::kUnavailable);
}

io::Task<void> grant_in_vain(etcd::Etcd* etcd, bool* has_ended) {
  (void)co_await etcd->grant(5s, 60s);
  *has_ended = true;
}

TEST(RealEtcd, TheEndOfAConnectionEndsWhatIsUnderWay) {
  bool has_ended = false;
  {
    Client client(real_etcd().address());
    client.reactor().spawn(grant_in_vain(&client.etcd(), &has_ended));
  }
  EXPECT_FALSE(has_ended);
}

}  // namespace
}  // namespace cairn::kv
