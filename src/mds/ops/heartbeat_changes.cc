#include "mds/ops/heartbeat_changes.h"

#include "mds/operators.h"

namespace cairn::mds::ops {

namespace {

using placement::Operator;
using placement::StepKind;

constexpr size_t kErrorBytesMax = 512;

/// True: it has failed too often and has left the ledger.
bool note_failure(Context& mds, const Operator& op, OperatorWatch& watch, const std::string& why) {
  const Instant now = mds.env.clock.now();
  watch.last_error = why.substr(0, kErrorBytesMax);
  ++watch.failures_count;
  if (watch.failures_count < mds.options.schedule.failures_max) {
    const auto doublings = std::min(watch.failures_count - 1, 20u);
    watch.not_before = now + std::min(mds.options.retry_delay_min * (int64_t{1} << doublings),
                                      mds.options.retry_delay_max);
    return false;
  }
  const Operator failed = op;
  const std::string outcome =
      "failed " + std::to_string(watch.failures_count) + " times, at last: " + watch.last_error;
  mds.state.ledger.cancel(failed.id);
  mds.note_ended(failed, outcome, false);
  return true;
}

/// What the leader says of the operator; true: it is over.
bool take_in_watch(Context& mds, const Operator& op, const wire::CopysetHeartbeat& report) {
  OperatorWatch& watch = mds.schedule.watches[op.id];
  const uint64_t id = op.id.value();
  if (report.change().operator_id() == id) {
    watch.is_begun = true;
    watch.copy_done_bytes = report.copy_done_bytes();
    watch.copy_total_bytes = report.copy_total_bytes();
  }
  if (report.ended().operator_id() != id || report.ended().error().empty()) return false;
  return note_failure(mds, op, watch, report.ended().error());
}

void tell_change(Context& mds, OperatorId id, const placement::Command& command,
                 wire::HeartbeatReply& reply) {
  OperatorWatch& watch = mds.schedule.watches[id];
  if (mds.env.clock.now() < watch.not_before) return;
  watch.is_begun = true;
  wire::CopysetChange change = to_change(command, id, mds.state);
  change.set_bytes_per_second_max(mds.options.schedule.copy_bytes_per_second_max);
  *reply.add_changes() = std::move(change);
}

}  // namespace

void tell_changes(Context& mds, ChunkserverId receiver, const wire::HeartbeatRequest& request,
                  wire::HeartbeatReply& reply) {
  const uint64_t now_ms = planners_ms(mds.env.clock.now());
  for (const auto& report : request.copysets()) {
    if (!report.is_leader()) continue;
    const CopysetId copyset(report.copyset());
    const Operator* op = mds.state.ledger.find(copyset);
    if (op == nullptr || !mds.state.operators.contains(op->id)) continue;
    if (mds.state.leader_of(copyset) != receiver) continue;  // an older leader
    // A word that was overtaken says nothing of what is under way now.
    if (Epoch(report.epoch()) != mds.state.told(copyset).epoch) continue;
    if (take_in_watch(mds, *op, report)) continue;
    const Operator under_way = *op;
    auto step = mds.state.ledger.advance(copyset, mds.state.placed, now_ms);
    CHECK(step.has_value());
    if (step->is_over()) {
      mds.note_ended(under_way, *step);
    } else if (step->kind == StepKind::kSend && reply.changes_size() < kChangesPerReplyMax) {
      tell_change(mds, under_way.id, step->command, reply);
    }
  }
}

void tell_strays(Context& mds, ChunkserverId receiver, const wire::HeartbeatRequest& request,
                 wire::HeartbeatReply& reply) {
  for (const auto& report : request.copysets()) {
    if (reply.remove_size() >= kRemovesPerReplyMax) return;
    const auto found = mds.state.copysets.find(CopysetId(report.copyset()));
    if (found == mds.state.copysets.end()) continue;
    // By the record as well: what is deleted must not be needed by the next MDS either.
    if (found->second.has_member(receiver)) continue;
    if (!placement::is_stray(mds.state.placed, mds.state.ledger, found->first, receiver,
                             Epoch(report.epoch()))) {
      continue;
    }
    auto* stray = reply.add_remove();
    stray->set_copyset(report.copyset());
    stray->set_epoch(mds.state.told(found->first).epoch.value());
  }
}

}  // namespace cairn::mds::ops
