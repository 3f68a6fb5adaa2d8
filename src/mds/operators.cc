#include "mds/operators.h"

namespace cairn::mds {

namespace {

using placement::Operator;
using placement::OperatorKind;

Error corrupt(uint64_t id, std::string_view why) {
  return error(Errc::kCorrupt, "operator " + std::to_string(id) + " " + std::string(why));
}

wire::ChangeKind kind_of(OperatorKind kind) {
  switch (kind) {
    case OperatorKind::kAddReplica:
      return wire::CHANGE_ADD;
    case OperatorKind::kRemoveReplica:
      return wire::CHANGE_REMOVE;
    case OperatorKind::kChangeReplica:
      return wire::CHANGE_REPLACE;
    case OperatorKind::kTransferLeader:
      return wire::CHANGE_TRANSFER;
  }
  CHECK(false, "an unknown operator");
}

}  // namespace

wire::OperatorRecord to_record(const Operator& op, int64_t wall_time_ns) {
  wire::OperatorRecord record;
  record.set_id(op.id.value());
  record.set_kind(static_cast<uint32_t>(op.kind));
  record.set_cause(static_cast<uint32_t>(op.cause));
  record.set_priority(static_cast<uint32_t>(op.priority));
  record.set_copyset(op.copyset.value());
  record.set_epoch(op.epoch.value());
  record.set_source(op.source.value());
  record.set_target(op.target.value());
  record.set_sender(op.sender.value());
  for (ChunkserverId voter : op.voters) record.add_voters(voter.value());
  CHECK(op.deadline_ms > op.created_ms);
  record.set_timeout_ms(op.deadline_ms - op.created_ms);
  record.set_created_unix_ns(wall_time_ns);
  record.set_reason(op.reason);
  return record;
}

Result<Operator> to_operator(const wire::OperatorRecord& record, Instant now) {
  const uint64_t id = record.id();
  if (id == 0 || record.copyset() == 0) return corrupt(id, "names no copyset");
  if (record.kind() < 1 || record.kind() > 4) return corrupt(id, "is of no known kind");
  if (record.cause() < 1 || record.cause() > 7) return corrupt(id, "has no known cause");
  if (record.priority() < 1 || record.priority() > 3) return corrupt(id, "has no known priority");
  if (record.timeout_ms() == 0) return corrupt(id, "has no time");
  if (record.voters().empty() || record.voters_size() > static_cast<int>(placement::kReplicasMax)) {
    return corrupt(id, "has no voters, or too many");
  }
  Operator op{.id = OperatorId(id),
              .kind = static_cast<OperatorKind>(record.kind()),
              .cause = static_cast<placement::Cause>(record.cause()),
              .priority = static_cast<placement::Priority>(record.priority()),
              .copyset = CopysetId(record.copyset()),
              .epoch = Epoch(record.epoch()),
              .source = ChunkserverId(record.source()),
              .target = ChunkserverId(record.target()),
              .sender = ChunkserverId(record.sender()),
              .voters = {},
              .created_ms = planners_ms(now),
              .deadline_ms = planners_ms(now) + record.timeout_ms(),
              .reason = record.reason()};
  for (uint64_t voter : record.voters()) op.voters.emplace_back(voter);
  return op;
}

wire::CopysetChange to_change(const placement::Command& command, OperatorId id,
                              const ClusterState& state) {
  wire::CopysetChange change;
  change.set_copyset(command.copyset.value());
  change.set_epoch(command.epoch.value());
  change.set_kind(kind_of(command.kind));
  change.set_source(command.source.value());
  change.set_target(command.target.value());
  change.set_operator_id(id.value());
  const auto target = state.chunkservers.find(command.target);
  if (target != state.chunkservers.end()) {
    change.set_target_address(target->second.record.address());
  }
  return change;
}

placement::ChangeKind change_kind(const wire::CopysetChange& change) {
  switch (change.kind()) {
    case wire::CHANGE_ADD:
      return placement::ChangeKind::kAdd;
    case wire::CHANGE_REMOVE:
      return placement::ChangeKind::kRemove;
    case wire::CHANGE_REPLACE:
      return placement::ChangeKind::kChange;
    case wire::CHANGE_TRANSFER:
      return placement::ChangeKind::kTransfer;
    default:  // what a newer chunkserver may say
      return placement::ChangeKind::kNone;
  }
}

ChunkserverId change_target(const wire::CopysetChange& change) {
  return ChunkserverId(change.kind() == wire::CHANGE_REMOVE ? change.source() : change.target());
}

wire::OperatorInfo describe(const Operator& op, const wire::OperatorRecord* stored, Instant now) {
  wire::OperatorInfo info;
  info.set_id(op.id.value());
  info.set_kind(std::string(to_string(op.kind)));
  info.set_cause(std::string(to_string(op.cause)));
  info.set_priority(std::string(to_string(op.priority)));
  info.set_copyset(op.copyset.value());
  info.set_epoch(op.epoch.value());
  info.set_source(op.source.value());
  info.set_target(op.target.value());
  info.set_reason(op.reason);
  if (stored) info.set_created_unix_ns(stored->created_unix_ns());
  const uint64_t now_ms = planners_ms(now);
  info.set_left_ms(op.deadline_ms > now_ms ? op.deadline_ms - now_ms : 0);
  return info;
}

}  // namespace cairn::mds
