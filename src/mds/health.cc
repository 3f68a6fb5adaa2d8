/// assess(): the cluster's health, with reasons that tell a person what to look at.
#include "mds/cluster_state.h"
#include "placement/disk_speeds.h"
#include "placement/segment_plan.h"

namespace cairn::mds {

std::string_view to_string(Health health) {
  switch (health) {
    case Health::kOk:
      return "ok";
    case Health::kDegraded:
      return "degraded";
    case Health::kUnavailable:
      return "unavailable";
  }
  CHECK(false, "an unknown health");
}

namespace {

class Assessment {
 public:
  Assessment(const ClusterState& state, Instant started_at, Instant now, const Options& options)
      : state_(state), started_at_(started_at), now_(now), options_(options) {}

  HealthReport run() {
    look_at_plan();
    look_at_copysets();
    look_at_chunkservers();
    look_at_speeds();
    // The worst first: a reader of a cut list misses the least.
    for (auto& problem : degraded_) unavailable_.push_back(std::move(problem));
    if (unavailable_.size() > kProblemsMax) {
      const size_t more = unavailable_.size() - (kProblemsMax - 1);
      unavailable_.resize(kProblemsMax - 1);
      unavailable_.push_back("and " + std::to_string(more) + " more problems");
    }
    report_.problems = std::move(unavailable_);
    return std::move(report_);
  }

 private:
  void unavailable(std::string text) {
    report_.health = Health::kUnavailable;
    unavailable_.push_back(std::move(text));
  }
  void degraded(std::string text) {
    if (report_.health == Health::kOk) report_.health = Health::kDegraded;
    degraded_.push_back(std::move(text));
  }

  void look_at_plan() {
    for (const auto& [id, pool] : state_.pools) {
      if (pool.copysets_planned()) continue;
      const size_t registered = topology_of(state_, pool).size();
      const size_t wanted = pool.chunkservers_min();
      std::string text = "pool " + pool.name();
      if (registered < wanted) {
        text += " is waiting for chunkservers: " + std::to_string(registered) + " of " +
                std::to_string(wanted) + " have registered; start more";
      } else {
        text += "'s copysets are being planned; the MDS's log tells more if this stays";
      }
      // A pool that was added waits beside others that serve.
      state_.copysets.empty() ? unavailable(std::move(text)) : degraded(std::move(text));
    }
  }

  void look_at_copysets() {
    uint32_t leaderless = 0, unreachable = 0, lost = 0, creating = 0;
    for (const auto& [id, copyset] : state_.copysets) {
      size_t serving = 0, created = 0;
      for (uint64_t member : copyset.record.members()) {
        const auto& chunkserver = state_.chunkservers.at(ChunkserverId(member));
        if (is_serving(chunkserver, started_at_, now_, options_)) ++serving;
        if (copyset.is_created_by(chunkserver.id())) ++created;
      }
      if (created < static_cast<size_t>(copyset.record.members_size())) ++creating;
      if (!has_leader(state_, id, now_, options_)) ++leaderless;
      if (serving < copyset.majority_count()) {
        ++unreachable;
      } else if (serving < static_cast<size_t>(copyset.record.members_size())) {
        ++lost;
      }
    }
    report_.copysets_without_leader_count = leaderless;
    const std::string of_all = " of " + std::to_string(state_.copysets.size()) + " copysets ";
    if (unreachable > 0) {
      unavailable(std::to_string(unreachable) + of_all +
                  "have no majority of replicas online: their data cannot be read or written "
                  "until chunkservers return");
    }
    if (leaderless > 0) {
      unavailable(std::to_string(leaderless) + of_all +
                  "have no leader now; an election takes a few seconds");
    }
    if (creating > 0) degraded(std::to_string(creating) + of_all + "are still being created");
    if (lost > 0) degraded(std::to_string(lost) + of_all + "have a replica that is not online");
  }

  void look_at_chunkservers() {
    for (const auto& [id, chunkserver] : state_.chunkservers) {
      const std::string name =
          "chunkserver " + cairn::to_string(id) + " (" + chunkserver.record.address() + ") ";
      const Liveness liveness = liveness_of(chunkserver, started_at_, now_, options_);
      const int64_t silent_s = to_ms(now_ - chunkserver.heard_at.value_or(started_at_)) / 1000;
      if (!chunkserver.heard_at) {
        degraded(name + "has not been heard since this MDS started " + std::to_string(silent_s) +
                 " s ago; check that it runs");
      } else if (now_ - *chunkserver.heard_at >=
                 kHeartbeatsMissedMax * options_.heartbeat_interval) {
        degraded(name + "is " + std::string(to_string(liveness)) +
                 " and has sent no heartbeat for " + std::to_string(silent_s) +
                 " s; check that it runs and reaches this MDS");
      }
      if (chunkserver.is_disk_failed) {
        degraded(name + "has a failed disk: " + chunkserver.disk_error);
      }
      if (!chunkserver.copysets_missing.empty()) {
        degraded(name + "no longer has " + std::to_string(chunkserver.copysets_missing.size()) +
                 " of its copysets, or they are damaged: they are replaced by others' replicas; "
                 "its log tells more");
      }
      const uint64_t free = free_bytes(chunkserver, state_.default_pool().chunk_bytes());
      if (chunkserver.heard_at &&
          placement::is_full(chunkserver.record.capacity_bytes(), free, options_.fill)) {
        degraded(name + "is full (" + std::to_string(free / kMiB) +
                 " MiB free): it takes no new chunks; " + how_to_make_room());
      }
    }
  }

  std::string how_to_make_room() const {
    const auto in_bin = std::ranges::count_if(
        state_.volumes, [](const auto& entry) { return is_in_bin(entry.second); });
    const std::string usual = "delete volumes or add chunkservers";
    if (in_bin == 0) return usual;
    return "volumes in the recycle bin (" + std::to_string(in_bin) +
           ") keep their space: see `cairn volume list --deleted` and `cairn volume purge`, or " +
           usual;
  }

  void look_at_speeds() {
    std::set<ChunkserverId> told;  // some are in several pools
    for (const auto& pool : state_.placed.pools()) {
      const placement::DiskSpeeds speeds(state_.placed, pool, options_.schedule.planner.slow_disk);
      for (const auto& member : state_.placed.chunkservers()) {
        if (!state_.placed.is_in_pool(member, pool) || !speeds.is_slow(member)) continue;
        if (!told.insert(member.id).second) continue;
        degraded(
            "chunkserver " + cairn::to_string(member.id) + " is slow: " + speeds.describe(member) +
            "; it leads nothing meanwhile. Look at the disk, replace it if that does not pass");
      }
    }
  }

  /// Fewer than this may be lost without a word.
  static constexpr int kHeartbeatsMissedMax = 5;

  const ClusterState& state_;
  const Instant started_at_;
  const Instant now_;
  const Options& options_;
  HealthReport report_;
  std::vector<std::string> unavailable_;
  std::vector<std::string> degraded_;
};

}  // namespace

HealthReport assess(const ClusterState& state, Instant started_at, Instant now,
                    const Options& options) {
  return Assessment(state, started_at, now, options).run();
}

}  // namespace cairn::mds
