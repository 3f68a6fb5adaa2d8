#include "sim/cluster/run.h"

#include "rpc/client.h"
#include "sim/check/replicas.h"
#include "sim/cluster/cluster.h"
#include "sim/cluster/election_watch.h"
#include "sim/cluster/fence_run.h"
#include "sim/cluster/heal_operator.h"
#include "sim/cluster/nemesis.h"
#include "sim/cluster/workload.h"
#include "sim/io/print_sink.h"
#include "sim/raft/core_run.h"

namespace cairn::sim {

namespace {

// Budgets of virtual time. Generous against what is needed: exceeding one means stuck, not slow.
constexpr Duration kFormingMax = 60s;
constexpr Duration kDrainMax = 90s;  // an operation's own deadline, and then some
constexpr Duration kServiceMax = 60s;
constexpr Duration kConvergeMax = 60s;

io::Task<void> store_status(io::Task<Status> task, std::shared_ptr<std::optional<Status>> into) {
  into->emplace(co_await std::move(task));
}

/// One run, phase by phase; the first that fails ends it.
class Run {
 public:
  explicit Run(const RunOptions& options)
      : world_(options.seed), sink_(world_), plan_(draw(world_.rng(), options)) {
    if (options.verbose) {
      world_.set_log(&sink_, options.debug ? LogLevel::kDebug : LogLevel::kInfo);
    }
    for (uint32_t number = 0; number < plan_.shape.volumes_count; ++number) {
      history_.add_volume(number, unit_of_volume(number));
    }
    world_.fabric().set_frame_codec(rpc_frame_codec());
    cluster_ = std::make_unique<Cluster>(world_, plan_);
    std::vector<Host*> client_hosts;
    for (uint32_t i = 1; i <= plan_.shape.clients_count; ++i) {
      Host& host = world_.add_host("client" + std::to_string(i));
      client_hosts.push_back(&host);
      clients_.push_back(
          std::make_unique<ClientNode>(host, i, plan_, cluster_->mds_addresses(), history_));
    }
    nemesis_ = std::make_unique<Nemesis>(world_, *cluster_, client_hosts, plan_.faults);
    watch_ = std::make_unique<ElectionWatch>(world_, *cluster_);
    nemesis_->set_before_crash([this] { watch_->look(); });
    if (options.profile == Profile::kHeal) {
      operator_ = std::make_unique<HealOperator>(world_, *cluster_, *nemesis_,
                                                 world_.add_host("operator"), plan_.shape);
    }
  }

  Outcome run() {
    Outcome outcome;
    const Instant begin = world_.now();
    outcome.plan = describe(plan_);
    outcome.reason = first_failure();
    outcome.passed = outcome.reason.empty();
    outcome.simulated_seconds = std::chrono::duration<double>(world_.now() - begin).count();
    outcome.events_count = world_.events_count();
    for (auto& client : clients_) {
      outcome.ops_count += client->ops_count();
      outcome.failed_ops_count += client->failed_ops_count();
    }
    outcome.strikes_count = nemesis_->strikes_count();
    outcome.leaderships_count = watch_->leaderships_count();
    outcome.overlap_seconds = std::chrono::duration<double>(watch_->overlap()).count();
    if (operator_) {
      for (const auto& [step, count] : operator_->counts()) outcome.coverage[step] = count;
    }
    outcome.fingerprint = fingerprint();
    return outcome;
  }

 private:
  static Plan draw(Rng& rng, const RunOptions& options) { return draw_plan(rng, options.profile); }

  std::string first_failure() {
    using Phase = std::string (Run::*)();
    for (const Phase phase : {&Run::form, &Run::chaos, &Run::settle, &Run::drain, &Run::serve,
                              &Run::converge, &Run::check_history}) {
      std::string failure = (this->*phase)();
      // What was violated says more than what came of it.
      if (!watch_->violation().empty()) return "election safety: " + watch_->violation();
      if (!failure.empty()) return failure;
      for (auto& client : clients_) {
        if (!client->unexpected_error().empty()) return client->unexpected_error();
      }
    }
    return "";
  }

