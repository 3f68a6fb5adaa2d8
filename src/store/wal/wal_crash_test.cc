// Crashes at any moment against a model: what was acknowledged is there, in order; what is there
// was appended; nothing comes back.
#include <gtest/gtest.h>

#include "sim/io/world.h"
#include "store/wal/model.h"

namespace cairn::wal {
namespace {

class RecordingListener : public Listener {
 public:
  void on_durable(Lsn up_to) override {
    EXPECT_GT(up_to, durable);
    durable = up_to;
  }
  void on_failed(Error reason) override { failure = reason.describe(); }
  Lsn durable;
  std::string failure;
};

io::Task<void> check_payloads(Wal* wal, Model model, size_t* checked) {
  for (const auto& [id, group] : model) {
    for (const auto& [index, entry] : group.entries) {
      const auto payload = co_await wal->read_payload(GroupId(id), LogIndex(index));
      if (!payload.ok()) {
        ADD_FAILURE() << payload.error().describe();
        continue;
      }
      EXPECT_TRUE(std::ranges::equal(payload->view(), payload_of(entry).view()))
          << "group " << id << " entry " << index;
      ++*checked;
    }
  }
}

struct Appended {
  ModelOperation operation;
  Lsn lsn;
};

/// One log through several lives.
class Story {
 public:
  explicit Story(uint64_t seed)
      : rng_(seed),
        world_(seed),
        host_(world_.add_host("a")),
        disk_(host_.disk()),
        groups_count_(rng_.between(1, 12)) {
    options_.segment_bytes = kSegmentBytes << rng_.below(3);
    options_.wal_bytes_max = kSegmentBytes * rng_.between(2, 12);
    options_.batch_bytes_max = kBlockBytes << rng_.below(9);
    options_.writes_inflight_max = rng_.between(1, 6);
    options_.move_live_share_max = rng_.unit();
  }

  void run(size_t lives_count) {
    for (size_t life = 0; life < lives_count && !::testing::Test::HasFailure(); ++life) {
      if (!open(true)) continue;
      live();
      crash();
    }
    ASSERT_TRUE(open());
    world_.run(host_, wal_->stop());
    host_.crash(sim::CrashKind::kPowerLoss, [this] { wal_.reset(); });
    host_.boot();
    appended_.clear();
    acknowledged_ = Lsn();
    ASSERT_TRUE(open()) << "after an orderly end";
    host_.crash(sim::CrashKind::kKill, [this] { wal_.reset(); });
  }
  size_t checked() const { return checked_; }
  uint64_t moved() const { return moved_; }
  uint64_t recycled() const { return recycled_; }
  uint64_t cut() const { return cut_; }

 private:
  /// False: a crash came in the middle of recovery.
  bool open(bool may_crash = false) {
    std::vector<RecoveredGroup> recovered;
    listener_ = RecordingListener();
    std::optional<Result<std::unique_ptr<Wal>>> opened;
    host_.spawn(store(Wal::open(host_.env(), disk_, options_, listener_, &recovered), &opened));
    if (may_crash && rng_.chance(0.15)) {
      world_.run_for(Duration(rng_.below(3'000'000)));
      if (!opened) {
        crash_now();
        return false;
      }
    }
    world_.run_until([&] { return opened.has_value(); }, std::chrono::minutes(1));
    EXPECT_TRUE(opened && opened->ok()) << (opened ? opened->error().describe() : "hangs");
    if (!opened || !opened->ok()) return false;
    wal_ = std::move(*opened).value();
    for (const auto& group : recovered) EXPECT_EQ(group.quarantine_reason, "");
    EXPECT_TRUE(wal_->recovery().gaps.empty());
    cut_ += wal_->recovery().batches_cut;
    match(model_of(recovered));
    world_.run(host_, check_payloads(wal_.get(), model_, &checked_));
    return true;
  }

  static io::Task<void> store(io::Task<Result<std::unique_ptr<Wal>>> task,
                              std::optional<Result<std::unique_ptr<Wal>>>* into) {
    into->emplace(co_await std::move(task));
  }

  /// The recovered state is that after some prefix of what was appended, with all of what was
  /// acknowledged.
  void match(const Model& recovered) {
    Model prefix = model_;
    size_t count = 0;
    while (count < appended_.size() && appended_[count].lsn <= acknowledged_) {
      advance(prefix, appended_[count++].operation);
    }
    while (prefix != recovered && count < appended_.size()) {
      advance(prefix, appended_[count++].operation);
    }
    EXPECT_TRUE(prefix == recovered) << "of " << appended_.size() << " operations, "
                                     << to_string(acknowledged_) << " acknowledged";
    model_ = recovered;
    appended_.clear();
    acknowledged_ = Lsn();
  }

  void live() {
    Model now = model_;
    const size_t turns = rng_.between(1, 150);
    for (size_t turn = 0; turn < turns && listener_.failure.empty(); ++turn) {
      host_.execute([&] {
        for (size_t i = rng_.between(1, 8); i > 0; --i) {
          const auto operation = random_operation(now, rng_, groups_count_, ++stamp_);
          advance(now, operation);
          appended_.push_back({operation, append(*wal_, operation)});
        }
      });
      if (rng_.chance(0.05)) {
        size_t ignored = 0;
        if (rng_.chance(0.3)) world_.run(host_, check_payloads(wal_.get(), now, &ignored));
        if (rng_.chance(0.3)) world_.run_for(std::chrono::seconds(1));
      }
      if (rng_.chance(0.8)) world_.run_for(Duration(rng_.below(400'000)));
    }
    EXPECT_EQ(listener_.failure, "");
    moved_ += wal_->stats().moved_records;
    recycled_ += wal_->stats().segments_recycled;
  }

  void crash() {
    acknowledged_ = listener_.durable;
    crash_now();
  }
  void crash_now() {
    host_.crash(rng_.chance(0.8) ? sim::CrashKind::kPowerLoss : sim::CrashKind::kKill,
                [this] { wal_.reset(); });
    host_.boot();
  }

  static constexpr uint64_t kSegmentBytes = 256 * kKiB;
  Rng rng_;
  sim::World world_;
  sim::Host& host_;
  sim::SimDisk& disk_;
  uint64_t groups_count_;
  WalOptions options_;
  RecordingListener listener_;
  std::unique_ptr<Wal> wal_;
  Model model_;  ///< what the last recovery found
  std::vector<Appended> appended_;
  Lsn acknowledged_;
  uint64_t stamp_ = 0;
  size_t checked_ = 0;
  uint64_t moved_ = 0;
  uint64_t recycled_ = 0;
  uint64_t cut_ = 0;
};

TEST(WalCrash, EveryAcknowledgedRecordIsRecoveredInOrderAndNothingElse) {
  size_t checked = 0;
  uint64_t moved = 0, recycled = 0, cut = 0;
  for (uint64_t seed = 1; seed <= 300 && !HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Story story(seed);
    story.run(6);
    checked += story.checked();
    moved += story.moved();
    recycled += story.recycled();
    cut += story.cut();
  }
  // The seeds do reach what they are there for.
  EXPECT_GT(checked, 1000u);
  EXPECT_GT(moved, 1000u);
  EXPECT_GT(recycled, 300u);
  EXPECT_GT(cut, 20u);
}

}  // namespace
}  // namespace cairn::wal
