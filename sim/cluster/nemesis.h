/// Nemesis: strikes a cluster with a plan's faults at random times, and heals all of them.
/// Threads: one.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "sim/cluster/cluster.h"

namespace cairn::sim {

class Nemesis {
 public:
  /// `clients` are never crashed, but are cut off like everyone.
  Nemesis(World& world, Cluster& cluster, std::vector<Host*> clients, FaultRates rates);
  ~Nemesis();
  Nemesis(const Nemesis&) = delete;
  Nemesis& operator=(const Nemesis&) = delete;

  /// Begins to strike.
  void begin();
  /// Strikes no more and undoes everything: hosts up and running, network and disks as at first.
  void heal();

  uint64_t strikes_count() const { return strikes_count_; }

 private:
  using Strike = void (Nemesis::*)();
  void schedule(Duration mean, Strike strike);
  void after(Duration delay, std::function<void()> work);
  Duration between(Duration low, Duration high);
  ServerNode& pick_server();
  std::vector<ServerNode*> leaders();
  std::vector<Host*> all_hosts();
  void log(const std::string& what);

  void lose_power();
  void kill();
  void crash(ServerNode& server, CrashKind kind);
  void black_out();
  void pause();
  void partition();
  void cut_some();
  void slow_disks();
  void slow_down(ServerNode& server);
  void slow_a_link();
  void reset_some();

  World& world_;
  Cluster& cluster_;
  const std::vector<Host*> clients_;
  const FaultRates rates_;
  Rng rng_;
  std::set<EventId> pending_;  ///< strikes and undoings to come
  uint64_t strikes_count_ = 0;
};

}  // namespace cairn::sim