  /// Runs a task of a client to its end; why it did not end well, or nothing.
  std::string complete(Host& host, io::Task<Status> task, Duration limit, const char* what) {
    // Shared with the task, which may still be there when the limit has passed.
    auto result = std::make_shared<std::optional<Status>>();
    host.spawn(store_status(std::move(task), result));
    if (!world_.run_until([&] { return result->has_value(); }, limit)) {
      return std::string(what) + " did not end within " + std::to_string(to_ms(limit)) + " ms";
    }
    return (*result)->ok() ? "" : std::string(what) + ": " + (*result)->error().describe();
  }

  std::string form() {
    ClientNode& first = *clients_[0];
    std::string failure =
        complete(first.host(), first.create_volumes(), kFormingMax, "forming the cluster");
    for (auto& client : clients_) {
      if (!failure.empty()) break;
      failure = complete(client->host(), client->open_volumes(), kFormingMax, "opening volumes");
    }
    return failure;
  }

  std::string chaos() {
    for (auto& client : clients_) client->begin();
    nemesis_->begin();
    std::string failure;
    if (operator_) {
      failure = operator_->run();
    } else {
      world_.run_for(plan_.chaos);
    }
    nemesis_->heal();
    return failure;
  }

  /// With the load going on.
  std::string settle() { return operator_ ? operator_->settle() : ""; }

  std::string drain() {
    world_.run_for(1s);
    for (auto& client : clients_) client->stop();
    const auto all_idle = [&] {
      return std::all_of(clients_.begin(), clients_.end(),
                         [](auto& client) { return client->workers_count() == 0; });
    };
    if (world_.run_until(all_idle, kDrainMax)) return "";
    return "liveness: operations did not end within " + std::to_string(to_ms(kDrainMax)) +
           " ms of healing" + server_states();
  }

  std::string serve() {
    for (auto& client : clients_) {
      std::string failure = complete(client->host(), client->prove_service(), kServiceMax,
                                     "liveness: new operations");
      if (!failure.empty()) return failure + server_states();
    }
    ClientNode& last = *clients_.back();
    return complete(last.host(), last.read_all(), kServiceMax, "liveness: reading everything");
  }

  /// What does not end and where every replica stands, for the report of a failed liveness.
  std::string server_states();
  std::string converge();
  io::Task<Status> fetch_replicas(rpc::Client* rpc);
  io::Task<void> stop_client(rpc::Client* rpc, bool* stopped);

  std::string check_history() {
    if (auto violation = history_.check()) return *violation;
    return "";
  }

  uint64_t fingerprint() {
    Fingerprint fingerprint;
    fingerprint.mix(world_.trace_hash());
    fingerprint.mix(static_cast<uint64_t>(world_.now().time_since_epoch().count()));
    fingerprint.mix(history_.ops_count());
    fingerprint.mix(history_.acknowledged_writes_count());
    for (ServerNode* server : cluster_->servers()) fingerprint.mix(server->host().disk().hash());
    return fingerprint.value();
  }

