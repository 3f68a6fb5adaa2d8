/// ClusterState: what the metadata server knows, in memory.
///
/// Records are what the store holds; they change only after a commit. Everything else was heard in
/// heartbeats since this process started and is gone with it. Ordered maps: whatever walks them
/// does so in the same order in every run.
///
/// Each fact has one owner:
/// | fact                                                        | owner                         |
/// |-------------------------------------------------------------|-------------------------------|
/// | what is stored                                              | the records                   |
/// | a chunkserver's disk, and when it was heard                 | Chunkserver                   |
/// | a copyset's leader, epoch, members and change, as last told | `placed`                      |
/// | operators under way                                         | `ledger`                      |
/// `placed` also has a row for each chunkserver, as planners want it; place() makes it from the
/// record and from what was heard, and nobody else changes it.
/// Threads: one reactor. References into the maps do not survive a co_await: look again.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/units.h"
#include "io/task.h"
#include "mds/options.h"
#include "placement/ledger.h"
#include "store/kv/meta_store.h"
#include "wire/mds.pb.h"
#include "wire/schedule.pb.h"
#include "wire/session.pb.h"

namespace cairn::mds {

using placement::Liveness;
using placement::OperatorId;

/// The time as planners have it: never 0.
inline uint64_t planners_ms(Instant at) {
  return static_cast<uint64_t>(to_ms(at.time_since_epoch())) + 1;
}

struct Chunkserver {
  wire::ChunkserverRecord record;
  std::set<CopysetId> copysets;  ///< whose records name it

  // Heard:
  std::optional<Instant> heard_at;
  uint64_t used_bytes = 0;  ///< at most the capacity
  uint32_t pool_chunks_ready_count = 0;
  bool is_disk_failed = false;
  std::string disk_error;
  uint32_t disk_write_us = 0;  ///< of a durable write, lately; 0: not known
  /// Copysets that it once had and no longer reports as sound, and since when.
  std::map<CopysetId, Instant> copysets_missing;
  wire::Traffic traffic;

  ChunkserverId id() const { return ChunkserverId(record.id()); }
  placement::Service service() const;
};

/// A copyset's configuration before its first change: of those who begin it together.
inline constexpr Epoch kFoundingEpoch{1};

struct Copyset {
  wire::CopysetRecord record;

  // Heard:
  uint32_t chunks_count = 0;

  CopysetId id() const { return CopysetId(record.id()); }
  bool has_member(ChunkserverId chunkserver) const;
  bool is_created_by(ChunkserverId chunkserver) const;
  size_t majority_count() const { return static_cast<size_t>(record.members_size()) / 2 + 1; }
};

/// A client that has a volume open.
struct Session {
  wire::SessionRecord record;

  // Heard:
  std::optional<Instant> renewed_at;  ///< since this MDS serves; its start counts until then

  SessionId id() const { return SessionId(record.id()); }
};
using Sessions = std::map<SessionId, Session>;

/// Of a volume's record: it can be found by its name.
inline bool is_in_use(const wire::VolumeRecord& volume) {
  return !volume.deleted() && volume.info().deleted_unix_ns() == 0;
}
/// It can be restored until its time is over.
inline bool is_in_bin(const wire::VolumeRecord& volume) {
  return !volume.deleted() && volume.info().deleted_unix_ns() != 0;
}

struct ClusterState {
  wire::ClusterRecord cluster;
  std::map<PoolId, wire::PoolRecord> pools;  ///< one at least, once the cluster was made
  std::map<ChunkserverId, Chunkserver> chunkservers;
  std::map<CopysetId, Copyset> copysets;
  std::map<OperatorId, wire::OperatorRecord> operators;
  std::map<std::string, wire::ZoneRecord> zones;  ///< those that were declared; by name
  std::map<std::pair<std::string, std::string>, wire::ServerRecord> servers;  ///< by zone, name
  std::map<VolumeId, wire::VolumeRecord> volumes;  ///< with those deleted whose chunks are there
  std::map<std::string, VolumeId, std::less<>> volume_names;  ///< of those in use
  std::map<VolumeId, Sessions> sessions;                      ///< of volumes in use; none is empty

  placement::Cluster placed;
  placement::Ledger ledger{placement::LedgerLimits()};

