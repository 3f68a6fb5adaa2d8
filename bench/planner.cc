/// What scheduling costs at the size that Cairn is designed for: 10,000 chunkservers with 100
/// copysets each.
///
///   cairn_bench_planner [CHUNKSERVERS [COPYSETS_PER_CHUNKSERVER]]
/// Prints the time of one round of all planners in several situations, and of applying the reports
/// of 1,000,000 copysets; all on one core. The targets: a round under 1 s, the reports within a
/// heartbeat interval (10 s).
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

#include "base/rng.h"
#include "base/units.h"
#include "placement/planners.h"

namespace cairn::bench {
namespace {

using placement::Cluster;
using placement::Slot;

constexpr uint64_t kNowMs = 10'000'000;
constexpr uint64_t kTiB = 1024 * kGiB;
constexpr uint64_t kZones = 10;
constexpr uint64_t kDisksPerServer = 10;

double cpu_seconds() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
}

void add_chunkserver(Cluster& cluster, uint64_t id) {
  const Status added = cluster.put_chunkserver({.id = ChunkserverId(id),
                                                .server = ServerId(id / kDisksPerServer + 1),
                                                .zone = ZoneId(id / kDisksPerServer % kZones + 1),
                                                .physical_pool = PoolId(1),
                                                .capacity_bytes = kTiB,
                                                .used_bytes = kTiB / 3,
                                                .heartbeat_ms = kNowMs});
  CHECK(added.ok());
}

/// `per_chunkserver` replicas a chunkserver.
Cluster build(uint64_t chunkservers, uint64_t per_chunkserver, Rng& rng) {
  Cluster cluster;
  CHECK(cluster.put_pool({.id = PoolId(1), .physical_pool = PoolId(1)}).ok());
  std::vector<placement::ChunkserverSpec> specs;
  for (uint64_t id = 0; id < chunkservers; ++id) {
    add_chunkserver(cluster, id + 1);
    const auto& added = cluster.chunkserver(static_cast<Slot>(id));
    specs.push_back(
        {added.id, to_string(added.zone), to_string(added.server), added.capacity_bytes});
  }
  const double begun = cpu_seconds();
  const auto copysets = placement::plan_copysets(
      specs, {.copysets_per_chunkserver = static_cast<uint32_t>(per_chunkserver)}, rng);
  CHECK(copysets.ok());
  std::printf("%zu copysets drawn for %zu chunkservers: %.3f s\n", copysets->size(), specs.size(),
              cpu_seconds() - begun);
  uint64_t id = 0;
  for (const auto& members : *copysets) {
    CHECK(cluster.add_copyset(CopysetId(++id), PoolId(1), Epoch(0), members).ok());
  }
  return cluster;
}

/// Every copyset's leader reports once; the seconds that it took.
double report_all(Cluster& cluster, uint64_t epoch, bool moves_leaders) {
  struct Report {
    CopysetId id;
    ChunkserverId leader;
    std::vector<ChunkserverId> voters;
  };
  std::vector<Report> reports;
  for (const auto& copyset : cluster.copysets()) {
    Report report{.id = copyset.id};
    for (Slot slot : copyset.voters()) report.voters.push_back(cluster.chunkserver(slot).id);
    // Leaders evenly, by the copyset's number; or all on the next member.
    const uint64_t at = copyset.id.value() / 10 + (moves_leaders ? 1 : 0);
    report.leader = report.voters[at % report.voters.size()];
    reports.push_back(std::move(report));
  }
  const double begun = cpu_seconds();
  for (const auto& report : reports) {
    cluster.apply_report({.copyset = report.id,
                          .epoch = Epoch(epoch),
                          .leader = report.leader,
                          .voters = report.voters},
                         kNowMs);
  }
  return cpu_seconds() - begun;
}

void measure_round(const char* what, const Cluster& cluster) {
  placement::Ledger ledger{placement::LedgerLimits{}};
  const double begun = cpu_seconds();
  const auto result = placement::plan_round(cluster, ledger, {}, kNowMs + 1'000'000);
  const double first = cpu_seconds() - begun;
  const double begun_again = cpu_seconds();
  placement::plan_round(cluster, ledger, {}, kNowMs + 1'000'000);
  const double second = cpu_seconds() - begun_again;
  std::printf("round, %-34s %6.3f s, %5zu operators; the next %6.3f s\n", what, first,
              result.planned.size(), second);
}

int run(uint64_t chunkservers, uint64_t per_chunkserver) {
  Rng rng(1);
  {
    Cluster cluster = build(chunkservers, 3 * per_chunkserver, rng);
    std::printf("%zu copysets' reports: first %.3f s, ", cluster.copysets().size(),
                report_all(cluster, 1, false));
    std::printf("unchanged %.3f s, ", report_all(cluster, 1, false));
    std::printf("each with a new leader %.3f s\n", report_all(cluster, 2, true));
  }
  Cluster cluster = build(chunkservers, per_chunkserver, rng);
  report_all(cluster, 1, false);
  measure_round("leaders uneven:", cluster);
  {
    placement::Ledger ledger{placement::LedgerLimits{}};
    const double begun = cpu_seconds();
    const auto moved =
        placement::plan_rapid_leaders(cluster, ledger, {}, PoolId(1), kNowMs + 1'000'000);
    CHECK(moved.ok());
    std::printf("rapid leaders: %.3f s, %zu transfers\n", cpu_seconds() - begun,
                moved->planned.size());
    uint64_t epoch = 2;
    for (const auto* op : ledger.list()) {
      cluster.apply_report({.copyset = op->copyset,
                            .epoch = Epoch(epoch),
                            .leader = op->target,
                            .voters = op->voters},
                           kNowMs);
    }
  }
  measure_round("nothing to do:", cluster);
  for (uint64_t i = 0; i < chunkservers / 100; ++i) {
    cluster.set_liveness(static_cast<Slot>(i * 100), placement::Liveness::kOffline, kNowMs);
  }
  measure_round("one in a hundred lost:", cluster);
  for (uint64_t i = 0; i < chunkservers / 100; ++i) {
    cluster.set_liveness(static_cast<Slot>(i * 100), placement::Liveness::kOnline, kNowMs);
    cluster.set_service(static_cast<Slot>(i * 100), placement::Service::kDraining);
  }
  measure_round("one in a hundred draining:", cluster);
  for (uint64_t i = 0; i < chunkservers / 100; ++i) {
    cluster.set_service(static_cast<Slot>(i * 100), placement::Service::kReadWrite);
  }
  // As new ones would be: far below their share.
  for (uint64_t i = 0; i < chunkservers / 100; ++i) {
    placement::Chunkserver grown = cluster.chunkserver(static_cast<Slot>(i * 100));
    grown.capacity_bytes *= 4;
    CHECK(cluster.put_chunkserver(grown).ok());
  }
  measure_round("one in a hundred grew fourfold:", cluster);
  return 0;
}

}  // namespace
}  // namespace cairn::bench

int main(int argc, char** argv) {
  const auto number = [&](int at, uint64_t otherwise) {
    return argc > at ? std::strtoull(argv[at], nullptr, 10) : otherwise;
  };
  return cairn::bench::run(number(1, 10'000), number(2, 100));
}
