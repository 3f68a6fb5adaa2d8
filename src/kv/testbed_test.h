/// Members of a replicated store on simulated machines, each with a local store that a power loss
/// takes unsynced batches from.
#pragma once

#include <gtest/gtest.h>

#include "kv/replicated_store.h"
#include "sim/io/world.h"
#include "store/kv/memory_meta_store.h"

namespace cairn::kv::testing {

inline const rpc::ClusterKey kKey{"the key of the test's cluster"};
inline constexpr uint16_t kPort = 9000;

class Member {
 public:
  Member(sim::Host& machine, ReplicatedOptions options)
      : machine_(machine), options_(std::move(options)) {}
  ~Member() { crash(sim::CrashKind::kKill); }

  void start() {
    if (!machine_.is_running()) machine_.boot();
    machine_.execute([this] {
      const io::Env env = machine_.env();
      client_ = std::make_unique<rpc::Client>(env, rpc::ClientOptions(), kKey);
      server_ = std::make_unique<rpc::Server>(env, rpc::ServerOptions(), kKey);
      store_ = std::make_unique<ReplicatedStore>(env, machine_.disk(), local, *client_, options_);
      store_->add_to(*server_);
      CHECK(server_->listen(options_.members.at(options_.self)).ok());
      env.executor.spawn(run_start());
    });
  }
  void crash(sim::CrashKind kind) {
    if (!machine_.is_running()) return;
    started_.reset();
    machine_.crash(kind, [this] {
      store_.reset();
      server_.reset();
      client_.reset();
    });
    if (kind == sim::CrashKind::kPowerLoss) local.lose_unsynced(machine_.world().rng());
  }
  io::Task<void> stop() {
    co_await store_->stop();
    co_await server_->stop();
    co_await client_->stop();
  }

  sim::Host& machine() { return machine_; }
  ReplicatedStore& store() { return *store_; }
  ReplicatedOptions& options() { return options_; }
  NodeId id() const { return options_.self; }
  /// Of the present start, once it has ended.
  const std::optional<Status>& started() const { return started_; }
  bool is_up() const { return machine_.is_running() && started_ && started_->ok(); }

  MemoryMetaStore local;  ///< outlives crashes

 private:
  io::Task<void> run_start() { started_ = co_await store_->start(); }

  sim::Host& machine_;
  ReplicatedOptions options_;
  std::unique_ptr<rpc::Client> client_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<ReplicatedStore> store_;
  std::optional<Status> started_;
};

struct BedOptions {
  uint64_t seed = 1;
  size_t members_count = 3;
  multiraft::HostOptions raft = metadata_raft_options();
  uint64_t segment_bytes = 32 * kMiB;  ///< a restart reads them all
};

class TestBed {
 public:
  explicit TestBed(BedOptions bed = {}) : world(bed.seed) {
    ReplicatedOptions options{
        .is_new = true, .raft = bed.raft, .wal = {.segment_bytes = bed.segment_bytes}};
    std::vector<sim::Host*> machines;
    for (uint64_t i = 1; i <= bed.members_count; ++i) {
      machines.push_back(&world.add_host("mds-" + std::to_string(i)));
      options.members.emplace(NodeId(i), machines.back()->address(kPort));
    }
    for (uint64_t i = 1; i <= bed.members_count; ++i) {
      options.self = NodeId(i);
      members.push_back(std::make_unique<Member>(*machines[i - 1], options));
      members.back()->start();
    }
    wait_leader();
    for (auto& member : members) member->options().is_new = false;
  }

  /// The member that leads in the highest term; null: none does.
  Member* leader() {
    Member* best = nullptr;
    for (auto& member : members) {
      if (!member->is_up() || member->store().term() == 0) continue;
      if (!best || best->store().term() < member->store().term()) best = member.get();
    }
    return best;
  }
  Member& wait_leader(Duration limit = 30s, const Member* other_than = nullptr) {
    CHECK(world.run_until([&] { return leader() && leader() != other_than; }, limit),
          "nobody leads");
    return *leader();
  }
  Member& follower() {
    for (auto& member : members) {
      if (member->is_up() && member.get() != leader()) return *member;
    }
    check_failed("there is a follower", __FILE__, __LINE__);
  }
  void restart(Member& member, sim::CrashKind kind) {
    member.crash(kind);
    member.start();
  }
  void cut_off(Member& member) {
    for (auto& other : members) {
      if (other.get() != &member) world.fabric().cut_both(member.machine(), other->machine());
    }
  }
  Status commit(Member& member, WriteBatch batch) {
    return world.run(member.machine(), member.store().commit(std::move(batch)));
  }
  Status put(Member& member, std::string key, std::string value) {
    WriteBatch batch;
    batch.put(std::move(key), std::move(value));
    return commit(member, std::move(batch));
  }
  /// Until all members run and hold the same.
  bool converges(Duration limit = 60s) {
    return world.run_until(
        [&] {
          const Member* first = leader();
          if (!first) return false;
          return std::ranges::all_of(members, [&](auto& member) {
            return member->is_up() && member->local.content() == first->local.content() &&
                   member->store().node()->status().applied ==
                       leader()->store().node()->status().last;
          });
        },
        limit);
  }

  sim::World world;
  std::vector<std::unique_ptr<Member>> members;
};

}  // namespace cairn::kv::testing
