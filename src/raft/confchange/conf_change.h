/// Configuration changes as they stand in the log, and the configuration as snapshots keep it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/ids.h"
#include "base/result.h"
#include "raft/quorum/node_set.h"

namespace cairn::raft {

/// Stored in the log: append, never renumber.
enum class ConfChangeType : uint8_t {
  kAddVoter = 0,
  kRemove = 1,
  kUpdate = 2,  ///< changes nothing in the configuration; carries a member's new address
  kAddLearner = 3,
};

struct ConfChangeSingle {
  ConfChangeType type = ConfChangeType::kAddVoter;
  NodeId node;  ///< none: the change is void
  bool operator==(const ConfChangeSingle&) const = default;
};

/// Stored in the log: append, never renumber.
enum class ConfChangeTransition : uint8_t {
  kAuto = 0,           ///< simple if one change suffices, else joint and left by itself
  kJointImplicit = 1,  ///< joint, left by itself
  kJointExplicit = 2,  ///< joint, until an empty change is proposed
  kReset = 3,  ///< the changes are the whole new configuration, in force without a quorum of
               ///< the old one; never proposed, see RawNode::reset_configuration()
};

/// One change of the older kind: exactly one member, never joint.
struct ConfChange {
  ConfChangeType type = ConfChangeType::kAddVoter;
  NodeId node;
  Buffer context;
};

/// Any number of changes at once. Empty with kAuto: leave the joint configuration.
struct ConfChangeV2 {
  ConfChangeTransition transition = ConfChangeTransition::kAuto;
  std::vector<ConfChangeSingle> changes;
  Buffer context;  ///< opaque to Raft

  ConfChangeV2() = default;
  ConfChangeV2(ConfChangeTransition t, std::vector<ConfChangeSingle> c, Buffer x = {})
      : transition(t), changes(std::move(c)), context(std::move(x)) {}
  explicit ConfChangeV2(const ConfChange& single)
      : changes{{.type = single.type, .node = single.node}}, context(single.context) {}

  bool leaves_joint() const { return transition == ConfChangeTransition::kAuto && changes.empty(); }
  bool enters_joint() const {
    return !resets() && (transition != ConfChangeTransition::kAuto || changes.size() > 1);
  }
  bool resets() const { return transition == ConfChangeTransition::kReset; }
  /// Changes the same; the context is the application's.
  bool equals(const ConfChangeV2& other) const {
    return transition == other.transition && changes == other.changes;
  }
  bool auto_leaves() const { return transition != ConfChangeTransition::kJointExplicit; }
};

/// The most changes that one entry may carry.
inline constexpr size_t kConfChangesMax = 1024;

/// The bytes in a log entry's head. Leaving a joint configuration without context is empty bytes,
/// so that such a proposal never fails for want of space.
///   u8 version (1), u8 transition, u16 count, count x {u8 type, u64 node}, the rest is context
Buffer encode(const ConfChangeV2& change);
/// Errors: kCorrupt.
Result<ConfChangeV2> decode_conf_change(ByteView bytes);

/// "v1 v2 l3 r4 u5": voters, learners, removals, updates.
std::string to_string(const std::vector<ConfChangeSingle>& changes);
/// Errors: kInvalidArgument.
Result<std::vector<ConfChangeSingle>> parse_conf_changes(std::string_view text);

/// A configuration as it is stored with a snapshot.
struct ConfState {
  std::vector<NodeId> voters;
  std::vector<NodeId> learners;
  std::vector<NodeId> voters_outgoing;  ///< empty unless joint
  std::vector<NodeId> learners_next;    ///< empty unless joint
  bool auto_leave = false;

  bool operator==(const ConfState&) const = default;
};
/// The same members in the same roles, in whatever order.
bool equivalent(const ConfState& a, const ConfState& b);

}  // namespace cairn::raft
