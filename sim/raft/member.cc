#include "sim/raft/member.h"

#include "rpc/frame.h"
#include "wire/methods.h"

namespace cairn::sim {

rpc::ClusterKey raft_sim_key() {
  return {"the key of simulated Raft groups"};
}

FrameCodec raft_sim_frame_codec() {
  FrameCodec codec;
  codec.frame_bytes = [](ByteView bytes) -> size_t {
    if (bytes.size() < rpc::kPrefixBytes) return 0;
    const auto prefix = load<rpc::FramePrefix>(bytes);
    if (prefix.magic != rpc::kFrameMagic) return 0;
    return rpc::kPrefixBytes + size_t{prefix.header_bytes} + prefix.attachment_bytes;
  };
  codec.may_fault = [](ByteView frame) {
    return load<rpc::FramePrefix>(frame).kind == rpc::FrameKind::kOneWay;
  };
  return codec;
}

RaftMember::RaftMember(Host& host, NodeId self, multiraft::PeerDirectory peers, RunContext& context)
    : host_(host), self_(self), peers_(std::move(peers)), context_(context) {}

RaftMember::~RaftMember() {
  crash(CrashKind::kKill);
}

void RaftMember::start() {
  if (!host_.is_running()) host_.boot();
  ++starts_count_;
  has_started_ = false;
  start_error_.clear();
  host_.execute([this] {
    build();
    host_.env().executor.spawn(run_start());
  });
}

void RaftMember::crash(CrashKind kind) {
  if (!host_.is_running()) return;
  look();
  has_started_ = false;
  host_.crash(kind, [this] {
    raft_.reset();
    server_.reset();
    client_.reset();
    machines_.clear();
    retired_machines_.clear();
  });
}

void RaftMember::build() {
  const Duration timeout = context_.plan.timeout();
  rpc::ClientOptions options;
  options.connect_timeout = 2 * timeout;
  options.handshake_timeout = 2 * timeout;
  options.backoff_max = timeout;
  options.probe_after = 2 * timeout;
  options.probe_timeout = 2 * timeout;
  const io::Env env = host_.env();
  client_ = std::make_unique<rpc::Client>(env, options, raft_sim_key());
  server_ = std::make_unique<rpc::Server>(env, rpc::ServerOptions(), raft_sim_key());
  raft_ = std::make_unique<multiraft::Host>(env, self_, *client_, peers_, context_.plan.raft);
  server_->add_one_way(wire::Method::kRaftBatch, *this, &RaftMember::on_batch);
  server_->add(wire::Method::kFetchSnapshot, *this, &RaftMember::on_fetch_snapshot);
  CHECK(server_->listen(*peers_.find(self_)).ok());
}

void RaftMember::on_batch(rpc::Call<wire::RaftBatch> batch) {
  if (has_started_) raft_->on_batch(std::move(batch));
}

io::Task<Result<rpc::Answer<wire::FetchSnapshotReply>>> RaftMember::on_fetch_snapshot(
    rpc::Call<wire::FetchSnapshotRequest> call) {
  if (!has_started_) co_return error(Errc::kUnavailable, "this process is starting");
  context_.count("snapshot piece asked for");
  co_return co_await raft_->on_fetch_snapshot(std::move(call));
}

io::Task<void> RaftMember::run_start() {
  Status opened = co_await open();
  if (opened.ok()) {
    has_started_ = true;
    co_return;
  }
  start_error_ = opened.error().describe();
  host_.env().logger.error("start failed", {{"error", start_error_}});
  context_.count("start failed");
  if (opened.code() == Errc::kCorrupt && !is_corrupted_) {
    context_.blame("node " + to_string(self_) + " does not start: " + start_error_);
  }
  retry_later(opened.code() == Errc::kIo ? CrashKind::kPowerLoss : CrashKind::kKill);
}

void RaftMember::retry_later(CrashKind kind) {
  // As a supervisor: the process ends and is started again; a paused one does neither yet. Behind
  // a device that failed the cache is not to be trusted: the machine goes down as well.
  host_.world().after(2 * context_.plan.timeout(), [this, kind, start = starts_count_] {
    if (start != starts_count_ || !is_up()) return;
    if (host_.is_paused()) return retry_later(kind);
    crash(kind);
    this->start();
  });
}

io::Task<Status> RaftMember::open() {
  wal::WalOptions wal = context_.plan.wal;
  // Of a formed member the log is never empty.
  wal.must_exist = is_formed_;
  CO_TRY(co_await raft_->open(host_.disk(), wal,
                              [this](GroupId group) { return &make_machine(group); }));
  if (!is_formed_) CO_TRY(co_await form());
  check_recovered();
  co_return ok();
}

io::Task<Status> RaftMember::form() {
  for (const RaftGroupShape& group : context_.plan.groups) {
    if (!std::ranges::binary_search(group.voters, self_)) continue;
    RegisterMachine* known = machine(group.id);
    CO_TRY(co_await raft_->create(group.id, group.voters, known ? *known : make_machine(group.id)));
    held_.insert(group.id);
  }
  is_formed_ = true;
  co_return ok();
}

void RaftMember::check_recovered() {
  const auto& out = raft_->out_of_service();
  if (raft_->log().recovery().batches_cut > 0) context_.count("torn tail cut");
  for (const auto& [group, reason] : out) {
    context_.count("group quarantined");
    if (!is_corrupted_) {
      context_.blame("group " + to_string(group) + " on node " + to_string(self_) +
                     " is quarantined without a cause: " + reason);
    }
    quarantined_.insert(group);
  }
  for (const RaftGroupShape& group : context_.plan.groups) check_recovered(group.id);
}

void RaftMember::check_recovered(GroupId group) {
  const auto blame = [&](const char* what) {
    context_.blame("group " + to_string(group) + " on node " + to_string(self_) + what);
  };
  const bool runs = raft_->find(group) != nullptr;
  if (runs && quarantined_.contains(group)) blame(" takes part although it was quarantined");
  if (runs && gone_.contains(group)) blame(" takes part although it was removed");
  if (runs || is_corrupted_ || !held_.contains(group)) return;
  if (!raft_->out_of_service().contains(group)) blame(" is missing after a restart");
}

RegisterMachine& RaftMember::make_machine(GroupId group) {
  auto& machine = machines_[group];
  if (machine) retired_machines_.push_back(std::move(machine));
  machine = std::make_unique<RegisterMachine>(host_.env(), group, self_, context_);
  return *machine;
}

// ---- what an operator orders

bool RaftMember::is_out_of_service(GroupId group) {
  return has_started_ && raft_->out_of_service().contains(group);
}

void RaftMember::order_join(GroupId group) {
  if (may_change(group)) host_.spawn(join(group));
}

void RaftMember::order_remove(GroupId group, bool purges) {
  if (may_change(group)) host_.spawn(remove(group, purges));
}

void RaftMember::order_reset(GroupId group) {
  if (may_change(group)) host_.spawn(reset(group));
}

io::Task<void> RaftMember::join(GroupId group) {
  const UnderWay change(changes_[group]);
  if (raft_->find(group)) co_return;
  if (std::ranges::count(raft_->removed(), group) > 0) {
    context_.count("removed replica purged");
    if (Status purged = co_await raft_->purge(group); !purged) co_return;
  }
  gone_.erase(group);
  // A removal that a crash cut off may be durable all the same.
  if (!is_out_of_service(group)) quarantined_.erase(group);
  if (!co_await raft_->join(group, make_machine(group))) {
    context_.count("replica not made");
    co_return;
  }
  context_.count("blank replica made");
  held_.insert(group);
}

io::Task<void> RaftMember::remove(GroupId group, bool purges) {
  const UnderWay change(changes_[group]);
  look();
  held_.erase(group);
  if (Status removed = co_await raft_->remove(group); !removed) {
    context_.count("replica not removed");
    co_return;
  }
  context_.count("replica removed");
  quarantined_.erase(group);
  gone_.insert(group);
  retire_machine(group);
  if (!purges) co_return;
  if ((co_await raft_->purge(group)).ok()) context_.count("removed replica purged");
}

io::Task<void> RaftMember::reset(GroupId group) {
  const UnderWay change(changes_[group]);
  quarantined_.erase(group);
  gone_.erase(group);  // where a log rots, what is known of a removed one may come back damaged
  // The old one is in use until the replica is taken apart.
  if (!co_await raft_->reset(group, make_machine(group))) {
    context_.count("replica not reset");
    co_return;
  }
  context_.count("replica reset");
  for (auto& machine : retired_machines_) machine->retire();
  held_.insert(group);
}

void RaftMember::retire_machine(GroupId group) {
  const auto found = machines_.find(group);
  if (found == machines_.end()) return;
  found->second->retire();
  retired_machines_.push_back(std::move(found->second));
  machines_.erase(found);
}

multiraft::Node* RaftMember::node(GroupId group) {
  return has_started_ ? raft_->find(group) : nullptr;
}

RegisterMachine* RaftMember::machine(GroupId group) {
  const auto found = machines_.find(group);
  return found == machines_.end() ? nullptr : found->second.get();
}

bool RaftMember::leads_any() {
  if (!has_started_) return false;
  const auto nodes = raft_->nodes();
  return std::ranges::any_of(nodes, [](const auto& entry) { return entry.second->is_leader(); });
}

void RaftMember::look(bool at_all) {
  if (!has_started_) return;
  for (const auto& [group, node] : raft_->nodes()) {
    if (at_all) {
      context_.witness.look_at_all(group, self_, node->core());
    } else {
      context_.witness.look(group, self_, node->core());
    }
  }
}

bool RaftMember::restart_if_failed() {
  if (!has_started_ || host_.is_paused()) return false;
  const auto nodes = raft_->nodes();
  const bool has_failed = raft_->disk_error() || std::ranges::any_of(nodes, [](const auto& entry) {
                            return !entry.second->status().error.empty();
                          });
  if (!has_failed) return false;
  context_.count("restart after a failure");
  // What the device had not written when it failed is not to be trusted to a cache: the machine
  // goes down as well.
  crash(CrashKind::kPowerLoss);
  start();
  return true;
}

RaftMember* believed_leader(std::vector<std::unique_ptr<RaftMember>>& members, GroupId group) {
  RaftMember* best = nullptr;
  Term best_term;
  for (auto& member : members) {
    multiraft::Node* node = member->node(group);
    if (!node || !node->is_leader() || member->host().is_paused()) continue;
    if (best && node->term() < best_term) continue;
    best = member.get();
    best_term = node->term();
  }
  return best;
}

}  // namespace cairn::sim
