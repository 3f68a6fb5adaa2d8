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
  CHECK(server_->listen(*peers_.find(self_)).ok());
}

void RaftMember::on_batch(rpc::Call<wire::RaftBatch> batch) {
  if (has_started_) raft_->on_batch(std::move(batch));
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
  retry_later();
}

void RaftMember::retry_later() {
  // As a supervisor: the process ends and is started again; a paused one does neither yet.
  host_.world().after(2 * context_.plan.timeout(), [this, start = starts_count_] {
    if (start != starts_count_ || !is_up()) return;
    if (host_.is_paused()) return retry_later();
    crash(CrashKind::kKill);
    this->start();
  });
}

io::Task<Status> RaftMember::open() {
  wal::WalOptions wal = context_.plan.wal;
  // Of a formed member the log is never empty.
  wal.must_exist = is_formed_;
  CO_TRY(co_await raft_->open(host_.disk(), wal, [this](GroupId group) {
    auto& machine = machines_[group];
    machine = std::make_unique<RegisterMachine>(host_.env(), group, self_, context_);
    return machine.get();
  }));
  if (!is_formed_) CO_TRY(co_await form());
  check_recovered();
  co_return ok();
}

io::Task<Status> RaftMember::form() {
  for (const RaftGroupShape& group : context_.plan.groups) {
    if (!std::ranges::binary_search(group.voters, self_)) continue;
    auto& machine = machines_[group.id];
    if (!machine) {
      machine = std::make_unique<RegisterMachine>(host_.env(), group.id, self_, context_);
    }
    CO_TRY(co_await raft_->create(group.id, group.voters, *machine));
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
  for (const RaftGroupShape& group : context_.plan.groups) {
    if (!std::ranges::binary_search(group.voters, self_)) continue;
    const bool runs = raft_->find(group.id) != nullptr;
    if (runs && quarantined_.contains(group.id)) {
      context_.blame("group " + to_string(group.id) + " on node " + to_string(self_) +
                     " takes part although it was quarantined");
    }
    if (!runs && !out.contains(group.id) && !is_corrupted_) {
      context_.blame("group " + to_string(group.id) + " is missing on node " + to_string(self_) +
                     " after a restart");
    }
  }
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

}  // namespace cairn::sim
