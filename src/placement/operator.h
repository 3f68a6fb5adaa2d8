/// Operators: one change of one copyset each, as a value that can be stored and read again.
///
/// A planner makes an operator for the configuration that it saw; next_step compares it with what
/// the copyset's leader reports and says what to send, or why it is over. Commands carry the epoch
/// of that report: a chunkserver refuses one that is not of its present epoch, so a late or
/// repeated command, or one of an MDS that is no longer the leader, does nothing.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "placement/cluster.h"

namespace cairn::placement {

using OperatorId = Id<struct OperatorIdTag>;

/// Stored as numbers: append, never renumber.
enum class OperatorKind : uint8_t {
  kAddReplica = 1,
  kRemoveReplica = 2,
  kChangeReplica = 3,
  kTransferLeader = 4,
};

/// Whose plan it was. Stored as numbers: append, never renumber.
enum class Cause : uint8_t {
  kRecover = 1,
  kReplica = 2,
  kDrain = 3,
  kCopyset = 4,
  kLeader = 5,
  kRapidLeader = 6,
  kByHand = 7,
};

/// Lower is more urgent.
enum class Priority : uint8_t { kHigh = 1, kNormal = 2, kLow = 3 };

std::string_view to_string(OperatorKind kind);
std::string_view to_string(Cause cause);
std::string_view to_string(Priority priority);

struct Operator {
  OperatorId id;  ///< given by the ledger
  OperatorKind kind = OperatorKind::kTransferLeader;
  Cause cause = Cause::kByHand;
  Priority priority = Priority::kNormal;
  CopysetId copyset;
  Epoch epoch;           ///< it was planned for
  ChunkserverId source;  ///< leaves, or leads until now; none with kAddReplica
  ChunkserverId target;  ///< comes, or leads from now on; none with kRemoveReplica
  /// Reads its disk to feed the target: the leader at the time of planning; none with the others.
  ChunkserverId sender;
  std::vector<ChunkserverId>
      voters;  ///< the configuration it was planned for; at most kReplicasMax
  uint64_t created_ms = 0;
  uint64_t deadline_ms = 0;
  std::string reason;  ///< for a person: why, and why this target

  bool copies_data() const {
    return kind == OperatorKind::kAddReplica || kind == OperatorKind::kChangeReplica;
  }
  bool operator==(const Operator&) const = default;
};

/// One line, as `cairn operator list` prints it.
std::string describe(const Operator& op);

/// What a copyset's leader is told to do.
struct Command {
  OperatorKind kind = OperatorKind::kTransferLeader;
  CopysetId copyset;
  Epoch epoch;  ///< the leader refuses it in any other
  ChunkserverId source;
  ChunkserverId target;
  bool operator==(const Command&) const = default;
};

enum class StepKind : uint8_t {
  kWait,      ///< nothing to do until the next report
  kSend,      ///< answer the leader's heartbeat with `command`
  kFinished,  ///< the copyset is as wanted
  kExpired,   ///< the deadline passed
  kInvalid,   ///< the copyset or the topology is no longer what it was planned for
};

struct Step {
  StepKind kind = StepKind::kWait;
  Command command;  ///< with kSend
  std::string why;  ///< with kInvalid and kExpired, for a person
  bool is_over() const { return kind != StepKind::kWait && kind != StepKind::kSend; }
};

/// The next step of `op`, from what is known of its copyset.
/// A leader that is to leave hands over first, and no command is given that would leave fewer
/// replicas answering than the new configuration's quorum.
Step next_step(const Operator& op, const Cluster& cluster, uint64_t now_ms);

}  // namespace cairn::placement
