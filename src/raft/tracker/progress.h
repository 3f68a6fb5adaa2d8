/// Progress: what the leader knows of one follower's log, and how it therefore sends to it.
///
///   probe      Where the logs meet is not known: one append at a time, until one is answered.
///   replicate  The logs met: appends are pipelined optimistically up to the window.
///   snapshot   The entries it needs are compacted: nothing is sent until a snapshot has arrived.
#pragma once

#include <string>
#include <string_view>

#include "raft/tracker/inflights.h"

namespace cairn::raft {

enum class ProgressState : uint8_t { kProbe, kReplicate, kSnapshot };
std::string_view to_string(ProgressState state);

struct Progress {
  LogIndex match;  ///< the follower's log is known to equal the leader's up to here
  LogIndex next;   ///< the next entry to send; match < next always
  /// What of that counts towards a quorum, <= match: less than it while the follower's state is
  /// partial, see RawNode::set_partial().
  LogIndex counted;
  ProgressState state = ProgressState::kProbe;

  /// Nothing more is sent until the follower answers or a heartbeat round lets one append pass.
  bool paused = false;
  /// Heard from since the last check of the quorum.
  bool recent_active = false;
  bool is_learner = false;

  /// The index of the snapshot under way; zero unless in kSnapshot.
  LogIndex pending_snapshot;
  /// The highest commit index that this follower has been told and can use.
  LogIndex sent_commit;

  Inflights inflights;

  /// It has acknowledged what does not count: its state lacks parts.
  bool is_partial() const { return counted < match; }
  bool is_paused() const { return state == ProgressState::kSnapshot || paused; }

  void become_probe();
  void become_replicate();
  void become_snapshot(LogIndex snapshot);

  /// An append with `entries_count` entries weighing `payload_bytes` has left.
  void sent_entries(uint64_t entries_count, uint64_t payload_bytes);
  /// Whether telling the follower `committed` now could advance what it knows as committed: not if
  /// it was already told a commit index that reaches the last entry sent.
  bool can_bump_commit(LogIndex committed) const {
    return committed > sent_commit && sent_commit < next - 1;
  }
  /// The follower acknowledged up to `index`. False if that was known already.
  bool maybe_update(LogIndex index);
  /// Its acknowledgment of `index`, which maybe_update() knows, counts. False: so much did already.
  bool count_up_to(LogIndex index);
  /// The follower refused an append after `rejected` and `hint` is where its log may meet ours.
  /// False if the refusal is stale; otherwise `next` has moved back.
  bool maybe_decrease_to(LogIndex rejected, LogIndex hint);

  void check_invariants() const;

 private:
  void reset_state(ProgressState to);
  void limit_sent_commit();
};

/// "StateReplicate match=14 next=17 paused inflight=2[full]"
std::string to_string(const Progress& progress);

}  // namespace cairn::raft
