#include "sim/raft/register_load.h"

#include <cmath>

namespace cairn::sim {

RegisterLoad::RegisterLoad(World& world, std::vector<std::unique_ptr<RaftMember>>& members,
                           RunContext& context)
    : world_(world), members_(members), context_(context), rng_(world.fork_rng()) {}

RegisterLoad::~RegisterLoad() {
  stop();
}

void RegisterLoad::begin() {
  schedule();
}

void RegisterLoad::stop() {
  if (next_ != 0) world_.cancel(std::exchange(next_, 0));
}

void RegisterLoad::schedule() {
  const double wait =
      -std::log(1.0 - rng_.unit()) * static_cast<double>(context_.plan.load.think_mean.count());
  Duration delay(static_cast<int64_t>(wait));
  if (context_.writes_held) delay /= 8;
  if (rng_.chance(context_.plan.load.lull_chance)) {
    context_.count("lull of the load");
    delay += context_.plan.timeout() * static_cast<int64_t>(rng_.between(2, 8));
  }
  next_ = world_.after(delay, [this] {
    const uint64_t ops_count = rng_.between(1, context_.plan.load.burst_max);
    for (uint64_t i = 0; i < ops_count; ++i) begin_op();
    schedule();
  });
}

size_t RegisterLoad::leaders_count(GroupId group) {
  return static_cast<size_t>(std::ranges::count_if(members_, [group](auto& member) {
    multiraft::Node* node = member->is_up() ? member->node(group) : nullptr;
    return node && node->is_leader();
  }));
}

RaftMember* RegisterLoad::pick_member(GroupId group) {
  if (!rng_.chance(context_.plan.load.stale_share)) return believed_leader(members_, group);
  // Any that believes to lead, in whatever term; and sometimes one that does not.
  std::vector<RaftMember*> candidates;
  const bool wants_leader = rng_.chance(0.9);
  for (auto& member : members_) {
    multiraft::Node* node = member->is_up() ? member->node(group) : nullptr;
    // The calls of a paused process come when it goes on, not now.
    if (!node || member->host().is_paused()) continue;
    if (!wants_leader || node->is_leader()) candidates.push_back(member.get());
  }
  return candidates.empty() ? nullptr : candidates[rng_.below(candidates.size())];
}

void RegisterLoad::begin_op() {
  const auto& groups = context_.plan.groups;
  const GroupId group = groups[rng_.below(groups.size())].id;
  const auto number = static_cast<uint32_t>(rng_.below(kRegistersCount));
  const bool may_write = !context_.writes_held || leaders_count(group) > 1;
  const bool is_write = rng_.chance(context_.plan.load.write_share) && may_write;
  RaftMember* member = pick_member(group);
  if (!member || pending_count_ >= context_.plan.load.pending_max) return;
  if (is_write) {
    start_write(*member, group, number, nullptr);
  } else {
    start_read(*member, group, number, nullptr);
  }
}

RegisterLoad::Op& RegisterLoad::new_op(GroupId group, uint32_t number, bool is_write) {
  ++ops_count_;
  History& history = histories_[{group, number}];
  Op& op = history.emplace_back();
  op.entry.is_write = is_write;
  op.entry.invoked = ++now_;
  return op;
}

void RegisterLoad::start_write(RaftMember& member, GroupId group, uint32_t number,
                               bool* succeeded) {
  const RaftLoad& load = context_.plan.load;
  Op& op = new_op(group, number, true);
  op.entry.value = ++last_value_;
  RegisterWrite command{.value = op.entry.value, .number = number};
  if (rng_.chance(0.2)) command.filler_bytes = static_cast<uint32_t>(rng_.between(1, 600));
  Buffer payload;
  if (rng_.chance(load.payload_share)) {
    payload = payload_of_write(member.host().env().buffers, command.value, rng_.between(1, 3));
  }
  multiraft::Node* node = member.node(group);
  const Term only_in = rng_.chance(0.2) ? node->term() : Term();
  member.host().spawn(
      write(node, encode_write(command), std::move(payload), only_in, &op, succeeded));
}

io::Task<void> RegisterLoad::write(multiraft::Node* node, Buffer head, Buffer payload, Term only_in,
                                   Op* op, bool* succeeded) {
  const UnderWay pending(pending_count_);
  auto index = co_await node->apply(std::move(head), std::move(payload), only_in);
  if (index.ok()) {
    op->entry.returned = ++now_;
    if (succeeded) *succeeded = true;
    co_return;
  }
  ++failed_ops_count_;
  switch (index.code()) {
    case Errc::kNotLeader:
    case Errc::kOverloaded:
      // Nothing was proposed: if its value is ever read, nobody wrote it.
      op->counts = false;
      context_.count("write refused");
      break;
    default:
      context_.count("write of unknown outcome");
  }
}

void RegisterLoad::start_read(RaftMember& member, GroupId group, uint32_t number, bool* succeeded) {
  Op& op = new_op(group, number, false);
  op.counts = false;  // until it has returned
  member.host().spawn(read(member.node(group), member.machine(group), number, &op, succeeded));
}

io::Task<void> RegisterLoad::read(multiraft::Node* node, RegisterMachine* machine, uint32_t number,
                                  Op* op, bool* succeeded) {
  const UnderWay pending(pending_count_);
  Status barrier = co_await node->read_barrier();
  if (!barrier.ok()) {
    ++failed_ops_count_;
    context_.count("read refused");
    co_return;
  }
  op->entry.value = machine->read(number);
  op->entry.returned = ++now_;
  op->counts = true;
  if (succeeded) *succeeded = true;
}

std::string RegisterLoad::prove_service(GroupId group, Duration limit) {
  const Instant until = world_.now() + limit;
  for (const bool is_write : {true, false}) {
    bool succeeded = false;
    while (!succeeded && world_.now() < until) {
      RaftMember* leader = believed_leader(members_, group);
      if (leader && is_write) start_write(*leader, group, 0, &succeeded);
      if (leader && !is_write) start_read(*leader, group, 0, &succeeded);
      world_.run_until([&] { return succeeded || (leader && pending_count_ == 0); },
                       context_.plan.timeout());
      if (!succeeded) world_.run_for(context_.plan.timeout() / 8);
      // The flag is this frame's: nothing that may set it stays behind.
      while (pending_count_ > 0 && world_.now() < until)
        world_.run_for(context_.plan.timeout() / 8);
      if (pending_count_ > 0) return "an operation does not end";
    }
    if (!succeeded) return is_write ? "no write succeeds" : "no read succeeds";
  }
  return "";
}

std::string RegisterLoad::check() const {
  for (const auto& [name, history] : histories_) {
    std::vector<RegisterOp> ops;
    for (const Op& op : history) {
      if (op.counts) ops.push_back(op.entry);
    }
    if (const auto violation = check_register(ops)) {
      return "linearizability: register " + std::to_string(name.second) + " of group " +
             to_string(name.first) + ": " + violation->text;
    }
  }
  return "";
}

}  // namespace cairn::sim
