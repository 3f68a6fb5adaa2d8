#include "mds/schedule.h"

#include "mds/operators.h"

namespace cairn::mds {

void Pace::sample(double copies, Instant now) {
  // A copy that is given up takes its part with it: the count begins anew from there.
  if (!samples_.empty() && copies < samples_.back().copies) samples_.clear();
  samples_.push_back({copies, now});
  while (samples_.size() > kSamplesMax || now - samples_.front().at > kWindow) {
    samples_.pop_front();
  }
}

std::optional<Duration> Pace::time_for(double copies) const {
  if (copies <= 0) return Duration::zero();
  if (samples_.size() < 2) return std::nullopt;
  const double made = samples_.back().copies - samples_.front().copies;
  const auto taken = static_cast<double>((samples_.back().at - samples_.front().at).count());
  if (made <= 0) return std::nullopt;
  const double ns = taken * copies / made;
  constexpr double kNsMax = 1e18;  // about 30 years: what is longer is not known
  if (ns > kNsMax) return std::nullopt;
  return Duration(static_cast<int64_t>(ns));
}

void Schedule::note_ended(placement::Operator op, std::string outcome, bool is_done, Instant now) {
  watches.erase(op.id);
  if (is_done && op.copies_data()) ++copies_ended;
  ended.push_front({.op = std::move(op), .outcome = std::move(outcome), .at = now});
  if (ended.size() > kEndedMax) ended.pop_back();
}

void Schedule::take_round(placement::RoundResult result, const placement::Ledger& ledger,
                          Instant now) {
  notes = std::move(result.notes);
  progress = std::move(result.progress);
  std::map<OperatorId, OperatorWatch> kept;
  for (const placement::Operator* op : ledger.list()) {
    if (auto node = watches.extract(op->id)) kept.insert(std::move(node));
  }
  watches = std::move(kept);
  pace.sample(static_cast<double>(copies_ended) + parts_done(ledger), now);
}

double Schedule::parts_done(const placement::Ledger& ledger) const {
  double parts = 0;
  for (const placement::Operator* op : ledger.list()) {
    const auto watch = watches.find(op->id);
    if (op->copies_data() && watch != watches.end()) parts += watch->second.part_done();
  }
  return parts;
}

double Schedule::copies_left(const placement::Ledger& ledger) const {
  double copies = 0;
  for (const auto& pool : progress) copies += pool.replicas_lost + pool.replicas_draining;
  for (const placement::Operator* op : ledger.list()) {
    // The replicas that are lost or drain are counted where they lie.
    const bool is_counted =
        op->cause == placement::Cause::kRecover || op->cause == placement::Cause::kDrain;
    if (op->copies_data() && !is_counted) ++copies;
  }
  return std::max(0.0, copies - parts_done(ledger));
}

wire::ScheduleStatus Schedule::status(const placement::Ledger& ledger) const {
  wire::ScheduleStatus status;
  uint32_t copies = 0, transfers = 0, removals = 0;
  for (const placement::Operator* op : ledger.list()) {
    if (op->copies_data()) {
      ++copies;
    } else if (op->kind == placement::OperatorKind::kTransferLeader) {
      ++transfers;
    } else {
      ++removals;
    }
  }
  status.set_copies_count(copies);
  status.set_transfers_count(transfers);
  status.set_removals_count(removals);
  placement::PoolProgress sum;
  for (const auto& pool : progress) {
    sum.replicas_lost += pool.replicas_lost;
    sum.replicas_draining += pool.replicas_draining;
    sum.copysets_degraded += pool.copysets_degraded;
    sum.copysets_without_quorum += pool.copysets_without_quorum;
  }
  status.set_replicas_lost_count(sum.replicas_lost);
  status.set_replicas_draining_count(sum.replicas_draining);
  status.set_copysets_degraded_count(sum.copysets_degraded);
  status.set_copysets_without_quorum_count(sum.copysets_without_quorum);
  const double left = copies_left(ledger);
  const auto time = pace.time_for(left);
  status.set_copies_left(left);
  status.set_left_ms(time ? to_ms(*time) : -1);
  for (const auto& note : notes) status.add_notes(note.text);
  return status;
}

wire::OperatorInfo Schedule::info(const placement::Operator& op, const ClusterState& state,
                                  Instant now) const {
  const auto stored = state.operators.find(op.id);
  wire::OperatorInfo info =
      describe(op, stored == state.operators.end() ? nullptr : &stored->second, now);
  const auto watch = watches.find(op.id);
  if (watch == watches.end()) return info;
  info.set_is_begun(watch->second.is_begun);
  info.set_copy_done_bytes(watch->second.copy_done_bytes);
  info.set_copy_total_bytes(watch->second.copy_total_bytes);
  info.set_failures_count(watch->second.failures_count);
  info.set_last_error(watch->second.last_error);
  return info;
}

}  // namespace cairn::mds
