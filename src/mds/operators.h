/// Operators between the ledger, the store and the wire: records, commands, descriptions.
/// Pure. Source: docs/formats/meta.md.
#pragma once

#include "mds/cluster_state.h"
#include "placement/operator.h"
#include "wire/schedule.pb.h"

namespace cairn::mds {

wire::OperatorRecord to_record(const placement::Operator& op, int64_t wall_time_ns);

/// The operator has its whole time again: clocks of two processes have nothing in common.
/// Errors: kCorrupt what no planner makes, in words.
Result<placement::Operator> to_operator(const wire::OperatorRecord& record, Instant now);

/// What the copyset's leader is told.
wire::CopysetChange to_change(const placement::Command& command, OperatorId id,
                              const ClusterState& state);

/// The change that a leader says it has under way.
placement::ChangeKind change_kind(const wire::CopysetChange& change);
ChunkserverId change_target(const wire::CopysetChange& change);

/// Without what is heard of it: see Schedule.
wire::OperatorInfo describe(const placement::Operator& op, const wire::OperatorRecord* stored,
                            Instant now);

}  // namespace cairn::mds
