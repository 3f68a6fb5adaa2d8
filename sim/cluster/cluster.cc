#include "sim/cluster/cluster.h"

#include "rpc/frame.h"

namespace cairn::sim {

namespace {
constexpr uint16_t kMdsPort = 6700;
constexpr uint16_t kChunkserverPort = 8200;
constexpr Duration kRestartDelay = 500ms;

HostOptions draw_host_options(World& world, const FaultRates& faults) {
  HostOptions options;
  if (faults.drift_ppm_max > 0) {
    const auto range = static_cast<uint64_t>(2 * faults.drift_ppm_max);
    options.clock_drift_ppm =
        static_cast<int64_t>(world.rng().between(0, range)) - faults.drift_ppm_max;
  }
  return options;
}
}  // namespace

rpc::ClusterKey cluster_key() {
  return {"the key of a simulated cluster"};
}

FrameCodec rpc_frame_codec() {
  FrameCodec codec;
  codec.frame_bytes = [](ByteView bytes) -> size_t {
    if (bytes.size() < rpc::kPrefixBytes) return 0;
    const auto prefix = load<rpc::FramePrefix>(bytes);
    if (prefix.magic != rpc::kFrameMagic) return 0;
    return rpc::kPrefixBytes + size_t{prefix.header_bytes} + prefix.attachment_bytes;
  };
  codec.may_fault = [](ByteView frame) {
    switch (load<rpc::FramePrefix>(frame).kind) {
      case rpc::FrameKind::kRequest:
      case rpc::FrameKind::kResponse:
      case rpc::FrameKind::kError:
      case rpc::FrameKind::kOneWay:
        return true;
      default:
        return false;
    }
  };
  return codec;
}

// ---- ServerNode

void ServerNode::start() {
  if (is_retired_) return;
  if (!host_.is_running()) host_.boot();
  ++starts_count_;
  has_started_ = false;
  start_error_.clear();
  host_.execute([this] {
    build(host_.env());
    host_.env().executor.spawn(run_start());
  });
}

io::Task<void> ServerNode::run_start() {
  Status started = co_await start_server();
  has_started_ = started.ok();
  if (!started.ok()) {
    start_error_ = started.error().describe();
    host_.env().logger.error("start failed", {{"error", start_error_}});
    retry_later();
  }
}

void ServerNode::retry_later() {
  // As a supervisor: the process ends and is started again.
  host_.world().after(kRestartDelay, [this, start = starts_count_] {
    if (start != starts_count_ || !is_up()) return;
    if (host_.is_paused()) return retry_later();
    crash(CrashKind::kKill);
    this->start();
  });
}

void ServerNode::crash(CrashKind kind) {
  if (!host_.is_running()) return;
  has_started_ = false;
  host_.crash(kind, [this] { destroy(); });
  if (kind == CrashKind::kPowerLoss) lose_unsynced();
}

// ---- MdsNode

MdsNode::MdsNode(Host& host, const ClusterShape& shape)
    : ServerNode(host), shape_(shape), address_(host.address(kMdsPort)) {}

mds::Options MdsNode::options() const {
  mds::Options options;
  options.listen = address_;
  options.cluster_key = cluster_key();
  options.pool.chunk_bytes = shape_.chunk_bytes;
  options.pool.segment_bytes = shape_.segment_bytes;
  options.pool.copysets_per_chunkserver = shape_.copysets_per_chunkserver;
  options.pool.chunkservers_min = shape_.chunkservers_count;
  options.heartbeat_interval = 1s;
  options.unstable_after = shape_.unstable_after;
  options.offline_after = shape_.offline_after;
  options.schedule.interval = shape_.schedule_interval;
  return options;
}

void LoneMdsNode::build(io::Env env) {
  store_.set_latency(env.clock, host().world().fork_rng(), 500us);
  mds_ = std::make_unique<mds::Mds>(env, store_, options());
}

MemberMdsNode::MemberMdsNode(Host& host, const ClusterShape& shape, NodeId self,
                             std::map<NodeId, io::Address> members)
    : MdsNode(host, shape),
      options_{.self = self,
               .members = std::move(members),
               .is_new = true,
               .raft = kv::metadata_raft_options(),
               .wal = {.segment_bytes = 4 * kMiB}} {}

void MemberMdsNode::build(io::Env env) {
  client_ = std::make_unique<rpc::Client>(env, rpc::ClientOptions(), cluster_key());
  server_ = std::make_unique<rpc::Server>(env, rpc::ServerOptions(), cluster_key());
  replica_ = std::make_unique<kv::ReplicatedStore>(env, host().disk(), store_, *client_, options_);
  replica_->add_to(*server_);
  member_ = std::make_unique<mds::Member>(env, *replica_, *server_, options());
}

io::Task<Status> MemberMdsNode::start_server() {
  CO_TRY(server_->listen(address()));
  CO_TRY(co_await replica_->start());
  options_.is_new = false;
  co_return member_->start();
}

void MemberMdsNode::destroy() {
  member_.reset();
  replica_.reset();
  server_.reset();
  client_.reset();
}

void MemberMdsNode::lose_unsynced() {
  store_.lose_unsynced(host().world().rng());
}

// ---- ChunkserverNode

ChunkserverNode::ChunkserverNode(Host& host, const Plan& plan, std::vector<io::Address> mds)
    : ServerNode(host),
      plan_(plan),
      mds_(std::move(mds)),
      address_(host.address(kChunkserverPort)) {}

void ChunkserverNode::build(io::Env env) {
  const ClusterShape& shape = plan_.shape;
  chunkserver::Options options;
  options.listen = address_;
  options.mds = mds_;
  options.zone = host().name();
  options.server = host().name();
  options.key = cluster_key();
  options.heartbeat_interval = 1s;
  options.raft.snapshot_log_entries = shape.snapshot_log_entries;
  options.raft.retained_log_entries = shape.retained_log_entries;
  options.fetch_bytes = 16 * kKiB;  // several pieces a chunk
  options.wal.segment_bytes = shape.wal_segment_bytes;
  options.wal.wal_bytes_max = 16 * shape.wal_segment_bytes;
  options.store.chunk_bytes = static_cast<uint32_t>(shape.chunk_bytes);
  options.pool.ready_min = 2;
  options.pool.ready_target = 4;
  options.pool.space_reserve_bytes = 64 * kMiB;
  server_ = std::make_unique<chunkserver::Chunkserver>(env, host().disk(), options);
}

// ---- Cluster

Cluster::Cluster(World& world, const Plan& plan) : world_(world), plan_(plan) {
  const uint32_t mds_count = plan.shape.mds_count;
  std::vector<Host*> mds_hosts;
  std::map<NodeId, io::Address> members;
  for (uint32_t i = 1; i <= mds_count; ++i) {
    const std::string name = mds_count == 1 ? "mds" : "mds" + std::to_string(i);
    mds_hosts.push_back(&world.add_host(name, draw_host_options(world, plan.faults)));
    members.emplace(NodeId(i), mds_hosts.back()->address(kMdsPort));
  }
  for (const auto& [id, address] : members) {
    Host& host = *mds_hosts[id.value() - 1];
    if (mds_count == 1) {
      mds_.push_back(std::make_unique<LoneMdsNode>(host, plan.shape));
    } else {
      mds_.push_back(std::make_unique<MemberMdsNode>(host, plan.shape, id, members));
    }
  }
  for (uint32_t i = 0; i < plan.shape.chunkservers_count; ++i) add_chunkserver();
  for (ServerNode* server : servers()) server->start();
}

ChunkserverNode& Cluster::add_chunkserver() {
  const std::string name = "cs" + std::to_string(chunkservers_.size() + 1);
  Host& host = world_.add_host(name, draw_host_options(world_, plan_.faults));
  chunkservers_.push_back(std::make_unique<ChunkserverNode>(host, plan_, mds_addresses()));
  return *chunkservers_.back();
}

std::vector<io::Address> Cluster::mds_addresses() const {
  std::vector<io::Address> addresses;
  for (const auto& mds : mds_) addresses.push_back(mds->address());
  return addresses;
}

Cluster::~Cluster() {
  for (ServerNode* server : servers()) server->crash(CrashKind::kKill);
}

std::vector<ServerNode*> Cluster::servers() {
  std::vector<ServerNode*> all;
  for (auto& mds : mds_) all.push_back(mds.get());
  for (auto& chunkserver : chunkservers_) all.push_back(chunkserver.get());
  return all;
}

}  // namespace cairn::sim
