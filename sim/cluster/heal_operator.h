/// HealOperator: what people and bad luck do to a cluster in the profile heal: chunkservers are
/// added, drained and lost for good, disks fill, rot and come back empty, a data directory is
/// copied, MDS are killed and paused, in an order that the seed draws.
///
/// A step that takes a replica away for good is begun when every copyset is whole, as a person
/// would; everything else of the plan's faults goes on meanwhile. A step that these hold up for
/// long goes on without them, and then has to end.
/// Threads: one.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "client/mds_caller.h"
#include "rpc/client.h"
#include "sim/cluster/cluster.h"
#include "sim/cluster/nemesis.h"
#include "wire/mds.pb.h"

namespace cairn::sim {

class HealOperator {
 public:
  HealOperator(World& world, Cluster& cluster, Nemesis& nemesis, Host& host,
               const ClusterShape& shape);
  ~HealOperator();
  HealOperator(const HealOperator&) = delete;
  HealOperator& operator=(const HealOperator&) = delete;

  /// All steps; why one did not end, or nothing. The nemesis strikes, before and after.
  std::string run();
  /// Once all is healed: whether the cluster becomes whole and even. Else what is missing.
  std::string settle();
  /// How often each step was taken.
  const std::map<std::string, uint64_t>& counts() const { return counts_; }

 private:
  struct Step {
    const char* name;
    std::string (HealOperator::*take)();
  };
  std::string add_one();
  std::string drain_one();
  std::string lose_one();
  std::string lose_one_for_a_while();
  std::string empty_a_disk();
  std::string copy_a_directory();
  std::string fill_a_disk();
  std::string rot_blocks();
  std::string stop_and_continue_one();
  std::string kill_the_active_mds();
  std::string pause_the_active_mds();

  /// Runs a task on the operator's host to its end, or until it has taken too long.
  template <class Value>
  Result<Value> complete(io::Task<Result<Value>> task);
  /// Of whichever MDS serves.
  template <class Reply, class Request>
  Result<Reply> ask_mds(wire::Method method, Request request);
  Result<wire::ClusterStatusReply> status();
  Result<std::vector<wire::CopysetInfo>> copysets();

  /// What is not as it should be yet; nothing if all is.
  using Lacks = std::function<std::string()>;
  /// Polls until nothing lacks; what did to the end, or nothing.
  std::string await(const std::string& what, const Lacks& lacks);
  std::string await_whole();
  std::string await_clean_scan();
  std::string what_is_missing();
  /// Those that are in service and lack nothing, by address and copyset.
  std::set<std::pair<std::string, uint64_t>> sound_replicas();
  std::string what_a_scan_finds();
  bool is_member_anywhere(uint64_t chunkserver);
  /// What keeps the cluster from being even; nothing if it is.
  std::string unevenness();

  /// Up and known to the MDS; null if there is none.
  ChunkserverNode* pick_chunkserver();
  size_t usable_count();
  uint64_t id_of(const ChunkserverNode& node);
  MdsNode* active_mds();
  std::string set_service(uint64_t chunkserver, wire::ServiceState service);
  std::string forget(uint64_t chunkserver);
  void log(const std::string& what);

  World& world_;
  Cluster& cluster_;
  Nemesis& nemesis_;
  Host& host_;
  const ClusterShape shape_;
  Rng rng_;
  client::ClientOptions options_;
  std::unique_ptr<rpc::Client> rpc_;
  std::unique_ptr<client::MdsCaller> mds_;
  bool may_have_rot_ = false;  ///< until a scan has found nothing
  std::map<std::string, uint64_t> counts_;
};

}  // namespace cairn::sim
