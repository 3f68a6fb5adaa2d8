/// What the metadata server's heartbeats cost at the size that Cairn is designed for: 10,000
/// chunkservers with 100 copysets each.
///
///   cairn_bench_mds [CHUNKSERVERS [COPYSETS_PER_CHUNKSERVER]]
/// Every chunkserver reports all of its replicas in each sweep: the request is parsed from its
/// bytes, handled, and the answer serialized, as in a server but for the connection. Prints the CPU
/// time of a sweep, on one core, in several situations, and of a round of the schedulers. The
/// targets: a sweep within the heartbeat interval (10 s), a round under 1 s.
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <vector>

#include "base/units.h"
#include "mds/keys.h"
#include "mds/ops/ops.h"
#include "mds/store_operators.h"
#include "placement/copyset_plan.h"
#include "rpc/client.h"
#include "sim/io/world.h"
#include "store/kv/memory_meta_store.h"

namespace cairn::bench {
namespace {

constexpr uint64_t kZones = 10;
constexpr uint64_t kDisksPerServer = 10;
constexpr uint64_t kCapacityBytes = 1024 * kGiB;

double cpu_seconds() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
}

std::string token_of(uint64_t id) {
  std::string token(16, '\0');
  for (size_t i = 0; i < 8; ++i) token[i] = static_cast<char>(id >> (8 * i));
  return token;
}

/// A cluster in the store, as if it had been running.
class Bench {
 public:
  Bench(uint64_t chunkservers, uint64_t per_chunkserver)
      : world_(1),
        host_(world_.add_host("mds")),
        client_(host_.env(), {}, {"a benchmark without a network"}) {
    options_.limits.chunkservers_max = static_cast<uint32_t>(chunkservers);
    options_.pool.copysets_per_chunkserver = static_cast<uint32_t>(per_chunkserver);
    mds_ = std::make_unique<mds::Context>(host_.env(), store_, client_, options_);
    check(world_.run(host_, mds_->load()));
    add_chunkservers(chunkservers);
    add_copysets();
    world_.run_for(1s);
  }
  ~Bench() {
    host_.crash(sim::CrashKind::kKill, [this] { mds_.reset(); });
  }

  /// All chunkservers report once; the seconds that the server was busy.
  double sweep(uint64_t epoch) {
    std::vector<std::string> requests;
    for (const auto& [id, chunkserver] : mds_->state.chunkservers) {
      requests.push_back(request_of(chunkserver, epoch));
    }
    const double begun = cpu_seconds();
    size_t answer_bytes = 0;
    for (const std::string& bytes : requests) {
      wire::HeartbeatRequest request;
      CHECK(request.ParseFromString(bytes));
      auto reply = world_.run(host_, mds::ops::heartbeat(*mds_, std::move(request)));
      CHECK(reply.ok());
      answer_bytes += reply->SerializeAsString().size();
      changes_told_ += static_cast<size_t>(reply->changes_size());
    }
    CHECK(answer_bytes > 0);
    return cpu_seconds() - begun;
  }

  double round() {
    const double begun = cpu_seconds();
    mds_->place_chunkservers();
    const uint64_t now_ms = mds::planners_ms(host_.env().clock.now());
    for (auto& [op, step] : mds_->state.ledger.sweep(mds_->state.placed, now_ms)) {
      mds_->note_ended(std::move(op), step);
    }
    auto result = placement::plan_round(mds_->state.placed, mds_->state.ledger,
                                        mds_->planner_limits(), now_ms);
    mds_->schedule.take_round(std::move(result), mds_->state.ledger, host_.env().clock.now());
    check(world_.run(host_, mds::store_operators(*mds_)));
    return cpu_seconds() - begun;
  }

  void pass(Duration time) { world_.run_for(time); }
  size_t copysets() const { return mds_->state.copysets.size(); }
  size_t operators() const { return mds_->state.operators.size(); }
  size_t take_changes_told() { return std::exchange(changes_told_, 0); }

 private:
  static void check(const Status& status) {
    if (!status.ok()) std::fprintf(stderr, "%s\n", status.error().describe().c_str());
    CHECK(status.ok());
  }

