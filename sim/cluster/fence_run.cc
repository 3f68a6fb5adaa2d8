#include "sim/cluster/fence_run.h"

#include "sim/check/replicas.h"
#include "sim/cluster/cluster.h"
#include "sim/cluster/fence_party.h"
#include "sim/cluster/nemesis.h"
#include "sim/cluster/workload.h"
#include "sim/io/print_sink.h"

namespace cairn::sim {

namespace {

constexpr uint32_t kRoundsCount = 25;  ///< 400 seeds are the 10,000 that are asked for
constexpr Duration kFormingMax = 60s;
/// A round that the faults have held up for so long goes on without them: a seed may take quorums
/// away faster than they form.
constexpr Duration kRoundUnderFaultsMax = 60s;
constexpr Duration kRoundMax = 120s;  ///< once all is healed

io::Task<void> store_status(io::Task<Status> task, std::shared_ptr<std::optional<Status>> into) {
  into->emplace(co_await std::move(task));
}

Plan draw_fence_plan(Rng& rng) {
  Plan plan = draw_plan(rng, Profile::kCluster);
  plan.shape.clients_count = 2;
  plan.shape.volumes_count = 1;
  return plan;
}

class FenceRun {
 public:
  explicit FenceRun(const RunOptions& options)
      : world_(options.seed), sink_(world_), plan_(draw_fence_plan(world_.rng())) {
    if (options.verbose) {
      world_.set_log(&sink_, options.debug ? LogLevel::kDebug : LogLevel::kInfo);
    }
    history_.add_volume(0, unit_of_volume(0));
    world_.fabric().set_frame_codec(rpc_frame_codec());
    cluster_ = std::make_unique<Cluster>(world_, plan_);
    std::vector<Host*> hosts;
    for (uint32_t number : {1, 2}) {
      Host& host = world_.add_host("client" + std::to_string(number));
      hosts.push_back(&host);
      parties_.push_back(
          std::make_unique<FenceParty>(host, number, plan_, cluster_->mds_addresses(), board_));
    }
    nemesis_ = std::make_unique<Nemesis>(world_, *cluster_, hosts, plan_.faults);
  }

  Outcome run() {
    Outcome outcome;
    const Instant begin = world_.now();
    outcome.plan = describe(plan_);
    outcome.reason = first_failure();
    outcome.passed = outcome.reason.empty();
    outcome.simulated_seconds = std::chrono::duration<double>(world_.now() - begin).count();
    outcome.events_count = world_.events_count();
    outcome.ops_count = board_.ops_count;
    outcome.failed_ops_count = board_.failed_ops_count;
    outcome.strikes_count = nemesis_->strikes_count();
    outcome.coverage["rounds"] = rounds_count_;
    outcome.coverage["rounds held up by faults"] = held_up_count_;
    outcome.coverage["refused by a fence"] = board_.refused_ops_count;
    Fingerprint fingerprint;
    fingerprint.mix(world_.trace_hash());
    fingerprint.mix(static_cast<uint64_t>(world_.now().time_since_epoch().count()));
    fingerprint.mix(history_.ops_count());
    outcome.fingerprint = fingerprint.value();
    return outcome;
  }

 private:
  /// Runs a party's task to its end; why it did not end well, or nothing.
  std::string complete(FenceParty& party, io::Task<Status> task, Duration limit,
                       const std::string& what) {
    return finish(begin(party, std::move(task)), limit, what);
  }

  using Ending = std::shared_ptr<std::optional<Status>>;

  Ending begin(FenceParty& party, io::Task<Status> task) {
    auto result = std::make_shared<std::optional<Status>>();
    party.host().spawn(store_status(std::move(task), result));
    return result;
  }

  bool has_ended(const Ending& result, Duration limit) {
    return world_.run_until([&] { return result->has_value(); }, limit);
  }

  std::string finish(const Ending& result, Duration limit, const std::string& what) {
    if (!has_ended(result, limit)) {
      return what + " did not end within " + std::to_string(to_ms(limit)) + " ms";
    }
    if (!board_.violation.empty()) return board_.violation;
    return (*result)->ok() ? "" : what + ": " + (*result)->error().describe();
  }

  std::string play_round(uint32_t round) {
    FenceParty& party = *parties_[round % 2];
    const Ending result = begin(party, party.play_round(round));
    const bool was_held_up = !has_ended(result, kRoundUnderFaultsMax);
    if (was_held_up) nemesis_->heal();
    std::string failure = finish(result, kRoundMax, "liveness: round " + std::to_string(round));
    if (!failure.empty()) return failure;
    ++rounds_count_;
    if (was_held_up) {
      ++held_up_count_;
      nemesis_->begin();
    }
    return "";
  }

  std::string first_failure() {
    std::string failure =
        complete(*parties_[0], parties_[0]->create_volume(), kFormingMax, "forming the cluster");
    if (!failure.empty()) return failure;
    nemesis_->begin();
    for (uint32_t round = 1; round <= kRoundsCount && failure.empty(); ++round) {
      failure = play_round(round);
    }
    nemesis_->heal();
    for (auto& party : parties_) {
      if (!failure.empty()) return failure;
      failure = complete(*party, party->retire(), kRoundMax, "liveness: the end");
    }
    if (!failure.empty()) return failure;
    if (board_.refused_ops_count == 0) return "no operation was ever refused by a fence";
    return history_.check().value_or("");
  }

  World world_;
  PrintSink sink_;
  const Plan plan_;
  History history_;
  FenceBoard board_{history_};
  std::unique_ptr<Cluster> cluster_;
  std::vector<std::unique_ptr<FenceParty>> parties_;
  std::unique_ptr<Nemesis> nemesis_;
  uint64_t rounds_count_ = 0;
  uint64_t held_up_count_ = 0;
};

}  // namespace

Outcome run_fence_seed(const RunOptions& options) {
  return std::make_unique<FenceRun>(options)->run();
}

}  // namespace cairn::sim
