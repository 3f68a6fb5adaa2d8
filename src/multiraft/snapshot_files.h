/// SnapshotFiles: what state machines saved and what is too large for the log, a file each; and how
/// a member that lags gets it from another one.
///
/// A file is complete under its name, or has none: it is written aside, synced and renamed, and the
/// log's mark names it only then. Whatever no mark names is deleted at the next open(), so that a
/// transfer that a crash interrupted leaves no trace.
/// A transfer goes by pieces that the receiver asks for, saying what it has: one that was broken
/// off goes on where it stood, as long as both processes live. Units:    bytes. Errors: kNotFound:
/// there is no such file (any more). kCorrupt: it is damaged.
///           kNoSpace, kIo: the disk's.
/// Bounds:   HostOptions::snapshot_sends_max, snapshot_receives_max, snapshot_piece_bytes.
/// Threads:  one reactor.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>

#include "io/env.h"
#include "io/sync.h"
#include "multiraft/codec.h"
#include "multiraft/options.h"
#include "multiraft/peers.h"
#include "rpc/client.h"

namespace cairn::multiraft {

class SnapshotFiles {
 public:
  using Key = std::pair<GroupId, LogIndex>;

  SnapshotFiles(io::Env env, io::Disk& disk, NodeId self, rpc::Client& client,
                const PeerDirectory& peers, const HostOptions& options);

  /// Deletes everything but the files of `named`.
  io::Task<Status> open(std::set<Key> named);

  /// Durable on return.
  io::Task<Result<SnapshotFile>> save(GroupId group, LogIndex index, Buffer data);
  io::Task<Result<Buffer>> load(GroupId group, SnapshotFile file);
  bool contains(GroupId group, LogIndex index) const { return complete_.contains({group, index}); }
  /// Deletes the group's files of earlier snapshots, but those that somebody is fetching.
  io::Task<void> remove_before(GroupId group, LogIndex index);

  /// Gets `file` from `source`, whole and verified.
  /// Errors, besides those above: kOverloaded: too many do. kUnavailable, kTimeout: the source does
  /// not answer; what has come is kept for the next try. kClosed: stopping.
  io::Task<Status> fetch(GroupId group, SnapshotFile file, NodeId source);
  /// The other side. Errors: kNotFound, kOverloaded; kInvalidArgument: no such piece.
  io::Task<Result<Buffer>> read_piece(GroupId group, LogIndex index, uint64_t offset_bytes,
                                      uint32_t bytes_max, NodeId to);
  /// Transfers end with kClosed after the piece that is under way.
  void begin_stop() { is_stopping_ = true; }

 private:
  struct Receipt {
    SnapshotFile file;
    uint64_t have_bytes = 0;
  };
  struct Sending {
    LogIndex index;
    Instant asked_at;
  };

  io::Task<Status> make_directory();
  io::Task<Status> receive(GroupId group, SnapshotFile file, NodeId source, Receipt* receipt);
  io::Task<Result<Buffer>> ask(GroupId group, SnapshotFile file, NodeId source,
                               uint64_t offset_bytes);
  io::Task<Status> complete(GroupId group, SnapshotFile file);
  io::Task<Status> wait_turn(uint64_t bytes);
  Status admit(GroupId group, LogIndex index, NodeId to);
  bool is_sent(GroupId group, LogIndex index) const;

  io::Env env_;
  io::Disk& disk_;
  const NodeId self_;
  rpc::Client& client_;
  const PeerDirectory& peers_;
  const HostOptions& options_;
  bool is_stopping_ = false;
  bool has_directory_ = false;
  std::map<Key, uint64_t> complete_;     ///< and their sizes
  std::map<GroupId, Receipt> receipts_;  ///< transfers to here that are not complete
  size_t receiving_count_ = 0;
  std::map<std::pair<NodeId, GroupId>, Sending> sending_;  ///< bounded by snapshot_sends_max
  Instant send_free_at_;  ///< when the allowed rate lets the next piece go
  Counter& sent_bytes_;
  Counter& received_bytes_;
};

}  // namespace cairn::multiraft
