/// PoolRound: one pool as planners see it in one round, and what they have planned in it so far.
///
/// Made in one pass over the copysets. Counts are as if every operator of the ledger were done, so
/// that planners do not plan twice what is on its way; each operator that a planner adds is counted
/// at once. Short-lived: the cluster must not change while it exists.
#pragma once

#include <set>

#include "placement/disk_speeds.h"
#include "placement/ledger.h"
#include "placement/shares.h"

namespace cairn::placement {

struct OperatorTimeouts {
  uint64_t copy_ms = 1'800'000;
  uint64_t remove_ms = 300'000;
  uint64_t transfer_ms = 60'000;
};

struct PlannerLimits {
  FillLimits fill;
  OperatorTimeouts timeouts;
  /// Copysets are moved while a chunkserver's count is further from its share than this part of it
  /// (and further than one).
  double spread_max = 0.05;
  /// Recovery holds back while more than this part of a pool's chunkservers is offline (and more
  /// than one): then the network or the power is likelier gone than the disks.
  double lost_part_max = 0.35;
  /// A chunkserver that came online, and a copyset that changed its leader, rest this long before
  /// the leader planner gives it leaders, or moves it.
  uint64_t leader_rest_ms = 60'000;
  SlowDiskLimits slow_disk;
};

/// What planners have to say to a person beside operators.
enum class NoteKind : uint8_t {
  kHeldBack,  ///< work is not done on purpose
  kNoPlace,   ///< work cannot be done: no chunkserver may take the replica
  kNoQuorum,  ///< copysets that can only wait for members to return, or be reset
  kDrained,   ///< a chunkserver is empty and may be removed
};

struct Note {
  NoteKind kind = NoteKind::kHeldBack;
  PoolId pool;
  std::string text;
};

class PoolRound {
 public:
  PoolRound(const Cluster& cluster, Ledger& ledger, const PlannerLimits& limits, Slot pool,
            uint64_t now_ms);

  const Cluster& cluster() const { return cluster_; }
  const Ledger& ledger() const { return ledger_; }
  const PlannerLimits& limits() const { return limits_; }
  const LogicalPool& pool() const { return cluster_.pools()[pool_]; }
  Slot pool_slot() const { return pool_; }
  uint64_t now_ms() const { return now_ms_; }
  const Chunkserver& chunkserver(Slot slot) const { return cluster_.chunkserver(slot); }
  const Copyset& copyset(Slot slot) const { return cluster_.copyset(slot); }

  /// The pool's chunkservers, and those of them that may take replicas.
  const std::vector<Slot>& members() const { return members_; }
  const std::vector<Slot>& usable() const { return usable_; }
  const std::vector<Slot>& copysets() const { return copysets_; }
  /// The copysets with a replica there, learners included, as reported.
  std::span<const Slot> copysets_on(Slot chunkserver) const;

  /// It has an operator, or its leader changes something.
  bool is_busy(Slot copyset) const { return is_busy_[copyset]; }
  /// Not busy, led, with the configured number of voters, all online, and no learner.
  bool is_settled(Slot copyset) const;
  /// Replicas beyond the share (negative: short of it), as planned.
  double surplus(Slot chunkserver) const { return replicas_[chunkserver] - shares_[chunkserver]; }
  double share(Slot chunkserver) const { return shares_[chunkserver]; }
  uint32_t replicas(Slot chunkserver) const { return replicas_[chunkserver]; }
  uint32_t leaders(Slot chunkserver) const { return leaders_[chunkserver]; }
  /// The leader of a copyset, as planned.
  Slot leader(Slot copyset) const { return leader_[copyset]; }
  /// Whether its disk has no room for another replica, with those on their way.
  bool is_filled(Slot chunkserver) const;
  /// Whether its disk and its server may take part in another copy now.
  bool has_place(Slot slot) const {
    return ledger_.admits_endpoint(chunkserver(slot).id, cluster_);
  }

  Crowding crowding(Slot copyset) const;
  /// With `source` (kNoSlot: nobody) replaced by `target` (kNoSlot: by nobody).
  Crowding crowding(Slot copyset, Slot source, Slot target) const;
  /// What the zones and servers that are usable allow at best.
  Crowding crowding_min() const { return crowding_min_; }

  /// The best home for a replica: shares fewest zones and servers with the members that stay, then
  /// is furthest below its share, then has met those members least. kNoSlot: nobody can take it
  /// now.
  Slot choose_target(Slot copyset, Slot source, Priority priority);
  /// Counts the copysets that `chunkserver` shares with each other; holds until the next call.
  void gather_meetings(Slot chunkserver);
  /// Copysets that it shares with the members of `copyset` other than `source`.
  uint32_t meetings(Slot copyset, Slot source) const;

  /// Plans an operator; false: a limit does not let it in now.
  bool add_copy(Slot copyset, Slot source, Slot target, Cause cause, Priority priority,
                std::string reason);
  bool add_removal(Slot copyset, Slot source, Cause cause, Priority priority, std::string reason);
  bool add_transfer(Slot copyset, Slot target, Cause cause, Admission admission,
                    std::string reason);
  void note(NoteKind kind, std::string text) {
    notes_.push_back({.kind = kind, .pool = pool().id, .text = std::move(text)});
  }

  std::vector<OperatorId> take_planned() { return std::move(planned_); }
  std::vector<Note> take_notes() { return std::move(notes_); }

 private:
  void gather();
  void count_operators();
  void set_shares();
  void project(const Operator& op, Slot copyset);
  Operator draft(Slot copyset, Slot source, Slot target) const;
  bool add(Operator op, Slot copyset, Admission admission);
  void clear_meetings();
  void count_meetings(Slot chunkserver);

  const Cluster& cluster_;
  Ledger& ledger_;
  const PlannerLimits& limits_;
  const Slot pool_;
  const uint64_t now_ms_;
  std::vector<Slot> members_;
  std::vector<Slot> usable_;
  std::vector<Slot> copysets_;
  // Who holds what: the copysets of chunkserver s are items_[offsets_[s], offsets_[s + 1]).
  std::vector<uint32_t> offsets_;
  std::vector<Slot> items_;
  // By chunkserver.
  std::vector<uint32_t> replicas_;
  std::vector<uint32_t> leaders_;
  std::vector<uint32_t> incoming_;
  std::vector<double> shares_;
  std::vector<uint32_t> meetings_;  ///< scratch; zero but while a target is chosen
  std::vector<Slot> met_;           ///< which of them are not
  // By copyset.
  std::vector<bool> is_busy_;
  std::vector<Slot> leader_;
  Crowding crowding_min_;
  uint64_t replica_bytes_ = 0;  ///< the mean in this pool, to foresee how disks fill
  std::vector<OperatorId> planned_;
  std::vector<Note> notes_;
};

}  // namespace cairn::placement