  World world_;
  PrintSink sink_;
  const Plan plan_;
  History history_;
  std::unique_ptr<Cluster> cluster_;
  std::vector<std::unique_ptr<ClientNode>> clients_;
  std::unique_ptr<Nemesis> nemesis_;
  std::unique_ptr<ElectionWatch> watch_;
  std::unique_ptr<HealOperator> operator_;  ///< of the profile heal
  std::map<CopysetId, std::vector<ReplicaState>> replicas_;
};

std::string Run::server_states() {
  std::string text;
  for (auto& client : clients_) text += client->describe_pending();
  for (ServerNode* server : cluster_->servers()) {
    if (server->has_started() || server->is_retired()) continue;
    text += "\n    " + server->host().name() + " has not started " + server->start_error();
  }
  std::map<GroupId, std::string> groups;
  for (auto& server : cluster_->chunkservers()) {
    if (!server->has_started() || !server->raft()) continue;
    for (const auto& [group, node] : server->raft()->nodes()) {
      const multiraft::NodeStatus status = node->status();
      std::string& line = groups[group];
      line += "\n      " + server->host().name() + (status.is_leader ? " leads" : " follows") +
              " term " + to_string(status.term) + " log " + to_string(status.first) + ".." +
              to_string(status.last) + " committed " + to_string(status.committed) + " applied " +
              to_string(status.applied) + " snapshot " + to_string(status.snapshot) +
              (status.error.empty() ? "" : " error " + status.error);
    }
  }
  for (const auto& [group, line] : groups) text += "\n    copyset " + to_string(group) + line;
  return text;
}

io::Task<Status> Run::fetch_replicas(rpc::Client* rpc) {
  replicas_.clear();
  auto copysets = CO_TRY(co_await clients_[0]->cluster().get_copysets({}));
  for (const wire::CopysetInfo& copyset : copysets) {
    for (const wire::NodeAddress& member : copyset.members()) {
      wire::ChunkHashRequest request;
      request.set_copyset(copyset.copyset());
      request.set_read_data(true);
      auto answer = CO_TRY(co_await rpc->call<wire::ChunkHashReply>(
          io::Address{member.address()}, wire::Method::kChunkHash, request, {}, 5s));
      ReplicaState replica;
      replica.node = member.node();
      replica.applied = LogIndex(answer.message.applied_index());
      for (const wire::ChunkHash& chunk : answer.message.chunks()) {
        replica.chunks[ChunkId(chunk.chunk())] = {chunk.crc32c(), chunk.blocks_written_count(),
                                                  chunk.blocks_corrupt_count()};
      }
      replicas_[CopysetId(copyset.copyset())].push_back(std::move(replica));
    }
  }
  co_return ok();
}

io::Task<void> Run::stop_client(rpc::Client* rpc, bool* stopped) {
  co_await rpc->stop();
  *stopped = true;
}

std::string Run::converge() {
  // Nothing is written any more: every replica has to reach the same state, byte for byte.
  Host& host = clients_[0]->host();
  rpc::Client rpc(host.env(), {}, cluster_key());
  const Instant until = world_.now() + kConvergeMax;
  std::string difference = "nothing was compared";
  while (world_.now() < until && !difference.empty()) {
    difference = complete(host, fetch_replicas(&rpc), kConvergeMax, "asking replicas");
    for (const auto& [copyset, replicas] : replicas_) {
      if (!difference.empty()) break;
      difference = compare_replicas(copyset, replicas).value_or("");
    }
    if (!difference.empty()) world_.run_for(200ms);
  }
  bool stopped = false;
  host.spawn(stop_client(&rpc, &stopped));
  CHECK(world_.run_until([&] { return stopped; }, kConvergeMax), "a client can be stopped");
  return difference.empty() ? "" : "replicas differ: " + difference + server_states();
}

/// Raft groups alone, without servers: sim/raft.
Outcome run_groups(const RunOptions& options) {
  const RaftRunOptions raft{
      .seed = options.seed, .verbose = options.verbose, .debug = options.debug};
  RaftOutcome groups =
      options.profile == Profile::kCore ? run_core_seed(raft) : run_raft_seed(raft);
  Outcome outcome;
  outcome.passed = groups.reason.empty();
  outcome.reason = std::move(groups.reason);
  outcome.plan = std::move(groups.plan);
  outcome.fingerprint = groups.fingerprint;
  outcome.simulated_seconds = groups.simulated_seconds;
  outcome.events_count = groups.events_count;
  outcome.ops_count = groups.ops_count;
  outcome.failed_ops_count = groups.failed_ops_count;
  outcome.strikes_count = groups.strikes_count;
  outcome.leaderships_count = groups.leaderships_count;
  outcome.coverage = std::move(groups.coverage);
  return outcome;
}

}  // namespace

Outcome run_seed(const RunOptions& options) {
  plant(options.bug);
  const bool is_raft = options.profile == Profile::kRaft || options.profile == Profile::kCore;
  if (is_raft) return run_groups(options);
  if (options.profile == Profile::kFence) return run_fence_seed(options);
  return std::make_unique<Run>(options)->run();
}

}  // namespace cairn::sim
