#include "sim/raft/raft_operator.h"

namespace cairn::sim {

namespace {

using raft::ConfChangeSingle;
using raft::ConfChangeTransition;
using raft::ConfChangeType;
using raft::ConfChangeV2;

bool contains(const std::vector<NodeId>& nodes, NodeId node) {
  return std::ranges::find(nodes, node) != nodes.end();
}

bool is_joint(const raft::ConfState& configuration) {
  return !configuration.voters_outgoing.empty();
}

bool names(const raft::ConfState& configuration, NodeId node) {
  return contains(configuration.voters, node) || contains(configuration.voters_outgoing, node) ||
         contains(configuration.learners, node) || contains(configuration.learners_next, node);
}

}  // namespace

RaftOperator::RaftOperator(World& world, std::vector<std::unique_ptr<RaftMember>>& members,
                           RunContext& context)
    : world_(world), members_(members), context_(context), rng_(world.fork_rng()) {
  for (const RaftGroupShape& group : context_.plan.groups) {
    context_.witness.begin_group(group.id, group.voters);
    orders_[group.id] = 0;
  }
}

const raft::ConfState& RaftOperator::configuration(GroupId group) const {
  return context_.witness.newest_configuration(group).members;
}

size_t RaftOperator::pending_count() const {
  size_t count = 0;
  for (const auto& [group, orders_count] : orders_) count += orders_count;
  return count;
}

GroupId RaftOperator::any_group() {
  const auto& groups = context_.plan.groups;
  return groups[rng_.below(groups.size())].id;
}

// ---- orders

void RaftOperator::start(GroupId group, RaftMember& leader, std::string what,
                         io::Task<Status> order) {
  context_.count("order: " + what);
  world_.logger("operator")
      .info(what + " of group " + to_string(group) + " ordered at " + leader.host().name());
  leader.host().spawn(follow(group, std::move(what), std::move(order)));
}

io::Task<void> RaftOperator::follow(GroupId group, std::string what, io::Task<Status> order) {
  const UnderWay under_way(orders_.at(group));
  Status outcome = co_await std::move(order);
  context_.count((outcome ? "order done: " : "order not done: ") + what);
  if (!outcome) {
    context_.count("order answered " + std::string(to_string(outcome.code())));
    world_.logger("operator").info(what + ": " + outcome.error().describe());
  }
  outcome_.insert_or_assign(group, std::move(outcome));
}

io::Task<Status> RaftOperator::change(multiraft::Node* node, ConfChangeV2 change) {
  CO_TRY(co_await node->change_members(std::move(change)));
  co_return ok();
}

void RaftOperator::change_something() {
  const GroupId group = any_group();
  // One at a time, so that the next is drawn from what the last has made of the group; and now and
  // then one that finds another under way.
  if (orders_.at(group) > 0 && !rng_.chance(0.05)) return;
  if (rng_.chance(0.25) && take_away_leftover(group)) return;
  if (rng_.chance(0.5) && repair(group)) return;
  RaftMember* leader = pick_leader(group);
  if (!leader) return;
  const raft::ConfState& now = configuration(group);
  if (is_joint(now) && !now.auto_leave && rng_.chance(0.7)) return leave_joint(group, *leader);
  using Order = void (RaftOperator::*)(GroupId, RaftMember&);
  constexpr Order kOrders[] = {
      &RaftOperator::set_members,    &RaftOperator::set_members,   &RaftOperator::add_member,
      &RaftOperator::add_learner,    &RaftOperator::remove_member, &RaftOperator::change_jointly,
      &RaftOperator::change_jointly,
  };
  (this->*kOrders[rng_.below(std::size(kOrders))])(group, *leader);
}

RaftMember* RaftOperator::pick_leader(GroupId group) {
  if (rng_.chance(0.8)) return believed_leader(members_, group);
  std::vector<RaftMember*> leading;
  for (auto& member : members_) {
    multiraft::Node* node = member->node(group);
    if (node && node->is_leader() && !member->host().is_paused()) leading.push_back(member.get());
  }
  return leading.empty() ? nullptr : leading[rng_.below(leading.size())];
}

/// Not while its replica is damaged, or being made or taken away.
bool RaftOperator::may_be_added(GroupId group, RaftMember& member) const {
  return !member.is_out_of_service(group) && !member.is_changing(group);
}

/// One that votes, or one that does not; none: there is no such host.
NodeId RaftOperator::pick_host(GroupId group, bool is_voter_wanted) {
  std::vector<NodeId> candidates;
  for (auto& member : members_) {
    const bool votes = contains(configuration(group).voters, member->self());
    if (votes != is_voter_wanted) continue;
    if (!votes && !may_be_added(group, *member)) continue;
    candidates.push_back(member->self());
  }
  return candidates.empty() ? NodeId() : candidates[rng_.below(candidates.size())];
}

bool RaftOperator::may_lose_voters(GroupId group, size_t lost_count) const {
  return configuration(group).voters.size() >= context_.plan.voters_min + lost_count;
}

std::vector<NodeId> RaftOperator::draw_voters(GroupId group, size_t voters_count) {
  std::vector<NodeId> hosts;
  for (auto& member : members_) {
    if (may_be_added(group, *member)) hosts.push_back(member->self());
  }
  while (hosts.size() > voters_count) {
    hosts.erase(hosts.begin() + static_cast<ptrdiff_t>(rng_.below(hosts.size())));
  }
  return hosts;
}

void RaftOperator::set_members(GroupId group, RaftMember& leader) {
  const std::vector<NodeId> voters = draw_voters(group, rng_.chance(0.6) ? 3 : 5);
  if (voters.size() < context_.plan.voters_min) return;
  for (NodeId node : voters) member(node).order_join(group);
  start(group, leader, "replace members", leader.node(group)->set_members(voters));
}

void RaftOperator::add_member(GroupId group, RaftMember& leader) {
  const NodeId node = pick_host(group, /*is_voter_wanted=*/false);
  if (node.is_none()) return;
  member(node).order_join(group);
  start(group, leader, "add a member", leader.node(group)->add_member(node));
}

void RaftOperator::add_learner(GroupId group, RaftMember& leader) {
  const NodeId node = pick_host(group, /*is_voter_wanted=*/false);
  if (node.is_none()) return;
  // Sometimes it has no replica yet, and does not answer.
  if (rng_.chance(0.8)) member(node).order_join(group);
  start(group, leader, "add a learner", leader.node(group)->add_learner(node));
}

void RaftOperator::remove_member(GroupId group, RaftMember& leader) {
  const auto& learners = configuration(group).learners;
  if (!learners.empty() && rng_.chance(0.4)) {
    return remove_from_group(group, leader, learners[rng_.below(learners.size())]);
  }
  if (!may_lose_voters(group, 1)) return;
  const NodeId node = rng_.chance(0.3) ? leader.self() : pick_host(group, true);
  if (node == leader.self()) context_.count("order: a leader's own removal");
  remove_from_group(group, leader, node);
}

void RaftOperator::remove_from_group(GroupId group, RaftMember& leader, NodeId node) {
  start(group, leader, "remove a member", leader.node(group)->remove_member(node));
}

/// Up to three hosts change their part: voters become learners or leave, learners become voters,
/// others learners.
RaftOperator::Changes RaftOperator::draw_changes(GroupId group) {
  const raft::ConfState& now = configuration(group);
  Changes changes;
  size_t lost_count = 0;
  std::vector<NodeId> hosts = draw_voters(group, rng_.between(1, 3));
  for (NodeId node : hosts) {
    ConfChangeType type = ConfChangeType::kAddLearner;
    if (contains(now.voters, node)) {
      if (!may_lose_voters(group, ++lost_count)) continue;
      type = rng_.chance(0.6) ? ConfChangeType::kAddLearner : ConfChangeType::kRemove;
    } else if (contains(now.learners, node)) {
      type = rng_.chance(0.8) ? ConfChangeType::kAddVoter : ConfChangeType::kRemove;
    } else {
      member(node).order_join(group);
    }
    changes.push_back({.type = type, .node = node});
  }
  return changes;
}

void RaftOperator::change_jointly(GroupId group, RaftMember& leader) {
  Changes changes = draw_changes(group);
  if (changes.empty()) return;
  const bool is_explicit = rng_.chance(0.5);
  ConfChangeV2 wanted(
      is_explicit ? ConfChangeTransition::kJointExplicit : ConfChangeTransition::kJointImplicit,
      std::move(changes));
  start(group, leader, is_explicit ? "joint change, left on order" : "joint change, left by itself",
        change(leader.node(group), std::move(wanted)));
}

void RaftOperator::leave_joint(GroupId group, RaftMember& leader) {
  start(group, leader, "leave a joint configuration", change(leader.node(group), ConfChangeV2()));
}

RaftMember* RaftOperator::hand_over() {
  const GroupId group = any_group();
  RaftMember* leader = pick_leader(group);
  if (!leader) return nullptr;
  NodeId to;  // whoever has most of the log
  if (rng_.chance(0.5)) to = pick_host(group, /*is_voter_wanted=*/true);
  if (rng_.chance(0.1)) to = members_[rng_.below(members_.size())]->self();
  start(group, *leader, "hand leadership over", leader->node(group)->transfer_leadership(to));
  return leader;
}

// ---- replicas

/// Whether most voters have the newest configuration in force: it does not depend on those before.
bool RaftOperator::is_settled(GroupId group) {
  const RaftWitness::Configuration& newest = context_.witness.newest_configuration(group);
  if (is_joint(newest.members)) return false;
  const auto knows = [&](NodeId voter) {
    multiraft::Node* node = member(voter).node(group);
    return node && node->status().epoch >= newest.epoch;
  };
  const auto& voters = newest.members.voters;
  return static_cast<size_t>(std::ranges::count_if(voters, knows)) > voters.size() / 2;
}

/// A replica that no configuration names, if there is one.
bool RaftOperator::take_away_leftover(GroupId group) {
  if (orders_.at(group) > 0 || !is_settled(group)) return false;
  std::vector<RaftMember*> leftovers;
  for (auto& member : members_) {
    if (!member->has_started() || member->is_changing(group)) continue;
    if (!member->node(group) && !member->is_out_of_service(group)) continue;
    if (!names(configuration(group), member->self())) leftovers.push_back(member.get());
  }
  if (leftovers.empty()) return false;
  leftovers[rng_.below(leftovers.size())]->order_remove(group, /*purges=*/rng_.chance(0.5));
  return true;
}

/// The next step for a replica that is out of service, if there is one.
bool RaftOperator::repair(GroupId group) {
  for (auto& member : members_) {
    if (!member->is_out_of_service(group)) continue;
    const bool is_named = names(configuration(group), member->self());
    RaftMember* leader = believed_leader(members_, group);
    const bool may_remove = leader && (may_lose_voters(group, 1) ||
                                       !contains(configuration(group).voters, member->self()));
    if (is_named && may_remove && rng_.chance(0.7)) {
      remove_from_group(group, *leader, member->self());
    } else {
      if (is_named) context_.count("order: reset of one that is counted on");
      member->order_reset(group);
    }
    return true;
  }
  return false;
}

// ---- after all is healed

std::string RaftOperator::put_in_order(Duration limit) {
  for (const RaftGroupShape& group : context_.plan.groups) {
    const Instant until = world_.now() + limit;
    for (std::string rest = tidy(group.id); !rest.empty(); rest = tidy(group.id)) {
      if (world_.now() >= until) return "group " + to_string(group.id) + ": " + rest;
      world_.run_for(context_.plan.timeout() / 4);
    }
  }
  // Not before: the records of a damaged replica may fill the log of a host that others need.
  for (const RaftGroupShape& group : context_.plan.groups) {
    if (context_.plan.faults.conf_change == Duration::zero()) break;
    const std::string failure = prove_change(group.id, world_.now() + limit);
    if (!failure.empty()) return "group " + to_string(group.id) + ": " + failure;
  }
  return "";
}

std::string RaftOperator::tidy(GroupId group) {
  if (orders_.at(group) > 0) return "an order does not end";
  RaftMember* leader = believed_leader(members_, group);
  if (!leader || !leader->node(group)->is_ready_leader()) return "nobody leads";
  const raft::ConfState& now = configuration(group);
  if (is_joint(now)) {
    if (!now.auto_leave) leave_joint(group, *leader);
    return "the configuration is joint";
  }
  for (auto& member : members_) {
    // One whose log is beyond reading as a whole does not start any more.
    if (!member->has_started() && member->is_corrupted()) continue;
    std::string rest = tidy_member(group, *leader, *member);
    if (!rest.empty()) return member->host().name() + " " + rest;
  }
  return "";
}

std::string RaftOperator::tidy_member(GroupId group, RaftMember& leader, RaftMember& member) {
  if (!member.has_started()) return "has not started";
  if (member.is_changing(group)) return "is making or removing its replica";
  const raft::ConfState& now = configuration(group);
  const bool votes = contains(now.voters, member.self());
  multiraft::Node* node = member.node(group);
  const bool is_out = member.is_out_of_service(group);
  // Blank, or without a replica: its vote was lost with what it had. A learner, too, stays blank
  // where the leader counts on what it had before (ADR-0010).
  const bool is_blank = node && node->status().members.empty();
  const bool has_lost_vote = votes && !node;
  if (((is_out || is_blank) && names(now, member.self())) || has_lost_vote) {
    remove_from_group(group, leader, member.self());
    return "is out of service and a member";
  }
  if (is_out) {
    member.order_reset(group);
    return "is out of service";
  }
  if (!node && contains(now.learners, member.self())) {
    member.order_join(group);
    return "has no replica and is a learner";
  }
  return "";
}

std::string RaftOperator::prove_change(GroupId group, Instant until) {
  std::string failure = "nobody leads";
  while (world_.now() < until) {
    if (RaftMember* leader = believed_leader(members_, group)) {
      std::vector<NodeId> voters;
      for (NodeId node : draw_voters(group, members_.size())) {
        if (member(node).has_started() && voters.size() < 3) voters.push_back(node);
      }
      for (NodeId node : voters) member(node).order_join(group);
      start(group, *leader, "replace members", leader->node(group)->set_members(voters));
      world_.run_until([&] { return orders_.at(group) == 0; }, until - world_.now());
      if (orders_.at(group) > 0) return "the last change does not end";
      const Status& outcome = outcome_.at(group);
      if (outcome) return "";
      failure = "the last change is refused: " + outcome.error().describe();
    }
    world_.run_for(context_.plan.timeout() / 4);
  }
  return failure;
}

}  // namespace cairn::sim
