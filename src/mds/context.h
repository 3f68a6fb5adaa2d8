/// Context: what the operations and the background jobs of one metadata server share.
///
/// Reads look at the state. Whatever writes takes the mutation lock first, decides by the state,
/// commits a batch, and only then changes the state: so the state never shows what is not durable,
/// and there is one writer at a time. Batches carry preconditions all the same: a second process on
/// the same store must fail, not win.
/// Threads: one reactor.
#pragma once

#include "io/env.h"
#include "io/sync.h"
#include "mds/background/wakeup.h"
#include "mds/cluster_state.h"
#include "mds/fences.h"
#include "mds/ids.h"
#include "mds/options.h"
#include "mds/schedule.h"
#include "store/kv/election.h"

namespace cairn::rpc {
class Client;
}

namespace cairn::mds {

/// The gauges are those of the active MDS: 0 on those that wait.
struct Metrics {
  explicit Metrics(Registry& registry);
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;
  Counter& heartbeats;
  Counter& segments_allocated;
  Counter& chunks_deleted;
  Counter& commits_failed;
  Counter& operators_done;
  Counter& operators_failed;
  Counter& sessions_opened;
  Counter& sessions_displaced;
  Counter& fences_raised;
  Gauge& active;
  Gauge& chunkservers_online;
  Gauge& chunkservers_registered;
  Gauge& copysets;
  Gauge& copysets_without_leader;
  Gauge& volumes;
  Gauge& operators;
  Gauge& replicas_lost;
};

class Context {
 public:
  Context(io::Env environment, kv::MetaStore& meta_store, rpc::Client& rpc_client,
          Options server_options);
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  /// Held while something is written. Those who wait are bounded by the server's calls in flight.
  using Lock = io::Semaphore::Permit;
  /// Errors: the store's, if the state had to be loaded anew and could not be.
  io::Task<Result<Lock>> lock_for_mutation();
  /// Under the lock. After an error the outcome may be unknown, and the state has been loaded anew:
  /// no reference into it is good any more.
  io::Task<Status> commit(kv::WriteBatch batch);

  /// Loads the state, and makes the cluster and its pool in an empty store.
  io::Task<Status> load();

  Liveness liveness_of(const Chunkserver& chunkserver) const {
    return mds::liveness_of(chunkserver, started_at, env.clock.now(), options);
  }
  bool is_serving(const Chunkserver& chunkserver) const {
    return mds::is_serving(chunkserver, started_at, env.clock.now(), options);
  }
  /// Shows all chunkservers to the planners as they stand now.
  void place_chunkservers();
  void place(const Chunkserver& chunkserver);
  placement::PlannerLimits planner_limits() const;
  /// Tells people that an operator is over, which has left the ledger.
  void note_ended(placement::Operator op, const placement::Step& step);
  void note_ended(placement::Operator op, std::string outcome, bool is_done);
  /// Wakes the background jobs, which end at the next occasion.
  void stop_jobs();
  bool is_stopping() const { return is_stopping_; }

  io::Env env;
  kv::MetaStore& store;
  kv::Election* election = nullptr;  ///< null: this MDS is the only one
  rpc::Client& client;               ///< to chunkservers
  const Options options;
  Instant started_at;
  Rng rng;  ///< of placement
  ClusterState state;
  IdAllocator ids;
  Schedule schedule;
  Metrics metrics;
  FenceProgress fences;

  Wakeup topology_changed;  ///< wakes plan_copysets
  Wakeup volume_deleted;    ///< wakes delete_chunks
  Wakeup bin_changed;       ///< wakes empty_bin
  Wakeup liveness_tick;     ///< of watch_liveness
  Wakeup schedule_tick;     ///< of schedule
  Wakeup session_tick;      ///< of expire_sessions
  io::Gate jobs;
  std::string plan_problem;  ///< why the copysets could not be planned, if so

 private:
  io::Task<Status> reload();
  io::Task<Status> load_counters();
  Status restore_operators(ClusterState& into);
  io::Task<Status> create_cluster();

  io::Semaphore mutation_;
  bool is_stopping_ = false;
  bool is_state_suspect_ = false;  ///< a commit failed: the store may know more than the state
};

/// The batch's put of a record, and the requirement that the key holds what the state knows.
void put_record(kv::WriteBatch& batch, std::string key,
                const google::protobuf::MessageLite& record);
void replace_record(kv::WriteBatch& batch, std::string key,
                    const google::protobuf::MessageLite& from,
                    const google::protobuf::MessageLite& to);
void create_record(kv::WriteBatch& batch, std::string key,
                   const google::protobuf::MessageLite& record);

}  // namespace cairn::mds
