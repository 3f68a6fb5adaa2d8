/// Options of a Host and of each group on it.
#pragma once

#include <cstddef>

#include "base/units.h"

namespace cairn::multiraft {

struct HostOptions {
  Duration tick = 100ms;
  /// An election begins between this many ticks and twice as many after the leader's last word.
  uint32_t election_ticks = 8;
  /// All groups' heartbeats leave in the same tick, so that there is one frame a peer.
  uint32_t heartbeat_ticks = 2;
  double lease_usable_fraction = 0.75;

  /// One append message, and what may be on its way to one follower of one group.
  size_t message_bytes_max = 1 * kMiB;
  size_t inflight_messages_max = 256;
  size_t inflight_bytes_max = 16 * kMiB;
  /// Proposed and not yet committed, a group; above it apply() answers kOverloaded.
  size_t uncommitted_bytes_max = 64 * kMiB;
  /// Committed and given to on_apply at once.
  size_t apply_bytes_max = 4 * kMiB;
  /// Proposals that wait in one group.
  size_t proposals_max = 4096;

  /// Payloads of log entries kept in memory, all groups together; older ones are read from the log.
  size_t cached_payload_bytes_max = 128 * kMiB;

  /// A group takes a snapshot after so much log of its own...
  uint64_t snapshot_log_bytes = 32 * kMiB;
  uint64_t snapshot_log_entries = 65'536;
  /// ...and keeps so much of it for members that lag.
  uint64_t retained_log_bytes = 16 * kMiB;
  uint64_t retained_log_entries = 32'768;
  /// ...with many groups each keeps an equal part of this: the log's files then stay few and are
  /// soon all recycled.
  uint64_t retained_log_bytes_all = 512 * kMiB;
  /// Of all groups together, what a restart would apply again; above it those with most take one.
  uint64_t replay_bytes_max = 512 * kMiB;
  /// A stop takes snapshots for so long, so that the next start has little to apply.
  Duration save_at_stop_max = 5s;
  size_t snapshots_at_once_max = 2;
  Duration snapshot_check_interval = 1s;
  /// Between two tries to fetch a snapshot.
  Duration snapshot_retry_delay = 500ms;
  /// Between two tries of what the state machine refuses: doubled from the one to the other.
  Duration refusal_retry_delay_min = 50ms;
  Duration refusal_retry_delay_max = 5s;

  /// A learner has caught up when it lacks no more than so many entries.
  uint64_t caught_up_lag_entries = 256;
  /// One whose log has not grown for so long does not catch up.
  Duration catch_up_stall_max = 30s;

  /// A snapshot with more data than this keeps it in a file, and members fetch it in pieces.
  size_t snapshot_inline_bytes_max = 64 * kKiB;
  uint64_t snapshot_bytes_max = 4 * kGiB;
  uint32_t snapshot_piece_bytes = 256 * kKiB;
  /// Members that may fetch from this host at once, and groups that fetch here; more are refused
  /// and come again.
  size_t snapshot_sends_max = 4;
  size_t snapshot_receives_max = 4;
  uint64_t snapshot_send_bytes_per_second = 64 * kMiB;
  Duration snapshot_piece_timeout = 2s;

  /// What a removed group has on the disk stays so long at least; a restart begins the time anew.
  Duration removed_data_kept = std::chrono::hours(24);

  Duration election_timeout() const { return tick * election_ticks; }
};

}  // namespace cairn::multiraft
