#include "raft/confchange/changer.h"

#include "base/planted_bug.h"

namespace cairn::raft {
namespace {

Error refused(std::string why) {
  return error(Errc::kPreconditionFailed, std::move(why));
}

// How many voters are in one of the sets only.
size_t difference_count(const NodeSet& a, const NodeSet& b) {
  size_t count = 0;
  for (NodeId id : a) count += b.contains(id) ? 0 : 1;
  for (NodeId id : b) count += a.contains(id) ? 0 : 1;
  return count;
}

Result<Changer::Outcome> checked(Changer::Outcome outcome) {
  TRY(check_configuration(outcome.config, outcome.progress));
  return outcome;
}

}  // namespace

Result<Changer::Outcome> Changer::apply(const ConfChangeV2& change) const {
  if (change.resets()) return reset(change.changes);
  if (change.leaves_joint()) return leave_joint();
  if (change.enters_joint() && !is_planted(PlantedBug::kChangeWithoutJoint))
    return enter_joint(change.auto_leaves(), change.changes);
  return simple(change.changes);
}

Result<Changer::Outcome> Changer::enter_joint(bool auto_leave,
                                              std::span<const ConfChangeSingle> changes) const {
  Outcome next = TRY(checked(copy()));
  JointConfig& voters = next.config.voters;
  if (voters.is_joint()) return refused("config is already joint");
  // An empty group takes its first voters by a simple change.
  if (voters.incoming.empty()) return refused("can't make a zero-voter config joint");
  voters.outgoing = voters.incoming;
  TRY(apply_each(next, changes));
  next.config.auto_leave = auto_leave;
  return checked(std::move(next));
}

Result<Changer::Outcome> Changer::leave_joint() const {
  Outcome next = TRY(checked(copy()));
  TrackerConfig& config = next.config;
  if (!config.voters.is_joint()) return refused("can't leave a non-joint config");
  for (NodeId id : config.learners_next) {
    config.learners.insert(id);
    Progress* member = next.progress.find(id);
    CHECK(member);
    member->is_learner = true;
  }
  config.learners_next.clear();
  for (NodeId id : config.voters.outgoing) {
    if (!config.voters.incoming.contains(id) && !config.learners.contains(id)) {
      next.progress.erase(id);
    }
  }
  config.voters.outgoing.clear();
  config.auto_leave = false;
  return checked(std::move(next));
}

Result<Changer::Outcome> Changer::simple(std::span<const ConfChangeSingle> changes) const {
  Outcome next = TRY(checked(copy()));
  if (next.config.voters.is_joint()) {
    return refused("can't apply simple config change in joint config");
  }
  TRY(apply_each(next, changes));
  // Two majorities of sets that differ in one voter overlap; with two they need not.
  const bool may_replace_many = is_planted(PlantedBug::kChangeWithoutJoint);
  const size_t changed_count =
      difference_count(tracker_.config.voters.incoming, next.config.voters.incoming);
  if (changed_count > 1 && !may_replace_many) {
    return refused("more than one voter changed without entering joint config");
  }
  return checked(std::move(next));
}

Result<Changer::Outcome> Changer::reset(std::span<const ConfChangeSingle> members) const {
  Outcome next;
  for (const ConfChangeSingle& member : members) {
    const bool learner = member.type == ConfChangeType::kAddLearner;
    if (!learner && member.type != ConfChangeType::kAddVoter) {
      return refused("a reset names voters and learners only");
    }
    if (member.node.is_none() || next.progress.find(member.node)) {
      return refused("a reset names each member once");
    }
    add_member(next, member.node, learner);
    // What is known of a member's log stays known.
    if (const Progress* known = tracker_.progress.find(member.node)) {
      Progress kept = *known;
      kept.is_learner = learner;
      next.progress.insert_or_assign(member.node, std::move(kept));
    }
  }
  if (next.config.voters.incoming.empty()) return refused("removed all voters");
  return checked(std::move(next));
}

Status Changer::apply_each(Outcome& to, std::span<const ConfChangeSingle> changes) const {
  for (const ConfChangeSingle& single : changes) {
    if (single.node.is_none()) continue;  // made void by the application
    switch (single.type) {
      case ConfChangeType::kAddVoter:
        make_voter(to, single.node);
        break;
      case ConfChangeType::kAddLearner:
        make_learner(to, single.node);
        break;
      case ConfChangeType::kRemove:
        remove(to, single.node);
        break;
      case ConfChangeType::kUpdate:
        break;
    }
  }
  if (to.config.voters.incoming.empty()) return refused("removed all voters");
  return ok();
}

void Changer::make_voter(Outcome& to, NodeId id) const {
  Progress* member = to.progress.find(id);
  if (!member) return add_member(to, id, false);
  member->is_learner = false;
  to.config.learners.erase(id);
  to.config.learners_next.erase(id);
  to.config.voters.incoming.insert(id);
}

void Changer::make_learner(Outcome& to, NodeId id) const {
  const Progress* member = to.progress.find(id);
  if (!member) return add_member(to, id, true);
  if (member->is_learner) return;
  Progress kept = *member;  // a demoted voter's log need not be probed again
  remove(to, id);
  // While it votes in the outgoing half it cannot be a learner; leaving the joint config makes it
  // one.
  if (to.config.voters.outgoing.contains(id)) {
    to.config.learners_next.insert(id);
  } else {
    kept.is_learner = true;
    to.config.learners.insert(id);
  }
  to.progress.insert_or_assign(id, std::move(kept));
}

void Changer::remove(Outcome& to, NodeId id) const {
  if (!to.progress.find(id)) return;
  to.config.voters.incoming.erase(id);
  to.config.learners.erase(id);
  to.config.learners_next.erase(id);
  // A voter of the outgoing half is still replicated to.
  if (!to.config.voters.outgoing.contains(id)) to.progress.erase(id);
}

void Changer::add_member(Outcome& to, NodeId id, bool is_learner) const {
  (is_learner ? to.config.learners : to.config.voters.incoming).insert(id);
  Progress member;
  // Probing at our last index reaches a caught-up member at once; an empty one will reject it.
  member.next = std::max(last_, LogIndex(1));
  member.inflights = tracker_.make_inflights();
  member.is_learner = is_learner;
  // Else a check of the quorum could depose the leader before the member had a chance to speak.
  member.recent_active = true;
  to.progress.insert_or_assign(id, std::move(member));
}

Status check_configuration(const TrackerConfig& config, const ProgressMap& progress) {
  const auto broken = [](NodeId id, const char* why) {
    return error(Errc::kInternal, to_string(id) + why);
  };
  for (const NodeSet& members : {config.voters.ids(), config.learners, config.learners_next}) {
    for (NodeId id : members) {
      if (!progress.find(id)) return error(Errc::kInternal, "no progress for " + to_string(id));
    }
  }
  for (NodeId id : config.learners_next) {
    if (!config.voters.outgoing.contains(id)) {
      return broken(id, " is in LearnersNext, but not Voters[1]");
    }
    if (progress.find(id)->is_learner) {
      return broken(id, " is in LearnersNext, but is already marked as learner");
    }
  }
  for (NodeId id : config.learners) {
    if (config.voters.outgoing.contains(id)) return broken(id, " is in Learners and Voters[1]");
    if (config.voters.incoming.contains(id)) return broken(id, " is in Learners and Voters[0]");
    if (!progress.find(id)->is_learner) {
      return broken(id, " is in Learners, but is not marked as learner");
    }
  }
  if (!config.voters.is_joint()) {
    if (!config.learners_next.empty()) {
      return error(Errc::kInternal, "cfg.LearnersNext must be nil when not joint");
    }
    if (config.auto_leave) {
      return error(Errc::kInternal, "AutoLeave must be false when not joint");
    }
  }
  return ok();
}

ConfState conf_state_of(const TrackerConfig& config) {
  return {.voters = config.voters.incoming.ids(),
          .learners = config.learners.ids(),
          .voters_outgoing = config.voters.outgoing.ids(),
          .learners_next = config.learners_next.ids(),
          .auto_leave = config.auto_leave};
}

Result<Changer::Outcome> restore_configuration(ProgressTracker empty, LogIndex last,
                                               const ConfState& state) {
  CHECK(empty.progress.count() == 0, "a configuration is restored into an empty tracker");
  ProgressTracker tracker = std::move(empty);
  const auto install = [&tracker](Changer::Outcome outcome) {
    tracker.config = std::move(outcome.config);
    tracker.progress = std::move(outcome.progress);
  };
  std::vector<ConfChangeSingle> incoming;
  // The outgoing voters come first as a plain configuration, one by one; entering the joint one
  // then turns them into the outgoing half, where those that do not stay are removed.
  for (NodeId id : state.voters_outgoing) {
    const ConfChangeSingle single{.type = ConfChangeType::kAddVoter, .node = id};
    install(TRY(Changer(tracker, last).simple({&single, 1})));
    incoming.push_back({.type = ConfChangeType::kRemove, .node = id});
  }
  for (NodeId id : state.voters) {
    incoming.push_back({.type = ConfChangeType::kAddVoter, .node = id});
  }
  for (const auto* learners : {&state.learners, &state.learners_next}) {
    for (NodeId id : *learners) {
      incoming.push_back({.type = ConfChangeType::kAddLearner, .node = id});
    }
  }
  if (state.voters_outgoing.empty()) {
    for (const ConfChangeSingle& single : incoming) {
      install(TRY(Changer(tracker, last).simple({&single, 1})));
    }
  } else {
    install(TRY(Changer(tracker, last).enter_joint(state.auto_leave, incoming)));
  }
  return Changer::Outcome{std::move(tracker.config), std::move(tracker.progress)};
}

}  // namespace cairn::raft
