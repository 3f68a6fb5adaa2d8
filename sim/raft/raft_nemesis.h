/// RaftNemesis: strikes the members of a Raft run with a plan's faults and operations at random
/// times, and heals all of it.
///
/// No fault takes away what the groups may rely on: records that are known to be durable are
/// damaged on one member of a run alone, so that every group keeps a sound majority.
/// Threads: one.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "sim/io/strikes.h"
#include "sim/raft/raft_operator.h"

namespace cairn::sim {

class RaftNemesis {
 public:
  RaftNemesis(World& world, std::vector<std::unique_ptr<RaftMember>>& members, RunContext& context,
              RaftOperator& op);
  RaftNemesis(const RaftNemesis&) = delete;
  RaftNemesis& operator=(const RaftNemesis&) = delete;

  void begin();
  /// Strikes no more and undoes everything: hosts up and running, network and disks as at first.
  void heal();
  uint64_t strikes_count() const { return strikes_.count(); }

 private:
  void schedule(Duration mean, void (RaftNemesis::*strike)());
  void after(Duration delay, std::function<void()> work) { strikes_.after(delay, std::move(work)); }
  Duration between(Duration low, Duration high) { return strikes_.between(low, high); }
  Duration timeouts(double low, double high);
  RaftMember& pick_member();
  std::vector<RaftMember*> leaders();
  void note(const std::string& what, const std::string& whom = {});

  void crash(RaftMember& member, CrashKind kind);
  void lose_power();
  void kill();
  void black_out();
  void ambush();
  void lie_in_wait(std::set<std::pair<GroupId, NodeId>> known, Instant until);
  std::set<std::pair<GroupId, NodeId>> leaderships();
  void pause();
  void estrange();
  void bridge();
  void restart_again(RaftMember& judge, RaftMember& leader, int times);
  void supervise();

  void cut_off(RaftMember& member, Duration duration);
  void partition();
  void depose_in_turn();
  void depose_again(int times);
  void cut_some();
  void slow_a_link();
  void reset_some();

  void slow_down(RaftMember& member);
  void slow_disks();
  void break_disk();
  void hang_disk();
  void fill_disk();
  struct Damage;
  void corrupt();
  void await_durable(Damage damage);
  void do_damage(const Damage& damage);

  void take_snapshot();
  void transfer();
  void change_members();

  World& world_;
  std::vector<std::unique_ptr<RaftMember>>& members_;
  RunContext& context_;
  RaftOperator& operator_;
  const RaftFaultRates rates_;
  const Duration timeout_;
  Strikes strikes_;
  Rng& rng_;
  RaftMember* const victim_;  ///< the one whose log may rot
};

}  // namespace cairn::sim
