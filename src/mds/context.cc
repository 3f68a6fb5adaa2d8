#include "mds/context.h"

#include "mds/keys.h"
#include "mds/operators.h"
#include "mds/record.h"

namespace cairn::mds {

namespace {
constexpr uint32_t kFormatVersion = 1;
}

Metrics::Metrics(Registry& registry)
    : heartbeats(registry.counter("cairn_mds_heartbeats_total", "heartbeats taken")),
      segments_allocated(registry.counter("cairn_mds_segments_allocated_total",
                                          "segments of volumes that were given chunks")),
      chunks_deleted(registry.counter("cairn_mds_chunks_deleted_total",
                                      "chunks of deleted volumes that leaders have removed")),
      commits_failed(registry.counter("cairn_mds_commits_failed_total",
                                      "batches that the metadata store did not take")),
      operators_done(registry.counter("cairn_mds_operators_done_total",
                                      "operators after which the copyset was as planned")),
      operators_failed(registry.counter("cairn_mds_operators_failed_total",
                                        "operators that ended otherwise, cancelled ones too")),
      sessions_opened(
          registry.counter("cairn_mds_sessions_opened_total", "sessions of volumes opened")),
      sessions_displaced(registry.counter("cairn_mds_sessions_displaced_total",
                                          "sessions that ended because another client opened the "
                                          "volume, or because they were not renewed")),
      fences_raised(registry.counter("cairn_mds_fences_raised_total",
                                     "fences of volumes ordered in a copyset's log")),
      active(registry.gauge("cairn_mds_active", "1 if this MDS is the active one")),
      chunkservers_online(
          registry.gauge("cairn_mds_chunkservers_online", "chunkservers heard lately")),
      chunkservers_registered(registry.gauge("cairn_mds_chunkservers", "chunkservers registered")),
      copysets(registry.gauge("cairn_mds_copysets", "copysets of all pools")),
      copysets_without_leader(registry.gauge("cairn_mds_copysets_without_leader",
                                             "copysets of which no leader is heard")),
      volumes(registry.gauge("cairn_mds_volumes", "volumes that are not deleted")),
      operators(registry.gauge("cairn_mds_operators", "operators under way")),
      replicas_lost(
          registry.gauge("cairn_mds_replicas_lost", "replicas on chunkservers that are offline")) {}

Metrics::~Metrics() {
  for (Gauge* gauge : {&active, &chunkservers_online, &chunkservers_registered, &copysets,
                       &copysets_without_leader, &volumes, &operators, &replicas_lost}) {
    gauge->set(0);
  }
}

Context::Context(io::Env environment, kv::MetaStore& meta_store, rpc::Client& rpc_client,
                 Options server_options)
    : env(std::move(environment)),
      store(meta_store),
      client(rpc_client),
      options(std::move(server_options)),
      started_at(env.clock.now()),
      rng(env.rng.fork()),
      metrics(env.metrics),
      topology_changed(env),
      volume_deleted(env),
      bin_changed(env),
      liveness_tick(env),
      schedule_tick(env),
      session_tick(env),
      jobs(env.executor),
      mutation_(env.executor, 1) {}

io::Task<Result<Context::Lock>> Context::lock_for_mutation() {
  Lock lock = co_await mutation_.acquire();
  if (is_state_suspect_) CO_TRY(co_await reload());
  co_return std::move(lock);
}

io::Task<Status> Context::commit(kv::WriteBatch batch) {
  Status status = co_await store.commit(std::move(batch));
  ids.settle(status.ok());
  if (status.ok()) co_return ok();
  metrics.commits_failed.add();
  env.logger.error("a commit failed", {{"error", status.error().describe()}});
  // Even a precondition that does not hold says that the state is not what the store holds. If it
  // cannot be read now, then before the next mutation.
  is_state_suspect_ = true;
  const Status reloaded = co_await reload();
  if (!reloaded.ok()) {
    env.logger.error("the state was not loaded anew", {{"error", reloaded.error().describe()}});
  }
  co_return status;
}

io::Task<Status> Context::reload() {
  auto fresh = co_await load_state(store);
  if (!fresh.ok()) {
    co_return fresh.error().within("the metadata store failed before and cannot be read");
  }
  CO_TRY(co_await load_counters());
  CO_TRY(restore_operators(*fresh));
  carry_over(state, *fresh);
  state = std::move(*fresh);
  is_state_suspect_ = false;
  env.logger.warn("loaded the state anew after a failed commit");
  co_return ok();
}

io::Task<Status> Context::load_counters() {
  for (size_t kind = 0; kind < kIdKindsCount; ++kind) {
    const std::string key = keys::counter(to_string(static_cast<IdKind>(kind)));
    auto stored = CO_TRY(co_await store.get(key));
    CO_TRY(ids.load(static_cast<IdKind>(kind), std::move(stored)));
  }
  co_return ok();
}

Status Context::restore_operators(ClusterState& into) {
  std::vector<placement::Operator> operators;
  std::set<CopysetId> copysets;
  for (const auto& [id, record] : into.operators) {
    operators.push_back(TRY(to_operator(record, env.clock.now())));
    if (!copysets.insert(operators.back().copyset).second) {
      return error(Errc::kCorrupt, "the metadata store has two operators of copyset " +
                                       to_string(operators.back().copyset));
    }
  }
  into.ledger = placement::Ledger(options.schedule.ledger);
  into.ledger.restore(operators, into.placed, OperatorId(ids.next(IdKind::kOperator) - 1));
  return ok();
}

void Context::place(const Chunkserver& chunkserver) {
  const Instant now = env.clock.now();
  state.place(chunkserver, planners_liveness(chunkserver, started_at, now, options), now);
}

void Context::place_chunkservers() {
  for (const auto& [id, chunkserver] : state.chunkservers) place(chunkserver);
}

placement::PlannerLimits Context::planner_limits() const {
  placement::PlannerLimits limits = options.schedule.planner;
  limits.fill = options.fill;
  return limits;
}

void Context::note_ended(placement::Operator op, const placement::Step& step) {
  const bool is_done = step.kind == placement::StepKind::kFinished;
  note_ended(std::move(op), is_done ? "done" : step.why, is_done);
}

void Context::note_ended(placement::Operator op, std::string outcome, bool is_done) {
  (is_done ? metrics.operators_done : metrics.operators_failed).add();
  env.logger.info("an operator is over",
                  {{"operator", op.id}, {"what", placement::describe(op)}, {"outcome", outcome}});
  schedule.note_ended(std::move(op), std::move(outcome), is_done, env.clock.now());
}

io::Task<Status> Context::load() {
  state = CO_TRY(co_await load_state(store));
  CO_TRY(co_await load_counters());
  CO_TRY(restore_operators(state));
  if (state.cluster.format_version() == 0) CO_TRY(co_await create_cluster());
  if (state.cluster.format_version() > kFormatVersion) {
    co_return error(Errc::kUnsupported, "the metadata store has format " +
                                            std::to_string(state.cluster.format_version()) +
                                            "; this program knows " +
                                            std::to_string(kFormatVersion) + ": run a newer one");
  }
  if (state.cluster.name() != options.cluster_name) {
    co_return error(Errc::kInvalidArgument, "the metadata store belongs to cluster '" +
                                                state.cluster.name() + "', not to '" +
                                                options.cluster_name +
                                                "': give that name or another directory");
  }
  if (state.pools.empty()) co_return error(Errc::kCorrupt, "the metadata store has no pool");
  const PoolOptions& wanted = options.pool;
  const wire::PoolRecord& pool = state.default_pool();
  if (pool.name() != wanted.name || pool.chunk_bytes() != wanted.chunk_bytes ||
      pool.segment_bytes() != wanted.segment_bytes ||
      pool.replicas_count() != wanted.replicas_count ||
      pool.copysets_per_chunkserver() != wanted.copysets_per_chunkserver) {
    env.logger.warn("the pool exists with other values than the options'; its own hold",
                    {{"pool", pool.ShortDebugString()}});
  }
  co_return ok();
}

io::Task<Status> Context::create_cluster() {
  wire::ClusterRecord cluster;
  cluster.set_format_version(kFormatVersion);
  cluster.set_name(options.cluster_name);
  kv::WriteBatch batch;
  wire::PoolRecord pool;
  pool.set_id(ids.take(IdKind::kPool, 1, batch));
  pool.set_name(options.pool.name);
  pool.set_chunk_bytes(options.pool.chunk_bytes);
  pool.set_segment_bytes(options.pool.segment_bytes);
  pool.set_replicas_count(options.pool.replicas_count);
  pool.set_copysets_per_chunkserver(options.pool.copysets_per_chunkserver);
  pool.set_chunkservers_min(options.pool.chunkservers_min);
  create_record(batch, std::string(keys::kCluster), cluster);
  create_record(batch, keys::pool(PoolId(pool.id())), pool);
  CO_TRY(co_await commit(std::move(batch)));
  state.cluster = std::move(cluster);
  state.set_pool(std::move(pool));
  env.logger.info("made a new cluster", {{"name", options.cluster_name}});
  co_return ok();
}

void Context::stop_jobs() {
  is_stopping_ = true;
  topology_changed.wake();
  volume_deleted.wake();
  bin_changed.wake();
  liveness_tick.wake();
  schedule_tick.wake();
  session_tick.wake();
}

void put_record(kv::WriteBatch& batch, std::string key,
                const google::protobuf::MessageLite& record) {
  std::string value = encode_record(key, record);
  batch.put(std::move(key), std::move(value));
}

void replace_record(kv::WriteBatch& batch, std::string key,
                    const google::protobuf::MessageLite& from,
                    const google::protobuf::MessageLite& to) {
  batch.require(key, encode_record(key, from));
  put_record(batch, std::move(key), to);
}

void create_record(kv::WriteBatch& batch, std::string key,
                   const google::protobuf::MessageLite& record) {
  batch.require_absent(key);
  put_record(batch, std::move(key), record);
}

}  // namespace cairn::mds
