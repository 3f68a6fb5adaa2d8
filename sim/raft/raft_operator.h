/// RaftOperator: who changes the groups of a Raft run: it orders changes of members of every kind
/// and hands leadership over, gives hosts blank replicas and takes away those that belong to
/// nobody, and has damaged ones repaired.
///
/// It knows what is in force (from the witness), and keeps to what the library asks of its user: a
/// replica is taken away only while no configuration names it, most of those who vote instead know
/// that, and no order that could add it is under way. In what order a damaged replica is removed,
/// reset and added anew is left to chance (ADR-0010).
/// Threads: one.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sim/raft/member.h"

namespace cairn::sim {

class RaftOperator {
 public:
  RaftOperator(World& world, std::vector<std::unique_ptr<RaftMember>>& members,
               RunContext& context);
  RaftOperator(const RaftOperator&) = delete;
  RaftOperator& operator=(const RaftOperator&) = delete;

  /// One order to one group, of whatever kind.
  void change_something();
  /// Orders one group's leader to hand over; that leader, or null.
  RaftMember* hand_over();

  /// Orders that have not ended.
  size_t pending_count() const;
  /// After all is healed: leaves joint configurations, repairs what is out of service, and has
  /// every group make one more change; a virtual time of `limit` for each group. What could not be
  /// done, or nothing.
  std::string put_in_order(Duration limit);

 private:
  using Changes = std::vector<raft::ConfChangeSingle>;
  const raft::ConfState& configuration(GroupId group) const;
  RaftMember& member(NodeId node) { return *members_.at(node.value() - 1); }
  GroupId any_group();
  RaftMember* pick_leader(GroupId group);
  bool may_be_added(GroupId group, RaftMember& member) const;
  NodeId pick_host(GroupId group, bool is_voter_wanted);
  bool may_lose_voters(GroupId group, size_t lost_count) const;

  void set_members(GroupId group, RaftMember& leader);
  void add_member(GroupId group, RaftMember& leader);
  void add_learner(GroupId group, RaftMember& leader);
  void remove_member(GroupId group, RaftMember& leader);
  void change_jointly(GroupId group, RaftMember& leader);
  Changes draw_changes(GroupId group);
  std::vector<NodeId> draw_voters(GroupId group, size_t voters_count);
  void leave_joint(GroupId group, RaftMember& leader);
  void remove_from_group(GroupId group, RaftMember& leader, NodeId node);
  bool is_settled(GroupId group);
  bool take_away_leftover(GroupId group);
  bool repair(GroupId group);
  /// What keeps the group from being in order, after the next step towards it; nothing: it is.
  std::string tidy(GroupId group);
  std::string tidy_member(GroupId group, RaftMember& leader, RaftMember& member);
  std::string prove_change(GroupId group, Instant until);

  void start(GroupId group, RaftMember& leader, std::string what, io::Task<Status> order);
  io::Task<void> follow(GroupId group, std::string what, io::Task<Status> order);
  static io::Task<Status> change(multiraft::Node* node, raft::ConfChangeV2 change);

  World& world_;
  std::vector<std::unique_ptr<RaftMember>>& members_;
  RunContext& context_;
  Rng rng_;
  std::map<GroupId, size_t> orders_;   ///< under way
  std::map<GroupId, Status> outcome_;  ///< of the group's last order that ended
};

}  // namespace cairn::sim
