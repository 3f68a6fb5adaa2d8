#include "sim/raft/register_machine.h"

namespace cairn::sim {

Buffer encode_write(const RegisterWrite& write) {
  Buffer head = Buffer::allocate(sizeof(write) + write.filler_bytes);
  store(head.mutable_view(), write);
  std::ranges::fill(head.mutable_view().subspan(sizeof(write)), std::byte{0xa5});
  return head;
}

Buffer payload_of_write(BufferPool& buffers, uint64_t value, size_t blocks_count) {
  Buffer payload = buffers.allocate(blocks_count * kBlockBytes);
  for (size_t at = 0; at < payload.size_bytes(); at += sizeof(value)) {
    store(payload.mutable_view().subspan(at), value);
  }
  return payload;
}

RegisterMachine::RegisterMachine(io::Env env, GroupId group, NodeId node, RunContext& context)
    : env_(env), rng_(env.rng.fork()), group_(group), node_(node), context_(context) {}

std::string RegisterMachine::name() const {
  return "group " + to_string(group_) + " on node " + to_string(node_);
}

void RegisterMachine::check_in_use() {
  if (is_retired_) context_.blame(name() + " is called although its replica is gone");
}

io::Task<Status> RegisterMachine::on_apply(std::span<multiraft::Command> commands) {
  check_in_use();
  for (const multiraft::Command& command : commands) {
    // In the middle of a batch: what is begun here must be harmless to repeat.
    if (rng_.chance(context_.plan.slow_apply_chance)) {
      context_.count("slow apply");
      co_await env_.clock.sleep(context_.plan.timeout() / 4);
    }
    apply_one(command);
  }
  co_return ok();
}

void RegisterMachine::apply_one(const multiraft::Command& command) {
  if (command.index <= applied_) {
    context_.blame("a command is applied twice: index " + to_string(command.index) + " of " +
                   name() + " which is at " + to_string(applied_));
    return;
  }
  const auto digest = RaftWitness::digest_of(raft::EntryType::kNormal, command.head.view(),
                                             command.payload.size_bytes());
  context_.witness.on_applied(group_, node_, command.index, command.term, digest);
  const auto write = load<RegisterWrite>(command.head.view());
  for (size_t at = 0; at < command.payload.size_bytes(); at += sizeof(uint64_t)) {
    if (load<uint64_t>(command.payload.view().subspan(at)) == write.value) continue;
    context_.blame("a payload is not what was written: index " + to_string(command.index) + " of " +
                   name());
    break;
  }
  registers_.at(write.number) = write.value;
  applied_ = command.index;
}

void RegisterMachine::on_epoch(Epoch epoch, LogIndex index) {
  check_in_use();
  if (epoch < epoch_) context_.blame("the epoch of " + name() + " went back");
  epoch_ = epoch;
  applied_ = std::max(applied_, index);
  if (unseen_)
    context_.witness.on_configuration(group_, node_, epoch_, *std::exchange(unseen_, {}));
}

uint64_t RegisterMachine::missing_count() const {
  const Duration left = complete_at_ - env_.clock.now();
  const Duration step = context_.plan.timeout() / 4;
  return left <= Duration::zero() ? 0 : static_cast<uint64_t>((left + step - 1ns) / step);
}

Buffer RegisterMachine::encode_image() const {
  const Image image{
      .index = applied_.value(), .missing_count = missing_count(), .registers = registers_};
  Buffer data = Buffer::allocate(sizeof(image) + context_.plan.snapshot_filler_bytes);
  store(data.mutable_view(), image);
  std::ranges::fill(data.mutable_view().subspan(sizeof(image)),
                    static_cast<std::byte>(image.index));
  return data;
}

io::Task<Result<multiraft::SavedState>> RegisterMachine::on_snapshot_save() {
  check_in_use();
  Buffer data = encode_image();
  context_.count("snapshot taken");
  if (rng_.chance(context_.plan.slow_save_chance)) {
    co_await env_.clock.sleep(context_.plan.timeout() / 2);
  }
  co_return multiraft::SavedState{.data = std::move(data)};
}

Status RegisterMachine::restore(const Buffer& data) {
  // A group begins without an image.
  const Image image = data.empty() ? Image{} : load<Image>(data.view());
  const auto filler = data.empty() ? ByteView() : data.view().subspan(sizeof(image));
  const bool is_whole = data.empty() || filler.size() == context_.plan.snapshot_filler_bytes;
  const auto is_ours = [&](std::byte b) { return b == static_cast<std::byte>(image.index); };
  if (!is_whole || !std::ranges::all_of(filler, is_ours)) {
    context_.blame("a snapshot is not what was saved: index " + std::to_string(image.index) +
                   " of " + name());
  }
  registers_ = image.registers;
  complete_at_ =
      env_.clock.now() + static_cast<int64_t>(image.missing_count) * (context_.plan.timeout() / 4);
  applied_ = LogIndex(image.index);
  return ok();
}

io::Task<Status> RegisterMachine::on_recover(Buffer data) {
  co_return restore(data);
}

io::Task<Status> RegisterMachine::on_snapshot_load(Buffer data, NodeId source) {
  (void)source;
  check_in_use();
  if (rng_.chance(context_.plan.slow_save_chance)) {
    co_await env_.clock.sleep(context_.plan.timeout() / 2);
    if (rng_.chance(0.3)) {
      context_.count("snapshot fetch failed");
      co_return error(Errc::kUnavailable, "the source went away, as the plan has it");
    }
  }
  context_.count("snapshot installed");
  is_loaded_ = true;
  if (!data.empty() && load<Image>(data.view()).missing_count > 0) {
    context_.blame(name() + " was given a state that lacks parts");
  }
  CO_TRY(restore(data));
  if (rng_.chance(context_.plan.partial_chance)) {
    context_.count("snapshot left the state partial");
    complete_at_ = env_.clock.now() +
                   static_cast<int64_t>(rng_.between(1, 40)) * (context_.plan.timeout() / 4);
  }
  co_return ok();
}

void RegisterMachine::on_leader_start(Term term) {
  if (missing_count() > 0) {
    context_.blame(name() + " leads term " + to_string(term) + " and lacks parts of the state");
  }
  context_.count("leader started");
}

void RegisterMachine::on_configuration_committed(const raft::ConfState& configuration) {
  check_in_use();
  if (std::exchange(is_loaded_, false)) {
    context_.witness.on_configuration(group_, node_, epoch_, configuration);
  } else {
    unseen_ = configuration;
  }
  context_.count("configuration applied");
  if (!configuration.voters_outgoing.empty()) context_.count("joint configuration applied");
  if (!configuration.learners.empty()) context_.count("configuration with learners applied");
  if (!configuration.learners_next.empty()) context_.count("voter demoted in a joint change");
}

void RegisterMachine::on_error(const Error& reason) {
  context_.count("group failed");
  // A log that lost what was acknowledged is found at restart, before the group takes part.
  if (reason.code() == Errc::kCorrupt) {
    context_.blame(name() + " is corrupt: " + reason.message());
  }
}

}  // namespace cairn::sim
