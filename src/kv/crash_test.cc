/// Members crash, lose power, pause and are cut off while batches are committed: none that was
/// acknowledged is lost, none that was refused comes to effect, and all members end alike.
#include <deque>

#include "kv/testbed_test.h"

namespace cairn::kv {
namespace {

using testing::Member;
using testing::TestBed;

struct Attempt {
  std::string key;
  int count_before = 0;  ///< of the counter that it increments
  std::optional<Status> outcome;
};

class Storm {
 public:
  Storm(uint64_t seed, size_t members_count)
      : bed_({.seed = seed, .members_count = members_count, .segment_bytes = kMiB}),
        rng_(bed_.world.rng().fork()) {}

  void run() {
    for (int step = 0; step < 600; ++step) {
      for (auto& member : bed_.members) attempt(*member);
      bed_.world.run_for(Duration(static_cast<int64_t>(rng_.below(60'000'000))));
      if (rng_.chance(0.05)) strike();
      if (rng_.chance(0.1)) mend();
    }
    while (mend()) {
    }
    bed_.world.fabric().heal_all();
    ASSERT_TRUE(bed_.converges(120s)) << "seed " << bed_.world.seed();
    check();
  }
  size_t acknowledged_count() const { return acknowledged_count_; }

 private:
  void attempt(Member& member) {
    if (!member.is_up() || member.machine().is_paused() || member.store().term() == 0) return;
    const auto counter = member.local.content().find("counter");
    Attempt& attempt = attempts_.emplace_back();
    attempt.key = "k" + std::to_string(attempts_.size());
    WriteBatch batch;
    batch.put(attempt.key, "x");
    if (counter != member.local.content().end()) {
      attempt.count_before = std::stoi(counter->second);
      batch.require("counter", counter->second);
    } else {
      batch.require_absent("counter");
    }
    batch.put("counter", std::to_string(attempt.count_before + 1));
    member.machine().spawn(
        sim::detail::store_result(member.store().commit(std::move(batch)), &attempt.outcome));
  }
  void strike() {
    Member& member = *bed_.members[rng_.below(bed_.members.size())];
    switch (rng_.below(4)) {
      case 0:
        return member.crash(sim::CrashKind::kPowerLoss);
      case 1:
        return member.crash(sim::CrashKind::kKill);
      case 2:
        return bed_.cut_off(member);
      default:
        if (member.machine().is_running()) member.machine().pause();
    }
  }
  /// One thing that was broken; false: nothing was.
  bool mend() {
    for (auto& member : bed_.members) {
      if (member->machine().is_paused()) {
        member->machine().resume();
        return true;
      }
      if (!member->machine().is_running()) {
        member->start();
        return true;
      }
    }
    bed_.world.fabric().heal_all();
    return false;
  }
  void check() {
    const auto& content = bed_.members.front()->local.content();
    std::map<int, std::string> winners;
    for (const Attempt& attempt : attempts_) {
      const bool is_there = content.contains(attempt.key);
      if (is_there) {
        EXPECT_TRUE(winners.emplace(attempt.count_before, attempt.key).second)
            << "two took the same step of the counter";
      }
      if (!attempt.outcome) continue;
      const Errc code = attempt.outcome->code();
      if (code == Errc::kOk) {
        ++acknowledged_count_;
        EXPECT_TRUE(is_there) << attempt.key << " was acknowledged and is lost";
      }
      if (code == Errc::kNotLeader || code == Errc::kPreconditionFailed ||
          code == Errc::kOverloaded) {
        EXPECT_FALSE(is_there) << attempt.key << " was refused and is there";
      }
    }
    EXPECT_EQ(content.at("counter"), std::to_string(winners.size()));
  }

  TestBed bed_;
  Rng rng_;
  std::deque<Attempt> attempts_;  ///< frames write into them
  size_t acknowledged_count_ = 0;
};

TEST(ReplicatedStoreStorm, NoAcknowledgedBatchIsLostAndNoRefusedOneIsThere) {
  size_t acknowledged_count = 0;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    Storm storm(seed, seed % 4 == 0 ? 5 : 3);
    storm.run();
    if (HasFailure()) FAIL() << "seed " << seed;
    acknowledged_count += storm.acknowledged_count();
  }
  EXPECT_GT(acknowledged_count, 4000u) << "the storm leaves nobody working";
}

}  // namespace
}  // namespace cairn::kv
