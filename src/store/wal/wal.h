/// Wal: the write-ahead log that all Raft groups of one disk share.
///
/// Appends are plain functions that only queue; what a turn of the reactor appends goes out at the
/// turn's end as one batch with one durable write, whatever the number of groups. Several writes
/// are in flight at distinct offsets; durability is reported for the contiguous prefix of the
/// stream, so the order of appends alone makes a term durable before the entries of that term.
///
/// Errors:   the first failed or hanging write latches the log: Listener::on_failed once, every
///           later append is ignored, nothing more becomes durable, nothing is retried. The disk
///           is dead until the process starts again.
/// Bounds:   wal_bytes_max. The host asks admit() before it brings in entries; the log itself takes
///           what it is given, so that hard states, marks and what is moved always find room.
/// Threads:  one reactor. Listener calls come from the reactor, never from inside an append.
/// Lifetime: the disk and the listener outlive the Wal; stop() before it is destroyed.
/// Source:   docs/formats/wal.md; docs/adr/0002-write-ahead-log.md.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/units.h"
#include "io/disk.h"
#include "io/env.h"
#include "io/task.h"

namespace cairn::wal {

using Lsn = Ordinal<struct LsnTag>;  ///< counts the records appended since open(), from 1

struct HardState {
  Term term;
  uint64_t vote = 0;
  LogIndex commit;
  bool operator==(const HardState&) const = default;
};

struct Entry {
  Term term;
  LogIndex index;
  uint8_t type = 0;
  Buffer head;     ///< at most kHeadBytesMax
  Buffer payload;  ///< empty or a multiple of 4096; not copied if its memory is aligned to 4096
};

struct SnapshotMark {
  LogIndex index;
  Term term;
  Buffer data;  ///< opaque (configuration, epoch, ...), at most kMarkBytesMax
};

struct RecoveredEntry {
  Term term;
  LogIndex index;
  uint8_t type = 0;
  Buffer head;
  uint32_t payload_bytes = 0;  ///< the payload stays on disk: read_payload()
};

struct RecoveredGroup {
  GroupId group;
  HardState hard_state;
  std::optional<SnapshotMark> snapshot;
  std::vector<RecoveredEntry> entries;  ///< contiguous, behind the snapshot mark
  /// Empty: sound. Otherwise acknowledged records may be missing: the group must neither vote nor
  /// serve; it is repaired from peers under a new identity after append_remove_group().
  std::string quarantine_reason;
};

/// What open() found, for the operator and for tests.
struct RecoverySummary {
  uint64_t segments_count = 0;
  uint64_t batches_count = 0;    ///< accepted
  uint64_t records_count = 0;    ///< in them
  uint64_t batches_cut = 0;      ///< valid ones behind a torn one; never acknowledged
  uint64_t damaged_entries = 0;  ///< live entries whose payload is rotten
  /// Missing stretches of the log. Not empty: groups that the host knows and that were not
  /// recovered have lost their state, too.
  std::vector<std::string> gaps;
};

struct WalOptions {
  std::string directory = "wal";
  uint64_t segment_bytes = 64 * kMiB;  ///< 256 KiB to 64 MiB, whole blocks
  /// The files' size is kept under it: over_limit() from three quarters on, admit() refuses from
  /// seven eighths on. Should be 16 segments or more.
  uint64_t wal_bytes_max = 4 * kGiB;
  uint64_t batch_bytes_max = kMiB;  ///< a larger single record still goes out, alone
  size_t writes_inflight_max = 4;
  size_t segments_ready_min = 2;                      ///< prepared ahead of their use
  uint64_t pending_bytes_max = 64 * kMiB;             ///< not durable yet; above it admit() refuses
  Duration write_hang_max = std::chrono::seconds(5);  ///< the watchdog
  Duration idle_mark_after = std::chrono::milliseconds(100);
  size_t move_groups_max = 16;       ///< live entries of up to so many groups are moved to the head
  double move_live_share_max = 0.5;  ///< ... out of a segment of which no more than this is alive
  uint64_t store_token = 0;          ///< expected; 0: take the log's own, draw one for a new log
  uint64_t owner = 0;                ///< the node whose log it is; 0: not told, and not checked
  bool must_exist = false;           ///< the host knows that there was one: none is an error
};

struct WalStats {
  uint64_t batches_count = 0;
  uint64_t flushes_count = 0;  ///< durable writes
  uint64_t records_count = 0;
  uint64_t payload_bytes = 0;  ///< heads and payloads, as given
  uint64_t written_bytes = 0;  ///< on the medium, headers and padding too
  uint64_t moved_records = 0;  ///< written again so that an old segment can go
  uint64_t segments_recycled = 0;
  uint64_t segments_created = 0;
  uint64_t segment_waits = 0;  ///< times that records waited for a segment to be prepared
};

/// Above it segments are freed by moving entries and by snapshots.
inline uint64_t soft_limit_bytes(const WalOptions& options) {
  return options.wal_bytes_max / 4 * 3;
}

/// What wants to come in, least important first: what is refused last has the last sixteenth of
/// wal_bytes_max to itself, after those that can be refused without harm.
enum class Intake : uint8_t {
  kProposal,     ///< a new entry of a leader: its caller tries again later
  kReplication,  ///< an entry of another's leader: it is taken as lost, and sent again
};

/// From so many bytes on it is refused.
inline uint64_t intake_limit_bytes(const WalOptions& options, Intake intake) {
  return options.wal_bytes_max / 16 * (intake == Intake::kProposal ? 14 : 15);
}

class Listener {
 public:
  virtual ~Listener() = default;
  /// Every record up to `up_to` is on the medium.
  virtual void on_durable(Lsn up_to) = 0;
  /// Latched: nothing more becomes durable. Called once.
  virtual void on_failed(Error reason) = 0;
};

class Wal {
 public:
  static constexpr uint64_t kHeadBytesMax = 64 * kKiB;
  static constexpr uint64_t kMarkBytesMax = 256 * kKiB;

