/// RaftWitness: sees what the members of Raft groups do, and holds Raft's safety properties against
/// it, over all members and across their restarts:
///
///   election safety       a term of a group has one leader;
///   log matching          an entry is named by its index and term: whoever has it has the same
///                         content behind an entry of the same term;
///   leader completeness   a new leader has everything that was applied anywhere in earlier terms;
///   state machine safety  at an index all members apply the same command;
///   one configuration     at an epoch all members have the same configuration in force.
///
/// Pure: no time. It looks at cores from outside, so that what it believes rests on nothing that
/// they say of themselves but their logs.
/// Threads: one. Source: Raft paper, figure 3.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/ids.h"
#include "raft/raw_node.h"

namespace cairn::sim {

class RaftWitness {
 public:
  /// Looks at a member: its role, and what its log has got since the last look.
  void look(GroupId group, NodeId node, const raft::RawNode& core);
  /// The same, at the whole of its log.
  void look_at_all(GroupId group, NodeId node, const raft::RawNode& core);
  /// A member has applied a command. `digest` is that of digest_of() for its entry.
  void on_applied(GroupId group, NodeId node, LogIndex index, Term term, uint64_t digest);

  struct Configuration {
    Epoch epoch;  ///< since which it has been in force
    raft::ConfState members;
    NodeId first_by;
  };
  /// Of a group's beginning; nothing is known of others' configurations.
  void begin_group(GroupId group, std::vector<NodeId> voters);
  /// The configuration that a member has in force as of `epoch`; of changes, each at once.
  void on_configuration(GroupId group, NodeId node, Epoch epoch,
                        const raft::ConfState& configuration);
  /// The last one that any member has had in force. The group was begun.
  const Configuration& newest_configuration(GroupId group) const;

  static uint64_t digest_of(raft::EntryType type, ByteView head, uint64_t payload_bytes);

  /// The first violation; empty: none.
  const std::string& violation() const { return violation_; }
  size_t leaderships_count() const { return leaderships_count_; }
  /// How often entries of a member's log were seen replaced.
  uint64_t truncations_count() const { return truncations_count_; }
  uint64_t entries_count() const { return entries_count_; }
  Term term_max() const { return term_max_; }

 private:
  struct EntryFacts {
    uint64_t digest = 0;
    Term previous_term;
    NodeId first_on;
  };
  struct Applied {
    Term term;
    uint64_t digest = 0;
    NodeId first_by;
  };
  struct Key {
    uint64_t index;
    uint64_t term;
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    size_t operator()(const Key& key) const {
      return key.index * 0x9e3779b97f4a7c15 ^ (key.term << 1);
    }
  };
  struct Group {
    std::map<Term, NodeId> leaders;
    std::unordered_map<Key, EntryFacts, KeyHash> entries;
    std::map<LogIndex, Applied> applied;
    std::map<Epoch, Configuration> configurations;  ///< by the epoch that each came with
    Term applied_term_max;
  };
  /// A member's log as it was last seen: the terms from `first` on.
  struct Seen {
    LogIndex first{1};
    std::vector<Term> terms;
  };

  void look_at_leader(GroupId id, NodeId node, const raft::RawNode& core);
  void take_entries(GroupId id, NodeId node, const raft::RawNode& core, LogIndex from);
  void blame(const std::string& what);

  std::map<GroupId, Group> groups_;
  std::map<std::pair<GroupId, NodeId>, Seen> seen_;
  std::string violation_;
  size_t leaderships_count_ = 0;
  uint64_t truncations_count_ = 0;
  uint64_t entries_count_ = 0;
  Term term_max_;
};

}  // namespace cairn::sim