  const Chunkserver* find_address(std::string_view address) const;
  const Chunkserver* find_token(std::string_view token) const;
  /// A volume in use: not deleted, and not in the recycle bin.
  const wire::VolumeRecord* find_volume(std::string_view name) const;
  const wire::VolumeRecord* find_volume(VolumeId id) const;
  size_t volumes_alive_count() const { return volume_names.size(); }

  /// What the copyset's leaders have told; before any has, what the record says.
  const placement::Copyset& told(CopysetId id) const;
  /// Who leads it, as last told. None: not known.
  ChunkserverId leader_of(CopysetId id) const;

  /// The one that is meant when none is named: the oldest.
  const wire::PoolRecord& default_pool() const;
  /// An empty name means the default; null: there is none of that name.
  const wire::PoolRecord* find_pool(std::string_view name) const;
  /// Declared, or named by a chunkserver.
  bool has_zone(const std::string& name) const;
  /// In which physical pool a zone is, whether or not it was declared.
  std::string physical_pool_of(const std::string& zone) const;
  /// The chunkservers that a pool's copysets may lie on.
  std::vector<const Chunkserver*> members_of(const wire::PoolRecord& pool) const;
  size_t copysets_count(PoolId pool) const;
  /// Whether these tags can be told apart beside those that are known: kTagsMax at most.
  bool has_room_for(const google::protobuf::RepeatedPtrField<std::string>& tags) const;

  void set_pool(wire::PoolRecord record);
  void forget_pool(PoolId id);
  /// One that holds no replica, learners included.
  void forget_chunkserver(ChunkserverId id);
  /// Shows a chunkserver to the planners.
  void place(const Chunkserver& chunkserver, Liveness liveness, Instant now);
  /// Those of one volume; empty: none has it open.
  const Sessions& sessions_of(VolumeId id) const;
  const Session* find_session(VolumeId volume, SessionId id) const;
  void set_session(Session session);
  void erase_session(VolumeId volume, SessionId id);

  /// Puts a copyset's record in place of an older one, and into its members' lists.
  void set_copyset(wire::CopysetRecord record);
  /// Records agree with each other; CHECKs.
  void check_invariants() const;

 private:
  using Tags = google::protobuf::RepeatedPtrField<std::string>;
  uint64_t number_of(std::string name);
  placement::TagBits bits_of(const Tags& tags);

  // Planners have numbers and bits instead of names.
  std::map<std::string, uint64_t> numbers_;  ///< of zones, servers and physical pools
  std::map<std::string, uint32_t> tag_bits_;
};

/// Everything of the store; what was heard is empty. An empty store gives an empty state, whose
/// cluster has format version 0.
/// Errors: the store's; kCorrupt, kUnsupported: a record, by its key.
io::Task<Result<ClusterState>> load_state(kv::MetaStore& store);

/// Moves what was heard from an older state into a newly loaded one.
void carry_over(ClusterState& from, ClusterState& into);

// Judgements about a state: pure.

/// `started_at`: since when this process listens; who was not heard since is at best unstable.
Liveness liveness_of(const Chunkserver& chunkserver, Instant started_at, Instant now,
                     const Options& options);
/// As planners see it: one whose disk failed has lost what it held.
Liveness planners_liveness(const Chunkserver& chunkserver, Instant started_at, Instant now,
                           const Options& options);
/// Online and with a disk that works.
bool is_serving(const Chunkserver& chunkserver, Instant started_at, Instant now,
                const Options& options);
/// Whether the copyset has a leader that said so lately.
bool has_leader(const ClusterState& state, CopysetId copyset, Instant now, const Options& options);

/// What new chunks can be put in: free space of the disk, and chunk files that wait in its pool.
uint64_t free_bytes(const Chunkserver& chunkserver, uint64_t chunk_bytes);

inline constexpr std::string_view kDefaultPhysicalPool = "default";
inline constexpr size_t kTagsMax = 64;  ///< different ones in a cluster: placement::TagBits

enum class Health : uint8_t { kOk, kDegraded, kUnavailable };
std::string_view to_string(Health health);

struct HealthReport {
  Health health = Health::kOk;
  std::vector<std::string> problems;  ///< at most kProblemsMax, the worst first
  uint32_t copysets_without_leader_count = 0;
};
inline constexpr size_t kProblemsMax = 20;
HealthReport assess(const ClusterState& state, Instant started_at, Instant now,
                    const Options& options);

/// For the plan of a pool's copysets.
std::vector<placement::ChunkserverSpec> topology_of(const ClusterState& state,
                                                    const wire::PoolRecord& pool);

}  // namespace cairn::mds
