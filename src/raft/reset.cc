// Reset of a group that lost its quorum: how one survivor's word becomes the configuration, and how
// those that are left out are kept from coming back.
//
// Left out are old members that may still run, with the old configuration: two of three, say, on
// the other side of a partition that the operator took for a fire. Among themselves they may elect
// a leader; if its term ever passed ours it would take this group over and undo its log. A larger
// term alone does not prevent that, since terms spread with every answer: they would adopt ours and
// campaign in the next. So terms come in generations. A reset begins one; whoever is in it neither
// takes nor answers messages of earlier ones; and since only members are written to, nobody else
// ever hears of it. The other members of the new configuration learn of it from their leader, whose
// greater term they follow as ever.
#include "raft/raft.h"

namespace cairn::raft {
namespace {

uint64_t generation_of(Term term) {
  return term.value() / kTermsPerGeneration;
}

}  // namespace

Status Raft::reset_configuration(const NodeSet& voters, const NodeSet& learners) {
  ConfChangeV2 change;
  change.transition = ConfChangeTransition::kReset;
  change.context = Buffer::allocate(sizeof(uint64_t));  // who ordered it: see resume_reset()
  store(change.context.mutable_view(), id_.value());
  for (NodeId id : voters) change.changes.push_back({.node = id});
  for (NodeId id : learners) {
    change.changes.push_back({.type = ConfChangeType::kAddLearner, .node = id});
  }
  if (!voters.contains(id_)) {
    return error(Errc::kInvalidArgument, "the survivor must be a voter; nothing was changed");
  }
  if (!leader_.is_none() && (leader_ != id_ || check_quorum_)) {
    return error(Errc::kPreconditionFailed,
                 "the group has a leader, so its quorum is not lost; nothing was changed");
  }
  if (log_.has_unstable_snapshot()) {
    return error(Errc::kUnavailable, "a snapshot is being installed; nothing was changed");
  }
  const uint64_t generation = generation_of(term_) + 1;
  if (generation > std::numeric_limits<uint64_t>::max() / kTermsPerGeneration) {
    return error(Errc::kPreconditionFailed, "no generation of terms is left; nothing was changed");
  }
  auto outcome = Changer(tracker_, log_.last_index()).apply(change);
  if (!outcome) return error(Errc::kInvalidArgument, outcome.error().message());

  become_follower(Term(generation * kTermsPerGeneration), NodeId());
  vote_ = id_;  // nobody is elected in the term of the reset itself
  log_.append(Entries::of({.term = term_,
                           .index = log_.last_index() + 1,
                           .type = EntryType::kConfChangeV2,
                           .head = encode(change),
                           .payload = {}}));
  pending_reset_ = std::move(change);
  pending_reset_index_ = log_.last_index();
  note(LogLevel::kWarn, id_, " resets the group at term ", term_);
  trace("reset");
  install(std::move(outcome).value());
  hup(Campaign::kElection);  // if it has to wait for something, the next timeout brings it
  return ok();
}

// After a restart, where the reset was ordered. (Others have it in their logs as well, and for them
// it is a change like any other until it is applied.) Groups that never were reset, and those whose
// reset is applied, have nothing to look for, or little.
void Raft::resume_reset() {
  if (generation_of(term_) == 0) return;
  const LogIndex end = log_.last_index() + 1;
  LogIndex low = log_.applied() + 1;
  while (const auto at = find_conf_change(low, end)) {
    const auto entry = log_.slice(*at, *at + 1, 0);
    CHECK(entry && entry->size() == 1);
    auto change = decode_conf_change(entry->front().head.view());
    const bool own = change && change->resets() &&
                     change->context.size_bytes() == sizeof(uint64_t) &&
                     NodeId(load<uint64_t>(change->context.view())) == id_;
    if (own) {
      pending_reset_ = std::move(change).value();
      pending_reset_index_ = *at;
    }
    low = *at + 1;
  }
  if (!pending_reset_) return;
  auto outcome = Changer(tracker_, log_.last_index()).apply(*pending_reset_);
  CHECK(outcome.ok(), "a reset is legal in any configuration");
  install(std::move(outcome).value());
}

// Whether a leader, whose log matches ours before `entries`, replaces our reset: somebody has reset
// the group through another survivor too. What was in force here never was the group's.
bool Raft::is_reset_replaced(const Entries& entries) const {
  if (!pending_reset_) return false;
  return std::ranges::any_of(entries, [this](const Entry& entry) {
    return entry.index <= pending_reset_index_ &&
           !log_.matches({.term = entry.term, .index = entry.index});
  });
}

// Whether it comes from a member that a reset left out, or that has not heard of the reset yet and
// soon will. (What our own storage says of an earlier term is for step_older_term() to weigh.)
bool Raft::is_overtaken_by_reset(const Message& message) const {
  return !is_local(message.type) && generation_of(message.term) < generation_of(term_);
}

}  // namespace cairn::raft