  /// Reads the log back, cuts a torn tail and makes the cut durable, or makes a new log.
  /// Errors: kNotFound            there was a log here, and it is gone: this disk's incarnation is
  ///                              over, it may join as a new one alone;
  ///         kPreconditionFailed  the log is another node's: a copied or misplaced directory;
  ///         kCorrupt             a file of another store, a log of which nothing is readable;
  ///         kUnsupported (a newer version), kIo, kNoSpace. Nothing has been changed in any of
  ///         them.
  static io::Task<Result<std::unique_ptr<Wal>>> open(io::Env env, io::Disk& disk,
                                                     WalOptions options, Listener& listener,
                                                     std::vector<RecoveredGroup>* recovered);
  ~Wal();
  Wal(const Wal&) = delete;
  Wal& operator=(const Wal&) = delete;

  /// An index at or below the group's last replaces that entry and all behind it. Otherwise the
  /// index follows the last one, or is the group's first.
  Lsn append_entry(GroupId group, const Entry& entry);
  Lsn append_hard_state(GroupId group, const HardState& state);
  /// Entries up to mark.index are dead from now on, and with `reset_log` all entries appended
  /// before.
  Lsn append_snapshot(GroupId group, const SnapshotMark& mark, bool reset_log);
  /// Every record of the group is dead, and so is its quarantine; the id may be used again.
  Lsn append_remove_group(GroupId group);

  Lsn last_lsn() const;
  Lsn durable_lsn() const;
  bool failed() const;
  /// Whether entries may be appended now. It is asked before; the appends themselves never refuse.
  /// Errors: kOverloaded  the device is behind, or the log is as large as it may be;
  ///         kNoSpace     the disk is full: no segment can be made;
  ///         kIo          the log has failed. Nothing was appended in any of them.
  Status admit(Intake intake) const;

  /// The payload of a live entry: from memory while it is in flight, otherwise from the disk with
  /// its checksum verified. kNotFound: not alive (any more). kCorrupt: rotten on the disk. kIo.
  io::Task<Result<Buffer>> read_payload(GroupId group, LogIndex index);

  uint64_t live_bytes() const;  ///< of all live entries
  uint64_t log_bytes() const;   ///< of the segments in use
  /// Three quarters of wal_bytes_max are in use: the host should have groups_pinning_oldest()
  /// snapshot.
  bool over_limit() const;
  uint64_t bytes_since_snapshot(GroupId group) const;  ///< of the group's live entries
  /// Up to `count` groups that must snapshot so that the log can shrink under its limit (or so
  /// that its oldest segment can go).
  std::vector<GroupId> groups_pinning_oldest(size_t count) const;

  WalStats stats() const;
  const RecoverySummary& recovery() const;
  /// Drawn with the log: another token, another incarnation of the disk.
  uint64_t store_token() const;

  /// Writes what is pending and a closing mark, and waits for what is under way; of a log that has
  /// failed not for long, because its device may hang.
  io::Task<void> stop();

 private:
  static constexpr int kReadAttemptsMax = 8;
  struct Parts;
  explicit Wal(std::shared_ptr<Parts> parts);
  static constexpr Duration kStopWaitMax = std::chrono::seconds(1);
  /// Shared with the flows in the background: one that hangs in the device outlives the Wal.
  std::shared_ptr<Parts> parts_;
};

}  // namespace cairn::wal
