/// Entries, snapshots, hard state and messages: everything that goes into and comes out of the
/// core.
///
/// Entries are shared, not copied: see entries.h.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string_view>
#include <vector>

#include "raft/confchange/conf_change.h"
#include "raft/entries.h"

namespace cairn::raft {

/// Reserved ids: the host's own storage and state machine, to which messages are addressed when
/// storage is asynchronous. No member may have one of them.
inline constexpr NodeId kAppendThread{std::numeric_limits<uint64_t>::max()};
inline constexpr NodeId kApplyThread{std::numeric_limits<uint64_t>::max() - 1};
constexpr bool is_local_target(NodeId id) {
  return id == kAppendThread || id == kApplyThread;
}

struct SnapshotMetadata {
  ConfState conf_state;
  LogIndex index;
  Term term;
};
struct Snapshot {
  SnapshotMetadata metadata;
  Buffer data;  ///< the state machine's own
  bool empty() const { return metadata.index.is_zero(); }
};
/// Shared and immutable: the log, a Ready and the messages that carry it hold the same snapshot.
using SnapshotPtr = std::shared_ptr<const Snapshot>;

/// What must be durable before a message that depends on it leaves.
struct HardState {
  Term term;
  NodeId vote;
  LogIndex commit;
  bool empty() const { return term.is_zero() && vote.is_none() && commit.is_zero(); }
  bool operator==(const HardState&) const = default;
};

/// Travels on the wire: append, never renumber.
enum class MessageType : uint8_t {
  kHup = 0,      ///< local: campaign
  kBeat = 1,     ///< local: send heartbeats
  kPropose = 2,  ///< entries to append; followers pass it to the leader
  kAppend = 3,
  kAppendResponse = 4,
  kVote = 5,
  kVoteResponse = 6,
  kSnapshot = 7,
  kHeartbeat = 8,
  kHeartbeatResponse = 9,
  kUnreachable = 10,     ///< local: the transport could not deliver to `from`
  kSnapshotStatus = 11,  ///< local: the snapshot to `from` was sent, or failed (`reject`)
  kCheckQuorum = 12,     ///< local: step down unless a quorum was heard from
  kTransferLeader = 13,  ///< `from` is to become leader
  kTimeoutNow = 14,      ///< to the one that is to become leader: campaign at once
  kReadIndex = 15,
  kReadIndexResponse = 16,
  kPreVote = 17,
  kPreVoteResponse = 18,
  kStorageAppend = 19,  ///< to kAppendThread: make durable, then deliver `responses`
  kStorageAppendResponse = 20,
  kStorageApply = 21,  ///< to kApplyThread: apply, then deliver `responses`
  kStorageApplyResponse = 22,
  kForgetLeader = 23,  ///< local: stop believing in the leader, so that others may be voted for
};
inline constexpr uint8_t kMessageTypesCount = 24;

struct Message {
  MessageType type = MessageType::kHup;
  bool reject = false;
  /// kAppendResponse: the sender has these entries and not yet all that they stand upon, so that
  /// its word counts towards no quorum; `commit` is then what it knows as committed.
  bool is_partial = false;
  NodeId to{};
  NodeId from{};
  Term term{};      ///< zero: local, or forwarded on behalf of a client
  Term log_term{};  ///< the term of the entry at `index`
  LogIndex index{};
  LogIndex commit{};
  NodeId vote{};  ///< kStorageAppend only
  LogIndex reject_hint{};
  Entries entries{};
  SnapshotPtr snapshot{};
  Buffer context{};
  /// kStorageAppend and kStorageApply: to be stepped or sent, in this order, once that is done.
  std::vector<Message> responses{};
};

/// Never accepted from the network.
bool is_local(MessageType type);
/// Answers: meaningless from a node that is not a member.
bool is_response(MessageType type);
/// kVote -> kVoteResponse, kPreVote -> kPreVoteResponse.
MessageType vote_response_of(MessageType type);

}  // namespace cairn::raft
