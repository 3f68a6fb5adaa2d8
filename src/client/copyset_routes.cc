#include "client/copyset_routes.h"

#include <algorithm>

#include "client/mds_caller.h"
#include "wire/mds.pb.h"

namespace cairn::client {

const Member* CopysetRoute::find(NodeId node) const {
  for (const Member& member : members) {
    if (member.node == node) return &member;
  }
  return nullptr;
}

Member* CopysetRoute::find(NodeId node) {
  return const_cast<Member*>(std::as_const(*this).find(node));
}

void CopysetRoute::update(Epoch new_epoch, std::vector<Member> new_members, NodeId new_leader,
                          Instant now) {
  if (new_epoch < epoch) return;  // an answer that was overtaken
  for (Member& member : new_members) {
    const Member* old = find(member.node);
    if (old && old->address == member.address) member.suspect_until = old->suspect_until;
  }
  epoch = new_epoch;
  members = std::move(new_members);
  // What a member said lately is newer than what the MDS heard, unless that one is gone.
  const Member* told = find(new_leader);
  if (!find(leader)) leader = told && told->suspect_until <= now ? new_leader : NodeId();
}

bool LeaderSearch::has_tried(NodeId node) const {
  return std::find(tried_.begin(), tried_.end(), node) != tried_.end();
}

const Member* LeaderSearch::choose(const CopysetRoute& route, Instant now) const {
  const Member* leader = route.find(route.leader);
  if (leader && !has_tried(leader->node)) return leader;
  const Member* best = nullptr;
  for (const Member& member : route.members) {
    if (has_tried(member.node)) continue;
    if (!best || member.suspect_until < best->suspect_until) best = &member;
  }
  // Somebody is there and knows of no leader yet: an election. To ask those that were silent a
  // moment ago would only hold up the next round.
  if (best && best->suspect_until > now && was_answered_) return nullptr;
  return best;
}

void LeaderSearch::start_round() {
  tried_.clear();
  was_answered_ = false;
}

void LeaderSearch::end_round(const CopysetRoute& route) {
  for (const Member& member : route.members) {
    if (!has_tried(member.node)) tried_.push_back(member.node);
  }
}

void LeaderSearch::redirected(CopysetRoute& route, NodeId node, NodeId hint, Instant now) {
  if (!has_tried(node)) tried_.push_back(node);
  was_answered_ = true;
  const Member* told = route.find(hint);
  // A hint to one that just failed is the follower's old view: the route is not turned back to it,
  // and choose() still comes to it, after the others.
  const bool is_usable = told && hint != node && !has_tried(hint) && told->suspect_until <= now;
  if (is_usable) {
    route.leader = hint;
  } else if (route.leader == node) {
    route.leader = NodeId();
  }
}

void LeaderSearch::failed(CopysetRoute& route, NodeId node, Instant now, Duration suspicion) {
  if (!has_tried(node)) tried_.push_back(node);
  if (route.leader == node) route.leader = NodeId();
  if (suspicion == Duration::zero()) {
    was_answered_ = true;
  } else if (Member* member = route.find(node)) {
    member->suspect_until = now + suspicion;
  }
}

CopysetRoute* CopysetRoutes::find(CopysetId copyset) {
  auto known = routes_.find(copyset);
  if (known == routes_.end() || known->second.route.members.empty()) return nullptr;
  return &known->second.route;
}

io::Task<Status> CopysetRoutes::fetch(std::vector<CopysetId> copysets, Instant deadline) {
  auto running = gate_.enter();
  if (!running.ok()) co_return running.error();
  std::erase_if(copysets, [this](CopysetId copyset) { return find(copyset) != nullptr; });
  std::sort(copysets.begin(), copysets.end());
  copysets.erase(std::unique(copysets.begin(), copysets.end()), copysets.end());
  if (copysets.empty()) co_return ok();
  const std::vector<CopysetId> wanted = copysets;
  CO_TRY(co_await ask(std::move(copysets), deadline));
  for (CopysetId copyset : wanted) {
    if (!find(copyset)) {
      co_return error(Errc::kNotFound, "the MDS does not know copyset " + to_string(copyset));
    }
  }
  co_return ok();
}

io::Task<Status> CopysetRoutes::ask(std::vector<CopysetId> copysets, Instant deadline) {
  wire::GetCopysetsRequest request;
  for (CopysetId copyset : copysets) request.add_copysets(copyset.value());
  auto answer = co_await mds_.call<wire::GetCopysetsReply>(wire::Method::kGetCopysets,
                                                           std::move(request), deadline);
  if (!answer.ok()) co_return answer.error();
  for (const wire::CopysetInfo& info : answer->copysets()) {
    std::vector<Member> members;
    for (const wire::NodeAddress& node : info.members()) {
      members.push_back({NodeId(node.node()), io::Address{node.address()}, {}});
    }
    const CopysetId copyset(info.copyset());
    CopysetRoute& route = routes_[copyset].route;
    route.copyset = copyset;
    route.update(Epoch(info.epoch()), std::move(members), NodeId(info.leader_node()),
                 env_.clock.now());
  }
  co_return ok();
}

void CopysetRoutes::refresh_soon(CopysetId copyset) {
  Known& known = routes_[copyset];
  if (known.is_refreshing || gate_.is_closed()) return;
  known.is_refreshing = true;
  env_.executor.spawn(refresh(copyset));
}

io::Task<void> CopysetRoutes::refresh(CopysetId copyset) {
  auto running = gate_.enter();
  if (!running.ok()) co_return;
  std::vector<CopysetId> one;
  one.push_back(copyset);
  const auto asked = co_await ask(std::move(one), env_.clock.now() + mds_.round_timeout());
  if (!asked.ok()) {
    env_.logger.debug("copyset not refreshed",
                      {{"copyset", copyset}, {"error", asked.error().describe()}});
  }
  routes_[copyset].is_refreshing = false;
}

io::Task<void> CopysetRoutes::stop() {
  co_await gate_.close();
}

}  // namespace cairn::client
