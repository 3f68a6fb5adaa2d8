/// Cluster: what the planners know, in tables that fit a million copysets.
///
/// Chunkservers, logical pools and copysets stand in vectors; everything refers to a row by its
/// Slot (4 bytes), so that a copyset with its members takes less than 100 bytes. Ids are looked up
/// once, when something enters. The tables are updated in place from heartbeats; what planners need
/// beyond that (who holds what) they gather in one pass (pool_round.h), which is cheaper than
/// keeping it up to date in every heartbeat.
///
/// Units:    bytes; times are milliseconds of the caller's clock, any origin, never 0.
/// Threads:  none of its own; one owner.
/// Source:   docs/architecture.md, "Who plans what".
#pragma once

#include <array>
#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "placement/copyset_plan.h"
#include "placement/segment_plan.h"

namespace cairn::placement {

/// A row of one of the tables; stays the same while the row exists.
using Slot = uint32_t;
inline constexpr Slot kNoSlot = UINT32_MAX;
inline constexpr uint32_t kLearnersMax = 3;
inline constexpr size_t kCopysetsMax = 4'000'000;

enum class Liveness : uint8_t {
  kOnline,
  kUnstable,  ///< missed heartbeats: takes nothing new, is not given up
  kOffline,   ///< given up: its replicas are made anew elsewhere
};

enum class Service : uint8_t {
  kReadWrite,
  kDraining,  ///< serves what it has while that is moved away
  kRetired,   ///< not to be used again; emptied like one that drains
};

std::string_view to_string(Liveness liveness);
std::string_view to_string(Service service);

/// Chunkservers are chosen for a pool by marks such as "ssd", each a bit that the caller assigns.
using TagBits = uint64_t;

struct Chunkserver {
  ChunkserverId id;  ///< none: the row is free
  ServerId server;
  ZoneId zone;
  PoolId physical_pool;
  TagBits tags = 0;
  uint64_t capacity_bytes = 0;
  uint64_t used_bytes = 0;
  uint64_t heartbeat_ms = 0;     ///< of the last one
  uint64_t online_since_ms = 0;  ///< when it last came back
  uint32_t write_us = 0;         ///< what a durable write takes, lately; 0: not known
  Liveness liveness = Liveness::kOnline;
  Service service = Service::kReadWrite;
  uint32_t replicas_count = 0;  ///< voters and learners, kept by Cluster
  uint32_t leaders_count = 0;   ///< kept by Cluster

  bool is_online() const { return liveness == Liveness::kOnline; }
  /// May be given replicas and leaders.
  bool is_usable() const { return is_online() && service == Service::kReadWrite; }
};

/// A part of a physical pool: the chunkservers that bear all of its tags.
struct LogicalPool {
  PoolId id;
  PoolId physical_pool;
  TagBits tags_required = 0;
  uint32_t replicas_count = 3;
};

/// A change of configuration that a copyset's leader has under way.
enum class ChangeKind : uint8_t { kNone, kAdd, kRemove, kChange, kTransfer };

struct Copyset {
  CopysetId id;  ///< none: the row is free
  Epoch epoch;
  uint64_t reported_ms = 0;      ///< last word of its leader; 0: none since this process began
  uint64_t leader_since_ms = 0;  ///< when a change of leader was seen; 0: none was
  uint64_t data_bytes = 0;       ///< of one replica, as its leader told last
  /// Voters, then learners.
  std::array<Slot, kReplicasMax + kLearnersMax> replicas{};
  Slot leader = kNoSlot;
  Slot change_target = kNoSlot;
  Slot pool = kNoSlot;
  uint8_t voters_count = 0;
  uint8_t learners_count = 0;
  ChangeKind change = ChangeKind::kNone;

