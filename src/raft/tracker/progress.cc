#include "raft/tracker/progress.h"

#include <algorithm>

namespace cairn::raft {

std::string_view to_string(ProgressState state) {
  switch (state) {
    case ProgressState::kProbe:
      return "StateProbe";
    case ProgressState::kReplicate:
      return "StateReplicate";
    case ProgressState::kSnapshot:
      return "StateSnapshot";
  }
  check_failed("progress state", __FILE__, __LINE__);
}

void Progress::check_invariants() const {
  CHECK(match < next, "what was acknowledged is never sent again");
  CHECK(counted <= match);
  CHECK(pending_snapshot.is_zero() || state == ProgressState::kSnapshot);
  CHECK(inflights.count() == 0 || state == ProgressState::kReplicate, "only pipelines are tracked");
}

void Progress::reset_state(ProgressState to) {
  paused = false;
  pending_snapshot = LogIndex(0);
  state = to;
  inflights.reset();
}

// When `next` moves back, commit indexes beyond it were probably lost with the entries.
void Progress::limit_sent_commit() {
  sent_commit = std::min(sent_commit, next - 1);
}

void Progress::become_probe() {
  // After a snapshot the log goes on behind it; it may have arrived without being acknowledged.
  const LogIndex snapshot = state == ProgressState::kSnapshot ? pending_snapshot : LogIndex(0);
  reset_state(ProgressState::kProbe);
  next = std::max(match, snapshot) + 1;
  limit_sent_commit();
  check_invariants();
}

void Progress::become_replicate() {
  reset_state(ProgressState::kReplicate);
  next = match + 1;
  check_invariants();
}

void Progress::become_snapshot(LogIndex snapshot) {
  CHECK(!snapshot.is_zero());
  reset_state(ProgressState::kSnapshot);
  pending_snapshot = snapshot;
  next = snapshot + 1;
  sent_commit = snapshot;
}

void Progress::sent_entries(uint64_t entries_count, uint64_t payload_bytes) {
  CHECK(state != ProgressState::kSnapshot, "nothing is sent while a snapshot is under way");
  if (state == ProgressState::kProbe) {
    // An empty append does not pause: it costs nothing and may be the one that carries the commit.
    if (entries_count > 0) paused = true;
    return;
  }
  if (entries_count > 0) {
    next += entries_count;
    inflights.add(next - 1, payload_bytes);
  }
  // A message that fills the window, or finds it full, acts as a probe: wait for an answer.
  paused = inflights.full();
}

bool Progress::maybe_update(LogIndex index) {
  if (index <= match) return false;
  match = index;
  next = std::max(next, index + 1);
  paused = false;
  CHECK(match < next);
  return true;
}

bool Progress::count_up_to(LogIndex index) {
  if (index <= counted) return false;
  counted = index;
  CHECK(counted <= match);
  return true;
}

bool Progress::maybe_decrease_to(LogIndex rejected, LogIndex hint) {
  if (state == ProgressState::kReplicate) {
    // A pipeline's messages may be reordered: a refusal of what was since acknowledged is stale.
    if (rejected <= match) return false;
    next = match + 1;
    limit_sent_commit();
    return true;
  }
  // While probing, only the last append is outstanding, so any other refusal is stale.
  if (next - 1 != rejected) return false;
  // Nobody refuses what it has acknowledged but one that lost it, or began anew. Asked at once it
  // would refuse at once, and so on without an end; the next heartbeat's answer lets a probe pass.
  if (rejected <= match && !match.is_zero()) return false;
  next = std::max(std::min(rejected, hint + 1), match + 1);
  limit_sent_commit();
  paused = false;
  CHECK(match < next);
  return true;
}

std::string to_string(const Progress& progress) {
  std::string text(to_string(progress.state));
  text += " match=" + to_string(progress.match) + " next=" + to_string(progress.next);
  if (progress.is_partial()) text += " counted=" + to_string(progress.counted);
  if (progress.is_learner) text += " learner";
  if (progress.is_paused()) text += " paused";
  if (!progress.pending_snapshot.is_zero()) {
    text += " pendingSnap=" + to_string(progress.pending_snapshot);
  }
  if (!progress.recent_active) text += " inactive";
  if (const size_t count = progress.inflights.count(); count > 0) {
    text += " inflight=" + std::to_string(count);
    if (progress.inflights.full()) text += "[full]";
  }
  return text;
}

}  // namespace cairn::raft
