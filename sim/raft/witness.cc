#include "sim/raft/witness.h"

#include <limits>

#include "base/crc32c.h"

namespace cairn::sim {

uint64_t RaftWitness::digest_of(raft::EntryType type, ByteView head, uint64_t payload_bytes) {
  return (uint64_t{crc32c(head)} << 32) ^ (payload_bytes << 4) ^ static_cast<uint64_t>(type);
}

void RaftWitness::blame(const std::string& what) {
  if (violation_.empty()) violation_ = what;
}

void RaftWitness::look(GroupId group, NodeId node, const raft::RawNode& core) {
  const raft::Log& log = core.log();
  const LogIndex first = log.first_index();
  const LogIndex last = log.last_index();
  Seen& seen = seen_[{group, node}];
  // From the end back to what is known: entries of one member that stand where they stood, in the
  // term in which they were, are those that they were.
  LogIndex from = last + 1;
  while (from > first) {
    const LogIndex index = from - 1;
    const bool is_known = index >= seen.first && index - seen.first < seen.terms.size() &&
                          log.term(index) == seen.terms[index - seen.first];
    if (is_known) break;
    from = index;
  }
  const LogIndex seen_end = seen.first + seen.terms.size();
  if (from < seen_end && from <= last) ++truncations_count_;
  if (from <= last) take_entries(group, node, core, from);
  // What was seen may begin behind what is there now (a log that began anew), or before it.
  if (from < seen.first || from > seen_end || seen.terms.empty()) {
    seen.first = from;
    seen.terms.clear();
  } else {
    seen.terms.resize(from - seen.first);
  }
  for (LogIndex index = from; index <= last; ++index) {
    seen.terms.push_back(log.term(index).value_or(Term()));
  }
  if (core.is_leader()) look_at_leader(group, node, core);
}

void RaftWitness::look_at_all(GroupId group, NodeId node, const raft::RawNode& core) {
  seen_.erase({group, node});
  const uint64_t truncations_before = truncations_count_;
  look(group, node, core);
  truncations_count_ = truncations_before;
}

void RaftWitness::take_entries(GroupId id, NodeId node, const raft::RawNode& core, LogIndex from) {
  Group& group = groups_[id];
  const raft::Log& log = core.log();
  const auto entries = log.slice(from, log.last_index() + 1, std::numeric_limits<uint64_t>::max());
  if (!entries) return;
  Term previous_term = log.term(from - 1).value_or(Term());
  for (const raft::Entry& entry : *entries) {
    ++entries_count_;
    const EntryFacts facts{
        .digest = digest_of(entry.type, entry.head.view(), entry.payload.size_bytes),
        .previous_term = previous_term,
        .first_on = node};
    const auto [known, is_new] =
        group.entries.try_emplace({entry.index.value(), entry.term.value()}, facts);
    if (!is_new && (known->second.digest != facts.digest ||
                    known->second.previous_term != facts.previous_term)) {
      blame("log matching: entry " + to_string(entry.index) + " of term " + to_string(entry.term) +
            " of group " + to_string(id) + " is not the same on nodes " +
            to_string(known->second.first_on) + " and " + to_string(node) +
            (known->second.digest != facts.digest
                 ? ""
                 : ": it stands behind terms " + to_string(known->second.previous_term) + " and " +
                       to_string(previous_term)));
    }
    if (entry.term < previous_term) {
      blame("log matching: terms fall at entry " + to_string(entry.index) + " of group " +
            to_string(id) + " on node " + to_string(node));
    }
    previous_term = entry.term;
  }
}

void RaftWitness::look_at_leader(GroupId id, NodeId node, const raft::RawNode& core) {
  Group& group = groups_[id];
  const Term term = core.term();
  const auto [leader, is_new] = group.leaders.try_emplace(term, node);
  if (!is_new) {
    if (leader->second != node) {
      blame("election safety: two leaders in term " + to_string(term) + " of group " +
            to_string(id) + ": nodes " + to_string(leader->second) + " and " + to_string(node));
    }
    return;
  }
  ++leaderships_count_;
  term_max_ = std::max(term_max_, term);
  // A leader that is seen late may already be deposed: what was committed since is not its matter.
  if (group.leaders.rbegin()->first != term || group.applied_term_max > term) return;
  const raft::Log& log = core.log();
  for (auto at = group.applied.lower_bound(log.first_index()); at != group.applied.end(); ++at) {
    const auto& [index, applied] = *at;
    if (applied.term >= term || log.term(index) == applied.term) continue;
    blame("leader completeness: node " + to_string(node) + " leads term " + to_string(term) +
          " of group " + to_string(id) + " without entry " + to_string(index) + " of term " +
          to_string(applied.term) + ", which node " + to_string(applied.first_by) +
          " has applied; its log ends at " + to_string(log.last_index()));
    return;
  }
}

void RaftWitness::on_applied(GroupId id, NodeId node, LogIndex index, Term term, uint64_t digest) {
  Group& group = groups_[id];
  group.applied_term_max = std::max(group.applied_term_max, term);
  const auto [known, is_new] =
      group.applied.try_emplace(index, Applied{.term = term, .digest = digest, .first_by = node});
  if (is_new || (known->second.term == term && known->second.digest == digest)) return;
  blame("state machine safety: at index " + to_string(index) + " of group " + to_string(id) +
        " node " + to_string(known->second.first_by) + " has applied a command of term " +
        to_string(known->second.term) + " and node " + to_string(node) + " one of term " +
        to_string(term));
}

void RaftWitness::begin_group(GroupId id, std::vector<NodeId> voters) {
  constexpr Epoch kFirst{1};
  raft::ConfState members;
  members.voters = std::move(voters);
  groups_[id].configurations[kFirst] = {
      .epoch = kFirst, .members = std::move(members), .first_by = NodeId()};
}

void RaftWitness::on_configuration(GroupId id, NodeId node, Epoch epoch,
                                   const raft::ConfState& configuration) {
  auto& known = groups_[id].configurations;
  const auto next = known.upper_bound(epoch);
  CHECK(next != known.begin(), "a group's first configuration is known");
  const Configuration& in_force = std::prev(next)->second;
  if (raft::equivalent(in_force.members, configuration)) return;
  // Whoever is the first to apply a change says so at once: a change that comes behind others, or
  // at the epoch of another, is not theirs.
  if (next == known.end() && in_force.epoch < epoch) {
    known[epoch] = {.epoch = epoch, .members = configuration, .first_by = node};
    return;
  }
  blame("configurations: as of epoch " + to_string(epoch) + " of group " + to_string(id) +
        " node " + to_string(node) + " has others in force than node " +
        to_string(in_force.first_by) + " had since epoch " + to_string(in_force.epoch));
}

const RaftWitness::Configuration& RaftWitness::newest_configuration(GroupId id) const {
  return groups_.at(id).configurations.rbegin()->second;
}

}  // namespace cairn::sim