  std::span<const Slot> voters() const { return {replicas.data(), voters_count}; }
  std::span<const Slot> learners() const {
    return {replicas.data() + voters_count, learners_count};
  }
  std::span<const Slot> all() const {
    return {replicas.data(), static_cast<size_t>(voters_count) + learners_count};
  }
  bool has_voter(Slot slot) const;
  bool has_replica(Slot slot) const;
  uint32_t quorum() const { return voters_count / 2u + 1; }
};
static_assert(sizeof(Copyset) <= 96, "a million of them are to fit");

/// A copyset as its leader tells it.
struct CopysetReport {
  CopysetId copyset;
  Epoch epoch;
  ChunkserverId leader;
  std::span<const ChunkserverId> voters;
  std::span<const ChunkserverId> learners;
  ChangeKind change = ChangeKind::kNone;
  ChunkserverId change_target;  ///< the replica that comes, or goes with kRemove
  uint64_t data_bytes = 0;      ///< what the leader's replica holds
};

enum class ReportOutcome : uint8_t {
  kSame,                ///< as known; only the time was noted
  kUpdated,             ///< something changed: to be persisted if the epoch did
  kStale,               ///< an older epoch than known; ignored
  kConflict,            ///< the known epoch with other members or another leader; ignored
  kUnknownCopyset,      ///< ignored
  kUnknownChunkserver,  ///< a member is not in the topology; ignored
  kMalformed,           ///< no voter, too many replicas or one twice; ignored
};

struct LivenessLimits {
  uint64_t unstable_after_ms = 30'000;
  uint64_t offline_after_ms = 1'800'000;
};

Liveness liveness_of(uint64_t heartbeat_ms, uint64_t now_ms, const LivenessLimits& limits);

class Cluster {
 public:
  /// Adds a chunkserver, or replaces what is known of it; its counts are kept.
  /// Errors: kInvalidArgument  no id; kNoSpace  kPlanChunkserversMax are there.
  Status put_chunkserver(const Chunkserver& chunkserver);
  /// Errors: kNotFound; kPreconditionFailed  it still has replicas; nothing was done.
  Status remove_chunkserver(ChunkserverId id);
  /// Adds a pool or replaces it. Errors: kInvalidArgument  replicas out of range.
  Status put_pool(const LogicalPool& pool);
  /// Adds a copyset as it was created or persisted; its leader is unknown until it reports.
  /// Errors: kAlreadyExists, kNotFound (pool or chunkserver), kInvalidArgument (members), kNoSpace.
  Status add_copyset(CopysetId id, PoolId pool, Epoch epoch, std::span<const ChunkserverId> voters);
  Status remove_copyset(CopysetId id);

  /// Epochs guard: only what is newer than known changes anything.
  ReportOutcome apply_report(const CopysetReport& report, uint64_t now_ms);
  /// The leader that is known says that it leads no more. A word of an older epoch, or of somebody
  /// else, changes nothing.
  void step_down(CopysetId id, ChunkserverId leader, Epoch epoch, uint64_t now_ms);
  /// Whether a replica that its chunkserver should hold is gone there, or damaged, while the
  /// chunkserver lives. Forgotten when the replica leaves its copyset.
  void set_out_of_service(CopysetId copyset, ChunkserverId chunkserver, bool is_out);
  /// Takes what another table had heard and this one has not: for tables that were made anew from
  /// records. Rows that are not here are left out, and so is what is older than here.
  void take_over(const Cluster& other);
  /// Notes that a chunkserver lives, and its disk. False: it is unknown.
  bool apply_heartbeat(ChunkserverId id, uint64_t capacity_bytes, uint64_t used_bytes,
                       uint64_t now_ms);
  /// Sets liveness from the heartbeats' times; the number of chunkservers that changed.
  uint32_t sweep_liveness(uint64_t now_ms, const LivenessLimits& limits);
  void set_liveness(Slot slot, Liveness liveness, uint64_t now_ms);
  void set_service(Slot slot, Service service);
  /// What people call a zone; without a name its number stands for it.
  void name_zone(ZoneId zone, std::string name) { zone_names_[zone] = std::move(name); }
  std::string zone_name(ZoneId zone) const;

  std::span<const Chunkserver> chunkservers() const { return chunkservers_; }
  std::span<const LogicalPool> pools() const { return pools_; }
  std::span<const Copyset> copysets() const { return copysets_; }
  Slot find_chunkserver(ChunkserverId id) const;
  Slot find_pool(PoolId id) const;
  Slot find_copyset(CopysetId id) const;
  const Chunkserver& chunkserver(Slot slot) const { return chunkservers_[slot]; }
  const Copyset& copyset(Slot slot) const { return copysets_[slot]; }
  bool is_in_pool(const Chunkserver& chunkserver, const LogicalPool& pool) const;
  /// Copyset and chunkserver, of each replica that is out of service; nearly always none.
  const std::set<std::pair<Slot, Slot>>& out_of_service() const { return out_of_service_; }
  bool is_out_of_service(Slot copyset, Slot chunkserver) const {
    return !out_of_service_.empty() && out_of_service_.contains({copyset, chunkserver});
  }
  /// Members that answer, and have the replica. A copyset with fewer than its quorum can neither
  /// write nor change.
  uint32_t online_voters(const Copyset& copyset) const;

  void check_invariants() const;

 private:
  ReportOutcome read_members(const CopysetReport& report, Copyset& into) const;
  void count(const Copyset& copyset, int32_t by);
  void forget_out_of_service(Slot copyset, const Copyset& members);

  std::vector<Chunkserver> chunkservers_;
  std::vector<LogicalPool> pools_;
  std::vector<Copyset> copysets_;
  std::vector<Slot> free_copysets_;
  std::unordered_map<ChunkserverId, Slot> chunkserver_slots_;
  std::unordered_map<CopysetId, Slot> copyset_slots_;
  std::unordered_map<ZoneId, std::string> zone_names_;
  std::set<std::pair<Slot, Slot>> out_of_service_;  ///< of replicas that are members
};

/// The copysets of a pool that may take new chunks, for plan_segment: all members are online and
/// read-write, with the space of the fullest.
std::vector<CopysetSpace> segment_candidates(const Cluster& cluster, PoolId pool);

}  // namespace cairn::placement
