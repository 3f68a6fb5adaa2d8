/// PlantedBug: known bugs that the simulator must find, each at a guard of the servers' code,
/// switched on in one run and never in a server.
///
/// Source: docs/simulation.md lists each with what it breaks and how soon it is found.
#pragma once

#include <cstdint>

namespace cairn {

enum class PlantedBug : uint8_t {
  kNone,
  // multiraft
  kAckBeforeFlush,      ///< a member claims durability when it has written, not when it has flushed
  kForgetVote,          ///< a vote is cast and not made durable
  kReadWithoutLease,    ///< a leader answers reads although its lease has run out
  kLeaseAfterTransfer,  ///< a leader that asked another to take over goes on reading by its lease
  kReadBeforeTerm,      ///< a leader answers reads before it has committed in its own term
  kVoteNotRestored,     ///< whom a member voted for is not read back at restart
  kQuarantineIgnored,   ///< a group whose log lost records takes part
  kBondOfAnyEpoch,      ///< a leader's lease rests on followers that have left their bond
  kVouchKept,           ///< a host beats on as before although it has lost a leadership
  kRestUnacknowledged,  ///< a leader goes quiet before its followers know what is committed
  kSnapshotInBatch,     ///< a snapshot is taken while the state machine is ahead of its index
  kVoteGuardForgotten,  ///< a restarted member votes although it may have promised a leader not to
  kChangeForgotten,     ///< a configuration is in force before its member will remember it
  kBlankCounts,         ///< a replica that lost what it had takes part under its old name
  // raft
  kVoteTwice,            ///< a member votes for every candidate of a term
  kVoteForShorterLog,    ///< a vote is given whatever the candidate's log holds
  kLeadBeforeOwnVote,    ///< a candidate leads before its own vote, and the term, are durable
  kDuplicateVotes,       ///< each vote counts as often as it arrives
  kCommitOldTerm,        ///< a leader commits entries of older terms by counting
  kCommitWithHeartbeat,  ///< a heartbeat commits what its receiver may not have
  kTruncateAfterAppend,  ///< an append drops everything behind it, conflict or not
  kStaleAppendAck,       ///< a follower's acknowledgment counts in whatever term it was given
  kStaleStorageAck,      ///< the completion of a write of an earlier term counts (ABA)
  kSnapshotOverLog,      ///< a snapshot replaces a log that has all of it and more
  kTwoConfChanges,       ///< a second configuration change begins before the first is applied
  kJointByOneHalf,       ///< a joint configuration decides by the new half alone
  kChangeWithoutJoint,   ///< several voters change at once without a joint configuration
  kCampaignUnapplied,    ///< a member campaigns under a configuration that is no longer in force
  kLearnerCounts,        ///< a learner's acknowledgment counts like a voter's
  kReadAckOfAnyRound,    ///< an answer to any heartbeat confirms all waiting reads
  // write-ahead log
  kAckOutOfOrder,        ///< a batch counts as durable before those written ahead of it
  kTornTailAccepted,     ///< recovery goes on behind a torn batch
  kTruncationForgotten,  ///< replay keeps entries behind one that replaced them
  // fences of volumes
  kFenceNotOrdered,  ///< an exclusive open returns before the copysets have ordered its fence
  kReadUnfenced,     ///< a read by a former owner of the volume is served
};

// The one mutable global of the code base. The bugs stand deep in pure code, and handing a switch
// down to them would put it into the signatures of everything above; it is set once, before a run,
// by the simulator's process, and it does not exist where -DCAIRN_PLANTED_BUGS=OFF.
#ifdef CAIRN_PLANTED_BUGS
namespace detail {
extern PlantedBug planted_bug;
}
inline bool is_planted(PlantedBug bug) {
  return detail::planted_bug == bug;
}
inline void plant(PlantedBug bug) {
  detail::planted_bug = bug;
}
#else
constexpr bool is_planted(PlantedBug) {
  return false;
}
inline void plant(PlantedBug) {}
#endif

}  // namespace cairn