  void add_chunkservers(uint64_t count) {
    for (uint64_t id = 1; id <= count; ++id) {
      mds::Chunkserver& added = mds_->state.chunkservers[ChunkserverId(id)];
      added.record.set_id(id);
      added.record.set_address("10.0.0.1:" + std::to_string(id));
      added.record.set_zone("z" + std::to_string(id / kDisksPerServer % kZones));
      added.record.set_server("s" + std::to_string(id / kDisksPerServer));
      added.record.set_token(token_of(id));
      added.record.set_capacity_bytes(kCapacityBytes);
      mds_->place(added);
      kv::WriteBatch batch;
      mds::create_record(batch, mds::keys::chunkserver(ChunkserverId(id)), added.record);
      check(world_.run(host_, store_.commit(std::move(batch))));
    }
  }

  void add_copysets() {
    const wire::PoolRecord pool = mds_->state.default_pool();
    Rng rng(1);
    const auto planned = placement::plan_copysets(
        mds::topology_of(mds_->state, pool),
        {.copysets_per_chunkserver = pool.copysets_per_chunkserver(), .scatter_width_min = 2}, rng);
    CHECK(planned.ok());
    uint64_t id = 0;
    for (const auto& members : *planned) {
      wire::CopysetRecord record;
      record.set_id(++id);
      record.set_pool(pool.id());
      record.set_epoch(mds::kFoundingEpoch.value());
      for (ChunkserverId member : members) {
        record.add_members(member.value());
        record.add_created_by(member.value());
      }
      kv::WriteBatch batch;
      mds::create_record(batch, mds::keys::copyset(CopysetId(id)), record);
      check(world_.run(host_, store_.commit(std::move(batch))));
      mds_->state.set_copyset(std::move(record));
    }
  }

  /// Leaders go round by the epoch: each is another than before.
  std::string request_of(const mds::Chunkserver& chunkserver, uint64_t epoch) const {
    wire::HeartbeatRequest request;
    request.set_chunkserver(chunkserver.record.id());
    request.set_token(chunkserver.record.token());
    request.set_address(chunkserver.record.address());
    request.set_capacity_bytes(kCapacityBytes);
    request.set_used_bytes(kCapacityBytes / 3);
    for (CopysetId id : chunkserver.copysets) {
      const auto& members = mds_->state.copysets.at(id).record.members();
      const auto leader = static_cast<int>((id.value() / 10 + epoch) % 3);
      auto* report = request.add_copysets();
      report->set_copyset(id.value());
      report->set_epoch(epoch);
      report->set_term(epoch);
      report->set_is_leader(members.at(leader) == chunkserver.record.id());
      for (uint64_t member : members) report->add_members(member);
      report->set_chunks_count(100);
    }
    return request.SerializeAsString();
  }

  sim::World world_;
  sim::Host& host_;
  rpc::Client client_;
  kv::MemoryMetaStore store_;
  mds::Options options_;
  std::unique_ptr<mds::Context> mds_;
  size_t changes_told_ = 0;
};

int run(uint64_t chunkservers, uint64_t per_chunkserver) {
  Bench bench(chunkservers, per_chunkserver);
  std::printf("%lu chunkservers, %zu copysets, %lu reports a sweep\n",
              static_cast<unsigned long>(chunkservers), bench.copysets(),
              static_cast<unsigned long>(chunkservers * per_chunkserver));
  std::printf("heartbeats, the first after a start: %.3f s\n", bench.sweep(2));
  bench.pass(10s);
  std::printf("heartbeats, nothing new:             %.3f s\n", bench.sweep(2));
  bench.pass(100s);
  std::printf("heartbeats, each with a new leader:  %.3f s\n", bench.sweep(3));
  bench.pass(100s);
  bench.sweep(3);
  std::printf("round of the schedulers:             %.3f s, %zu operators\n", bench.round(),
              bench.operators());
  bench.take_changes_told();
  std::printf("heartbeats, operators under way:     %.3f s", bench.sweep(3));
  std::printf(", %zu commands\n", bench.take_changes_told());
  std::printf("the next round:                      %.3f s\n", bench.round());
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
