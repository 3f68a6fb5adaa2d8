/// Nemesis: strikes a cluster with a plan's faults at random times, and heals all of them.
/// Threads: one.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "sim/cluster/cluster.h"
#include "sim/io/strikes.h"

namespace cairn::sim {

class Nemesis {
 public:
  /// `clients` are never crashed, but are cut off like everyone.
  Nemesis(World& world, Cluster& cluster, std::vector<Host*> clients, FaultRates rates);
  Nemesis(const Nemesis&) = delete;
  Nemesis& operator=(const Nemesis&) = delete;

  /// Called before a server is crashed: what it was would be gone.
  void set_before_crash(std::function<void()> look) { before_crash_ = std::move(look); }
  /// Begins to strike.
  void begin();
  /// Strikes no more and undoes everything: hosts up and running, network and disks as at first.
  void heal();

  uint64_t strikes_count() const { return strikes_.count(); }

 private:
  void schedule(Duration mean, void (Nemesis::*strike)());
  void after(Duration delay, std::function<void()> work) { strikes_.after(delay, std::move(work)); }
  Duration between(Duration low, Duration high) { return strikes_.between(low, high); }
  ServerNode& pick_server();
  std::vector<ServerNode*> leaders();
  std::vector<Host*> all_hosts();
  void log(const std::string& what);

  void lose_power();
  void kill();
  void crash(ServerNode& server, CrashKind kind);
  void black_out();
  void ambush();
  void lie_in_wait(std::set<std::pair<GroupId, std::string>> known, Instant until);
  std::set<std::pair<GroupId, std::string>> leaderships();
  void estrange();
  void pause();
  void partition();
  void cut_some();
  void slow_disks();
  void slow_down(ServerNode& server, double factor);
  void slow_a_link();
  void reset_some();

  World& world_;
  Cluster& cluster_;
  const std::vector<Host*> clients_;
  const FaultRates rates_;
  Strikes strikes_;
  Rng& rng_;
  std::function<void()> before_crash_;
};

}  // namespace cairn::sim
