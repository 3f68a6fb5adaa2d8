#include "chunkserver/background/change_runner.h"

#include <algorithm>

#include "wire/methods.h"

namespace cairn::chunkserver {

namespace {

bool contains(const std::vector<NodeId>& nodes, NodeId node) {
  return std::ranges::find(nodes, node) != nodes.end();
}

CopysetId copyset_of(const ChangeOrder& order) {
  return CopysetId(order.change.copyset());
}

/// The members that the order asks for, given the present ones.
std::vector<NodeId> members_after(const ChangeOrder& order, std::vector<NodeId> members) {
  if (!order.voters.empty()) return order.voters;
  const NodeId source(order.change.source()), target(order.change.target());
  const wire::ChangeKind kind = order.change.kind();
  if (kind != wire::CHANGE_ADD) std::erase(members, source);
  if (kind != wire::CHANGE_REMOVE && !contains(members, target)) members.push_back(target);
  return members;
}

}  // namespace

ChangeRunner::ChangeRunner(io::Env env, rpc::Client& client, ChangeContext& context,
                           ChangeOptions options)
    : env_(env),
      client_(client),
      context_(context),
      options_(options),
      gate_(env.executor),
      ended_(env.executor),
      done_total_(env.metrics.counter("cairn_chunkserver_changes_total",
                                      "Changes of copysets' members and leaders carried out")),
      failed_total_(env.metrics.counter("cairn_chunkserver_changes_failed_total",
                                        "Changes of copysets that failed or were refused")) {}

Status ChangeRunner::check_slot(CopysetId copyset) const {
  if (is_stopping_) return error(Errc::kUnavailable, "this chunkserver is stopping");
  if (under_way_.contains(copyset)) {
    return error(Errc::kOverloaded, "another change of copyset " + to_string(copyset) +
                                        " is under way; nothing was done, try again when it has "
                                        "ended");
  }
  if (under_way_.size() >= options_.changes_max) {
    return error(Errc::kOverloaded,
                 "as many changes as may be are under way on this chunkserver; "
                 "nothing was done, try again later");
  }
  return ok();
}

Status ChangeRunner::check_order(const ChangeOrder& order,
                                 const multiraft::NodeStatus& status) const {
  const wire::CopysetChange& change = order.change;
  if (change.epoch() != 0 && change.epoch() != status.epoch.value()) {
    return error(Errc::kStaleEpoch, "the change is for epoch " + std::to_string(change.epoch()) +
                                        ", and the copyset is at " + to_string(status.epoch) +
                                        "; nothing was done");
  }
  const bool needs_target = change.kind() == wire::CHANGE_ADD ||
                            (change.kind() == wire::CHANGE_REPLACE && order.voters.empty());
  const bool needs_source = change.kind() == wire::CHANGE_REMOVE ||
                            (change.kind() == wire::CHANGE_REPLACE && order.voters.empty());
  if (change.kind() == wire::CHANGE_NONE || !wire::ChangeKind_IsValid(change.kind()) ||
      (needs_target && change.target() == 0) || (needs_source && change.source() == 0)) {
    return error(Errc::kInvalidArgument, "a change without a kind or a member; nothing was done");
  }
  if (change.kind() == wire::CHANGE_TRANSFER) return ok();
  for (NodeId member : members_after(order, status.members)) {
    if (member == context_.self() || context_.address_of(member)) continue;
    return error(Errc::kInvalidArgument, "the address of chunkserver " + to_string(member) +
                                             " is not known here; nothing was done");
  }
  return ok();
}

Status ChangeRunner::start(ChangeOrder order, bool is_from_mds) {
  const CopysetId copyset = copyset_of(order);
  if (auto found = under_way_.find(copyset);
      found != under_way_.end() &&
      found->second.order.change.operator_id() == order.change.operator_id()) {
    return ok();
  }
  TRY(check_slot(copyset));
  {
    const PinnedCopyset here = TRY(context_.find_copyset(copyset));
    if (!here->node()->is_ready_leader()) {
      return error(Errc::kNotLeader, "this replica does not lead the copyset; nothing was done");
    }
    TRY(check_order(order, here->node()->status()));
  }
  env_.logger.info("a change of a copyset begins",
                   {{"copyset", copyset},
                    {"kind", wire::ChangeKind_Name(order.change.kind())},
                    {"source", order.change.source()},
                    {"target", order.change.target()},
                    {"operator", order.change.operator_id()}});
  UnderWay& entry = under_way_[copyset];
  entry.order = order;
  entry.is_from_mds = is_from_mds;
  if (const uint64_t rate = order.change.bytes_per_second_max(); rate > 0) {
    entry.rate = std::make_shared<RateLimit>(env_.clock, rate);
  }
  context_.on_change_news();
  env_.executor.spawn(run(std::move(order)));
  return ok();
}

Status ChangeRunner::begin(ChangeOrder order) {
  return start(std::move(order), /*is_from_mds=*/false);
}

void ChangeRunner::obey(wire::CopysetChange change) {
  const CopysetId copyset(change.copyset());
  const uint64_t operator_id = change.operator_id();
  // It has ended, and the MDS did not know when it repeated the order.
  if (auto found = outcomes_.find(copyset); found != outcomes_.end()) {
    for (const Ended& ended : found->second) {
      if (ended.operator_id == operator_id) return;
    }
  }
  const Status begun = start({.change = std::move(change)}, /*is_from_mds=*/true);
  if (begun) return;
  env_.logger.warn("a change that the MDS ordered was refused",
                   {{"copyset", copyset}, {"why", begun.error().message()}});
  failed_total_.add();
  note_outcome(copyset, operator_id, begun);
  context_.on_change_news();
}

io::Task<void> ChangeRunner::run(ChangeOrder order) {
  auto inside = gate_.enter();
  const CopysetId copyset = copyset_of(order);
  Status outcome = error(Errc::kClosed, "this chunkserver is stopping");
  if (inside) outcome = co_await carry_out(std::move(order));
  finish(copyset, outcome);
}

io::Task<Status> ChangeRunner::carry_out(ChangeOrder order) {
  const CopysetId copyset = copyset_of(order);
  const PinnedCopyset here = CO_TRY(context_.find_copyset(copyset));
  multiraft::Node* node = here->node();
  const NodeId source(order.change.source()), target(order.change.target());
  switch (order.change.kind()) {
    case wire::CHANGE_TRANSFER:
      co_return co_await insist(copyset, [=] { return node->transfer_leadership(target); });
    case wire::CHANGE_REMOVE:  // a learner as well
      CO_TRY(co_await insist(copyset, [=] { return node->remove_member(source); }));
      co_await dismiss(node, copyset, source);
      co_return ok();
    default:
      co_return co_await replace(node, copyset, members_after(order, node->status().members));
  }
}

// A group that is not settled, and a newcomer that is still copying, are asked again.
io::Task<Status> ChangeRunner::insist(CopysetId copyset, std::function<io::Task<Status>()> change) {
  for (uint32_t tries = 1;; ++tries) {
    const uint64_t copied_before = under_way_.at(copyset).progress.copied_bytes;
    const Status changed = co_await change();
    if (changed || is_stopping_) co_return changed;
    // While it takes chunks its log does not grow: no reason to give it up.
    const bool is_copying = changed.code() == Errc::kTimeout &&
                            under_way_.at(copyset).progress.copied_bytes > copied_before;
    const bool is_unsettled = changed.code() == Errc::kOverloaded && tries < options_.tries_max;
    if (!is_copying && !is_unsettled) co_return changed;
    if (is_copying) tries = 0;
    if (is_unsettled) co_await env_.clock.sleep(options_.retry_delay);
  }
}

io::Task<Status> ChangeRunner::replace(multiraft::Node* node, CopysetId copyset,
                                       std::vector<NodeId> voters) {
  const std::vector<NodeId> before = node->status().members;
  std::vector<NodeId> newcomers = voters;
  std::erase_if(newcomers, [&](NodeId member) { return contains(before, member); });
  introduce(newcomers, before);
  for (NodeId newcomer : newcomers) CO_TRY(co_await bring_in(node, copyset, newcomer));
  CO_TRY(co_await insist(copyset, [=] { return node->set_members(voters); }));
  for (NodeId member : before) {
    if (!contains(voters, member)) co_await dismiss(node, copyset, member);
  }
  co_return ok();
}

// Nobody waits for it: a member that is away is told by the MDS when it is back.
void ChangeRunner::introduce(const std::vector<NodeId>& newcomers,
                             const std::vector<NodeId>& members) {
  wire::LearnPeersRequest request;
  for (NodeId newcomer : newcomers) {
    const io::Address* address = context_.address_of(newcomer);
    if (!address) continue;
    auto* peer = request.add_peers();
    peer->set_node(newcomer.value());
    peer->set_address(address->text);
  }
  if (request.peers().empty()) return;
  for (NodeId member : members) {
    const io::Address* address = context_.address_of(member);
    if (member != context_.self() && address) env_.executor.spawn(tell_peers(*address, request));
  }
}

io::Task<void> ChangeRunner::tell_peers(io::Address member, wire::LearnPeersRequest request) {
  auto inside = gate_.enter();
  if (!inside) co_return;
  (void)co_await client_.call<wire::LearnPeersReply>(member, wire::Method::kLearnPeers, request, {},
                                                     options_.call_timeout);
}

// Its chunkserver makes a blank replica, or has one.
io::Task<Status> ChangeRunner::bring_in(const multiraft::Node* node, CopysetId copyset,
                                        NodeId newcomer) {
  const multiraft::NodeStatus status = node->status();
  wire::CreateCopysetRequest request;
  request.set_copyset(copyset.value());
  request.set_epoch(status.epoch.value());
  request.set_joins(true);
  for (NodeId member : status.members) {
    const io::Address* address =
        member == context_.self() ? &context_.address() : context_.address_of(member);
    if (!address) continue;
    auto* entry = request.add_members();
    entry->set_node(member.value());
    entry->set_address(address->text);
  }
  for (uint32_t tries = 1;; ++tries) {
    const io::Address* address = context_.address_of(newcomer);
    if (!address) {
      co_return error(Errc::kUnavailable,
                      "the address of chunkserver " + to_string(newcomer) + " is not known");
    }
    auto answer = co_await client_.call<wire::CreateCopysetReply>(
        *address, wire::Method::kCreateCopyset, request, {}, options_.call_timeout);
    if (answer) co_return ok();
    const bool may_pass = answer.code() == Errc::kUnavailable || answer.code() == Errc::kTimeout ||
                          answer.code() == Errc::kOverloaded || answer.code() == Errc::kClosed;
    if (!may_pass || tries >= options_.tries_max || is_stopping_) {
      co_return answer.error().within("chunkserver " + to_string(newcomer) +
                                      " did not take a replica; nothing was changed");
    }
    co_await env_.clock.sleep(options_.retry_delay);
  }
}

// A kindness: it saves the MDS from finding the replica, and its disk the space.
io::Task<void> ChangeRunner::dismiss(const multiraft::Node* node, CopysetId copyset,
                                     NodeId member) {
  const io::Address* address = context_.address_of(member);
  if (member == context_.self() || !address || is_stopping_) co_return;
  wire::DeleteCopysetRequest request;
  request.set_copyset(copyset.value());
  request.set_epoch(node->status().epoch.value());
  auto answer = co_await client_.call<wire::DeleteCopysetReply>(
      *address, wire::Method::kDeleteCopyset, request, {}, options_.call_timeout);
  if (!answer && answer.code() != Errc::kNotFound) {
    env_.logger.info(
        "a member that has left keeps its replica until the MDS finds it",
        {{"copyset", copyset}, {"chunkserver", member}, {"why", answer.error().message()}});
  }
}

io::Task<Status> ChangeRunner::reset(CopysetId copyset, std::vector<NodeId> voters) {
  auto inside = CO_TRY(gate_.enter());
  CO_TRY(check_slot(copyset));
  Status outcome = ok();
  under_way_.emplace(copyset, UnderWay());
  {
    auto here = context_.find_copyset(copyset);
    outcome =
        here ? co_await (*here)->node()->reset_members(std::move(voters)) : Status(here.error());
  }
  finish(copyset, outcome);
  co_return outcome;
}

void ChangeRunner::finish(CopysetId copyset, const Status& outcome) {
  const auto found = under_way_.find(copyset);
  CHECK(found != under_way_.end(), "what ends was under way");
  const uint64_t operator_id = found->second.order.change.operator_id();
  if (found->second.is_from_mds) note_outcome(copyset, operator_id, outcome);
  under_way_.erase(found);
  if (recent_.size() >= kRecentMax) recent_.pop_front();
  recent_.push_back({.operator_id = operator_id, .outcome = outcome});
  if (outcome) {
    done_total_.add();
    env_.logger.info("a change of a copyset is done",
                     {{"copyset", copyset}, {"operator", operator_id}});
  } else {
    failed_total_.add();
    env_.logger.warn(
        "a change of a copyset failed",
        {{"copyset", copyset}, {"operator", operator_id}, {"why", outcome.error().message()}});
  }
  ended_.notify_all();
  context_.on_change_news();
}

void ChangeRunner::note_outcome(CopysetId copyset, uint64_t operator_id, const Status& outcome) {
  auto& outcomes = outcomes_[copyset];
  if (outcomes.size() >= kOutcomesMax) return;  // the order comes again
  outcomes.push_back({.operator_id = operator_id, .outcome = outcome});
}

io::Task<std::optional<Status>> ChangeRunner::wait(CopysetId copyset, uint64_t operator_id,
                                                   Instant until) {
  auto inside = gate_.enter();
  if (!inside) co_return std::nullopt;
  io::Timer deadline(env_.clock, [this] { ended_.notify_all(); });
  deadline.arm(until);
  for (;;) {
    const auto found = under_way_.find(copyset);
    if (found == under_way_.end() || found->second.order.change.operator_id() != operator_id) break;
    if (is_stopping_ || env_.clock.now() >= until) co_return std::nullopt;
    co_await ended_.wait_next();
  }
  co_return outcome_of(operator_id);
}

std::optional<Status> ChangeRunner::outcome_of(uint64_t operator_id) const {
  for (auto ended = recent_.rbegin(); ended != recent_.rend(); ++ended) {
    if (ended->operator_id == operator_id) return ended->outcome;
  }
  return std::nullopt;
}

const ChangeRunner::Progress* ChangeRunner::progress(CopysetId copyset) const {
  const auto found = under_way_.find(copyset);
  return found == under_way_.end() ? nullptr : &found->second.progress;
}

io::Task<void> ChangeRunner::pace_copy(CopysetId copyset) {
  const auto found = under_way_.find(copyset);
  if (found == under_way_.end() || !found->second.rate) co_return;
  const std::shared_ptr<RateLimit> rate = found->second.rate;  // the change may end meanwhile
  co_await rate->wait_at_most(kPaceMax);
}

void ChangeRunner::note_copied(CopysetId copyset, uint64_t bytes) {
  const auto found = under_way_.find(copyset);
  if (found == under_way_.end()) return;
  found->second.progress.copied_bytes += bytes;
  if (found->second.rate) found->second.rate->charge(bytes);
}

void ChangeRunner::fill(CopysetId copyset, wire::CopysetHeartbeat* entry) const {
  if (const auto found = under_way_.find(copyset); found != under_way_.end()) {
    *entry->mutable_change() = found->second.order.change;
  }
  if (const auto found = outcomes_.find(copyset); found != outcomes_.end()) {
    const Ended& oldest = found->second.front();
    auto* ended = entry->mutable_ended();
    ended->set_operator_id(oldest.operator_id);
    if (!oldest.outcome) ended->set_error(oldest.outcome.error().message());
  }
}

void ChangeRunner::acknowledge(const wire::HeartbeatRequest& answered) {
  std::map<CopysetId, std::deque<Ended>> left;
  // Of copysets that are no longer here nothing can be reported.
  for (const auto& entry : answered.copysets()) {
    auto found = outcomes_.extract(CopysetId(entry.copyset()));
    if (found.empty()) continue;
    auto& outcomes = found.mapped();
    if (entry.has_ended() && outcomes.front().operator_id == entry.ended().operator_id()) {
      outcomes.pop_front();
    }
    if (!outcomes.empty()) left.insert(std::move(found));
  }
  outcomes_ = std::move(left);
  if (!outcomes_.empty()) context_.on_change_news();
}

io::Task<void> ChangeRunner::stop() {
  is_stopping_ = true;
  ended_.notify_all();
  co_await gate_.close();
}

}  // namespace cairn::chunkserver
