/// Config: what a RawNode is made of.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/ids.h"
#include "base/log.h"
#include "base/result.h"
#include "base/rng.h"
#include "raft/storage.h"
#include "raft/trace.h"

namespace cairn::raft {

/// Receives what the core would log, rendered. Without one, nothing is rendered.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual void on_log(LogLevel level, std::string_view text) = 0;
};

enum class ReadOnlyOption : uint8_t {
  kSafe,        ///< a read waits for a quorum to confirm the leader
  kLeaseBased,  ///< a read relies on the leader's lease; clocks must drift less than the lease
};

/// The best priority, which members have unless they are given a lower one.
inline constexpr uint32_t kPriorityMax = 3;

struct Config {
  NodeId id;
  /// Ticks without a leader before a campaign begins: each time drawn from [n, 2n).
  uint32_t election_tick = 10;
  /// Who should lead if several can: each step below kPriorityMax lets this member wait for one
  /// election timeout more before it campaigns, so that a better one that is there goes first. Only
  /// time is at stake: whoever is left leads in the end. Below the maximum it needs pre_vote, in
  /// the whole group: without it a good member with an old log would campaign in vain for ever and
  /// each time make the others wait anew.
  uint32_t priority = kPriorityMax;
  /// Ticks between heartbeats; less than election_tick.
  uint32_t heartbeat_tick = 1;

  Storage* storage = nullptr;    ///< borrowed; outlives the node
  Rng* rng = nullptr;            ///< borrowed; outlives the node
  Observer* observer = nullptr;  ///< borrowed; may be absent
  TraceSink* trace = nullptr;    ///< borrowed; absent unless somebody wants to check the core

  /// The last entry that the state machine has applied; not handed out again.
  LogIndex applied;
  /// Storage and apply answer by messages (kStorageAppend, kStorageApply) instead of advance().
  bool async_storage_writes = false;

  /// The largest append message: encoded entries. One entry is always sent.
  uint64_t size_per_message_max = 1 << 20;
  /// The largest batch of committed entries in flight to the state machine; 0: as above.
  uint64_t committed_size_per_ready_max = 0;
  /// Proposals beyond this many payload bytes that are not committed are refused; 0: no limit.
  uint64_t uncommitted_entries_size_max = 0;
  /// The window of append messages to one follower, in messages and (0: no limit) payload bytes.
  size_t inflight_messages_max = 256;
  uint64_t inflight_bytes_max = 0;

  /// A leader that has not heard from a quorum for an election timeout steps down; and members that
  /// hear a leader refuse to vote, so that nobody returning from a partition deposes it.
  bool check_quorum = false;
  /// A candidate first asks whether it would win, without disturbing anyone's term.
  bool pre_vote = false;
  ReadOnlyOption read_only_option = ReadOnlyOption::kSafe;
  /// A follower refuses proposals instead of passing them on.
  bool disable_proposal_forwarding = false;
  /// Configuration changes are not checked when proposed; only for those who check them in apply.
  bool disable_conf_change_validation = false;
  /// A leader that a configuration change removes or demotes steps down when it applies it.
  bool step_down_on_removal = false;
  /// A leader that has a change in its log which ends its own vote takes no proposals until it has
  /// applied it. Behind the change it could gather entries that nobody else has, and then refuse
  /// its vote to all others for their shorter logs: those who do not know yet that it is gone may
  /// need that vote, and it campaigns no more itself. So a group that may have two voters, or one
  /// of three down, wants this.
  bool hold_proposals_on_removal = false;
  /// What proposals and acknowledgements make due to followers goes out with the next Ready, all of
  /// it in as few appends as it fits; not each by itself, at once. A host that takes in many
  /// proposals between two Readys sends, and has answered, a fraction of the messages.
  bool batch_appends = false;
};

/// Fills in what 0 stands for. Errors: kInvalidArgument.
Result<Config> validated(Config config);

}  // namespace cairn::raft
