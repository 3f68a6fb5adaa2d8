/// MDS processes on simulated machines that are elected on one FakeEtcd.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>

#include "sim/io/world.h"
#include "store/etcd/election.h"
#include "store/etcd/failover.h"
#include "store/etcd/fake_etcd_test.h"

namespace cairn::etcd::testing {

inline constexpr uint16_t kPort = 9000;

class Candidate {
 public:
  Candidate(sim::Host& machine, FakeEtcd& etcd, ElectionOptions options)
      : machine_(machine), etcd_(etcd), options_(std::move(options)) {}
  ~Candidate() { crash(); }

  void start(size_t endpoints_count = 1) {
    if (!machine_.is_running()) machine_.boot();
    machine_.execute([&] {
      const io::Env env = machine_.env();
      std::vector<Endpoint> endpoints;
      for (size_t i = 0; i < endpoints_count; ++i) {
        auto member = std::make_unique<FakeMember>(etcd_, env);
        ways_.push_back(member.get());
        endpoints.push_back({"etcd-" + std::to_string(i + 1), std::move(member)});
      }
      failover_ = std::make_unique<Failover>(env, std::move(endpoints));
      election_ = std::make_unique<EtcdElection>(env, *failover_, options_);
      env.executor.spawn(run_start());
    });
  }
  void crash() {
    if (!machine_.is_running()) return;
    started_.reset();
    machine_.crash(sim::CrashKind::kKill, [this] {
      election_.reset();
      failover_.reset();
      ways_.clear();
    });
  }

  sim::Host& machine() { return machine_; }
  EtcdElection& election() { return *election_; }
  /// How it reaches each member of etcd.
  FakeMember& way(size_t index = 0) { return *ways_.at(index); }
  const std::optional<Status>& started() const { return started_; }
  bool is_active() const { return machine_.is_running() && election_ && election_->term() != 0; }
  const std::string& address() const { return options_.self.address; }

 private:
  io::Task<void> run_start() { started_ = co_await election_->start(); }

  sim::Host& machine_;
  FakeEtcd& etcd_;
  const ElectionOptions options_;
  std::vector<FakeMember*> ways_;
  std::unique_ptr<Failover> failover_;
  std::unique_ptr<EtcdElection> election_;
  std::optional<Status> started_;
};

class TestBed {
 public:
  explicit TestBed(size_t candidates_count = 3, uint64_t seed = 1)
      : world(seed), etcd_machine(world.add_host("etcd")), etcd(etcd_machine.env().clock) {
    for (size_t i = 1; i <= candidates_count; ++i) {
      // Up to two hundredths apart from etcd's clock; the lease allows for a tenth.
      const int64_t drift_ppm = (static_cast<int64_t>(i) - 2) * 20'000;
      sim::Host& machine =
          world.add_host("mds-" + std::to_string(i), {.clock_drift_ppm = drift_ppm});
      const MemberName self{std::to_string(i), machine.address(kPort).text};
      candidates.push_back(
          std::make_unique<Candidate>(machine, etcd, ElectionOptions{.self = self}));
    }
  }
  void start_all(size_t endpoints_count = 1) {
    for (auto& candidate : candidates) candidate->start(endpoints_count);
  }
  size_t active_count() {
    return static_cast<size_t>(
        std::ranges::count_if(candidates, [](const auto& one) { return one->is_active(); }));
  }
  Candidate& wait_active(Duration limit = 10s, const Candidate* other_than = nullptr) {
    Candidate* found = nullptr;
    const bool is_there = world.run_until(
        [&] {
          for (auto& one : candidates) {
            if (one.get() != other_than && one->is_active()) found = one.get();
          }
          return found != nullptr;
        },
        limit);
    CHECK(is_there, "nobody is active");
    return *found;
  }
  Status put(Candidate& by, kv::MetaStore& store, std::string key, std::string value) {
    kv::WriteBatch batch;
    batch.put(std::move(key), std::move(value));
    return world.run(by.machine(), store.commit(std::move(batch)));
  }

  sim::World world;
  sim::Host& etcd_machine;
  FakeEtcd etcd;
  std::vector<std::unique_ptr<Candidate>> candidates;
};

}  // namespace cairn::etcd::testing
