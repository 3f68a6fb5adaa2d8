// The log on a real directory, through io_uring.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "io/real/reactor.h"
#include "io/sync.h"
#include "store/wal/model.h"

namespace cairn::wal {
namespace {

class WaitingListener : public Listener {
 public:
  explicit WaitingListener(io::Executor& executor) : progress(executor) {}
  void on_durable(Lsn up_to) override {
    durable = up_to;
    progress.notify_all();
  }
  void on_failed(Error reason) override { ADD_FAILURE() << reason.describe(); }
  Lsn durable;
  io::Event progress;
};

io::Task<void> append_and_wait(Wal* wal, WaitingListener* listener,
                               std::vector<ModelOperation> operations) {
  for (const auto& operation : operations) append(*wal, operation);
  while (listener->durable < wal->last_lsn()) co_await listener->progress.wait_next();
}

io::Task<void> check_payloads(Wal* wal, Model model) {
  for (const auto& [id, group] : model) {
    for (const auto& [index, entry] : group.entries) {
      const auto payload = co_await wal->read_payload(GroupId(id), LogIndex(index));
      EXPECT_TRUE(payload.ok() && std::ranges::equal(payload->view(), payload_of(entry).view()));
    }
  }
}

TEST(WalReal, ALogOnARealDiskIsReadBackThroughSeveralLives) {
  const std::string base = std::filesystem::temp_directory_path() / "cairn_wal_XXXXXX";
  std::string root = base;
  ASSERT_NE(mkdtemp(root.data()), nullptr);
  Model model;
  Rng rng(5);
  uint64_t stamp = 0;
  for (int life = 0; life < 4; ++life) {
    io::real::Reactor reactor;
    BufferPool buffers;
    Registry metrics;
    const io::Env env{reactor,  reactor.clock(), reactor.network(), reactor.entropy(), buffers, rng,
                      Logger(), metrics};
    auto disk = reactor.open_disk(root);
    if (disk.code() == Errc::kUnsupported) GTEST_SKIP() << "no io_uring here";
    ASSERT_TRUE(disk.ok()) << disk.error().describe();
    WalOptions options;
    options.segment_bytes = kMiB;
    options.wal_bytes_max = 4 * kMiB;
    WaitingListener listener(reactor);
    std::vector<RecoveredGroup> recovered;
    auto opened = reactor.run_until_done(Wal::open(env, **disk, options, listener, &recovered));
    ASSERT_TRUE(opened.ok()) << opened.error().describe();
    EXPECT_TRUE(model_of(recovered) == model) << "life " << life;
    reactor.run_until_done(check_payloads(opened->get(), model));
    for (int turn = 0; turn < 60; ++turn) {
      std::vector<ModelOperation> operations;
      for (int i = 0; i < 8; ++i) {
        operations.push_back(random_operation(model, rng, 5, ++stamp));
        advance(model, operations.back());
      }
      reactor.run_until_done(append_and_wait(opened->get(), &listener, std::move(operations)));
    }
    reactor.run_until_done((*opened)->stop());
    opened->reset();
  }
  std::filesystem::remove_all(root);
}

}  // namespace
}  // namespace cairn::wal
