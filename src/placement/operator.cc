#include "placement/operator.h"

#include <algorithm>

namespace cairn::placement {

std::string_view to_string(OperatorKind kind) {
  switch (kind) {
    case OperatorKind::kAddReplica:
      return "add";
    case OperatorKind::kRemoveReplica:
      return "remove";
    case OperatorKind::kChangeReplica:
      return "change";
    case OperatorKind::kTransferLeader:
      return "transfer";
  }
  CHECK(false, "an unknown operator");
}

std::string_view to_string(Cause cause) {
  switch (cause) {
    case Cause::kRecover:
      return "recover";
    case Cause::kReplica:
      return "replica";
    case Cause::kDrain:
      return "drain";
    case Cause::kCopyset:
      return "copyset";
    case Cause::kLeader:
      return "leader";
    case Cause::kRapidLeader:
      return "rapid-leader";
    case Cause::kByHand:
      return "by-hand";
  }
  CHECK(false, "an unknown cause");
}

std::string_view to_string(Priority priority) {
  switch (priority) {
    case Priority::kHigh:
      return "high";
    case Priority::kNormal:
      return "normal";
    case Priority::kLow:
      return "low";
  }
  CHECK(false, "an unknown priority");
}

std::string describe(const Operator& op) {
  std::string text(to_string(op.cause));
  text += ": ";
  text += to_string(op.kind);
  text += " copyset " + to_string(op.copyset);
  if (!op.source.is_none()) text += " from " + to_string(op.source);
  if (!op.target.is_none()) text += " to " + to_string(op.target);
  text += ", epoch " + to_string(op.epoch) + ", ";
  text += to_string(op.priority);
  text += " priority: " + op.reason;
  return text;
}

namespace {

Step invalid(std::string why) {
  return {.kind = StepKind::kInvalid, .why = std::move(why)};
}

bool is_done(const Operator& op, const Copyset& copyset, Slot source, Slot target) {
  if (copyset.change != ChangeKind::kNone) return false;
  switch (op.kind) {
    case OperatorKind::kAddReplica:
      return copyset.has_voter(target);
    case OperatorKind::kRemoveReplica:
      return !copyset.has_replica(source);
    case OperatorKind::kChangeReplica:
      return copyset.has_voter(target) && !copyset.has_replica(source);
    case OperatorKind::kTransferLeader:
      return copyset.leader == target;
  }
  CHECK(false, "an unknown operator");
}

/// Whether the change under way is a part of this operator.
bool is_ours(const Operator& op, const Copyset& copyset, Slot source, Slot target) {
  switch (copyset.change) {
    case ChangeKind::kNone:
      return false;
    case ChangeKind::kTransfer:
      return true;  // ours, or a leader's own; over in an election timeout either way
    case ChangeKind::kAdd:
      return op.kind == OperatorKind::kAddReplica && copyset.change_target == target;
    case ChangeKind::kRemove:
      return op.kind == OperatorKind::kRemoveReplica && copyset.change_target == source;
    case ChangeKind::kChange:
      return op.kind == OperatorKind::kChangeReplica && copyset.change_target == target;
  }
  CHECK(false, "an unknown change");
}

bool has_planned_voters(const Operator& op, const Cluster& cluster, const Copyset& copyset) {
  if (op.voters.size() != copyset.voters_count) return false;
  return std::ranges::all_of(
      op.voters, [&](ChunkserverId id) { return copyset.has_voter(cluster.find_chunkserver(id)); });
}

/// Online, and its replica is there.
bool serves(const Cluster& cluster, const Copyset& copyset, Slot slot) {
  return cluster.chunkserver(slot).is_online() &&
         !cluster.is_out_of_service(cluster.find_copyset(copyset.id), slot);
}

/// What speaks against the topology's side of it; empty if nothing.
std::string objection(const Operator& op, const Cluster& cluster, const Copyset& copyset,
                      Slot source, Slot target) {
  if (op.kind != OperatorKind::kRemoveReplica) {
    if (target == kNoSlot) return "chunkserver " + to_string(op.target) + " is gone";
    const Chunkserver& to = cluster.chunkserver(target);
    if (!to.is_usable()) {
      return "chunkserver " + to_string(op.target) + " is " +
             std::string(to.is_online() ? to_string(to.service) : to_string(to.liveness));
    }
  }
  if (op.kind == OperatorKind::kTransferLeader) {
    if (!copyset.has_voter(target)) return "the target is no voter";
    if (copyset.leader != kNoSlot && copyset.leader != source) return "it has another leader now";
    return {};
  }
  if (op.kind == OperatorKind::kAddReplica) return {};
  if (source == kNoSlot) return "chunkserver " + to_string(op.source) + " is gone";
  const Chunkserver& from = cluster.chunkserver(source);
  const bool is_lost = from.liveness == Liveness::kOffline ||
                       cluster.is_out_of_service(cluster.find_copyset(copyset.id), source);
  if (op.cause == Cause::kRecover && !is_lost) {
    return "chunkserver " + to_string(op.source) + " is back";
  }
  if (op.cause == Cause::kDrain && from.service == Service::kReadWrite) {
    return "chunkserver " + to_string(op.source) + " is no longer to be drained";
  }
  return {};
}

/// Whether the configuration before and the one after have a quorum that answers: otherwise the
/// change cannot commit, or leaves a copyset that cannot.
bool keeps_quorum(const Operator& op, const Cluster& cluster, const Copyset& copyset, Slot source) {
  const uint32_t online = cluster.online_voters(copyset);
  if (online < copyset.quorum()) return false;
  uint32_t voters_after = copyset.voters_count;
  uint32_t online_after = online;
  if (op.kind == OperatorKind::kAddReplica || op.kind == OperatorKind::kChangeReplica) {
    ++voters_after;
    ++online_after;  // it becomes a voter only once it has caught up
  }
  if (source != kNoSlot && copyset.has_voter(source) && op.kind != OperatorKind::kTransferLeader) {
    --voters_after;
    if (serves(cluster, copyset, source)) --online_after;
  }
  return voters_after > 0 && online_after >= voters_after / 2 + 1;
}

/// The voter that is to lead when the source leaves: the one that leads least, and one that drains
/// only where nobody else answers.
Slot successor(const Cluster& cluster, const Copyset& copyset, Slot source) {
  Slot best = kNoSlot;
  const auto rank = [&](Slot slot) {
    return std::pair(!cluster.chunkserver(slot).is_usable(),
                     cluster.chunkserver(slot).leaders_count);
  };
  for (Slot slot : copyset.voters()) {
    if (slot == source || !serves(cluster, copyset, slot)) continue;
    if (best == kNoSlot || rank(slot) < rank(best)) best = slot;
  }
  return best;
}

}  // namespace

Step next_step(const Operator& op, const Cluster& cluster, uint64_t now_ms) {
  const Slot slot = cluster.find_copyset(op.copyset);
  if (slot == kNoSlot) return invalid("the copyset is gone");
  const Copyset& copyset = cluster.copyset(slot);
  const Slot source = cluster.find_chunkserver(op.source);
  const Slot target = cluster.find_chunkserver(op.target);
  const bool is_reported = copyset.reported_ms > 0 && copyset.epoch >= op.epoch;
  if (is_reported && is_done(op, copyset, source, target)) return {.kind = StepKind::kFinished};
  if (now_ms >= op.deadline_ms) {
    return {.kind = StepKind::kExpired, .why = "it was not done in time"};
  }
  // After a change of MDS the tables may be older than the operator.
  if (!is_reported) return {.kind = StepKind::kWait};
  if (copyset.change != ChangeKind::kNone) {
    if (is_ours(op, copyset, source, target)) return {.kind = StepKind::kWait};
    return invalid("another change is under way");
  }
  if (!has_planned_voters(op, cluster, copyset)) return invalid("it has other members now");
  if (std::string why = objection(op, cluster, copyset, source, target); !why.empty()) {
    return invalid(std::move(why));
  }
  if (!keeps_quorum(op, cluster, copyset, source)) return {.kind = StepKind::kWait};
  if (copyset.leader == kNoSlot || !cluster.chunkserver(copyset.leader).is_online()) {
    return {.kind = StepKind::kWait};
  }
  Command command{.kind = op.kind,
                  .copyset = op.copyset,
                  .epoch = copyset.epoch,
                  .source = op.source,
                  .target = op.target};
  if (op.kind != OperatorKind::kTransferLeader && source == copyset.leader &&
      copyset.voters_count > 1) {
    const Slot next = successor(cluster, copyset, source);
    if (next == kNoSlot) return {.kind = StepKind::kWait};
    command.kind = OperatorKind::kTransferLeader;
    command.target = cluster.chunkserver(next).id;
  }
  return {.kind = StepKind::kSend, .command = command};
}

}  // namespace cairn::placement
