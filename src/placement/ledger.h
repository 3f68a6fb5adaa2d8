/// Ledger: the operators that are under way, and the limits on how many may be.
///
/// A copyset has one operator at most. Copies of data are limited by disk, server and cluster;
/// balancing (Priority::kLow) leaves a part of the cluster's places free, so that a recovery never
/// waits for it. Transfers of leadership cost no copy and have limits of their own.
///
/// The MDS stores each operator when it is added and deletes it when it is over; after a change of
/// MDS the ledger is made anew from what was stored, and goes on.
/// Threads:  none of its own; one owner.
#pragma once

#include <map>
#include <optional>
#include <unordered_map>

#include "placement/operator.h"

namespace cairn::placement {

struct LedgerLimits {
  uint32_t copies_per_chunkserver = 2;  ///< in and out together
  uint32_t copies_per_server = 8;
  uint32_t copies_in_cluster = 1000;
  double low_priority_part = 0.5;           ///< of copies_in_cluster; at least one place
  uint32_t transfers_per_chunkserver = 10;  ///< that bring it a leader
  uint32_t transfers_in_cluster = 1000;
};

enum class Admission : uint8_t {
  kLimited,
  kForced,  ///< an operator's explicit wish: only "one a copyset" holds
};

class Ledger {
 public:
  explicit Ledger(LedgerLimits limits) : limits_(limits) {}

  /// Takes up what was stored, in whatever number: limits hold for what is added later. `last` is
  /// the highest id that may ever have been given: none is given twice.
  /// CHECKs that the ids are unique and that no copyset has two.
  void restore(const std::vector<Operator>& operators, const Cluster& cluster,
               OperatorId last = {});

  /// Whether there is a place for a copy from `sender` to `target`.
  bool admits_copy(Priority priority, ChunkserverId sender, ChunkserverId target,
                   const Cluster& cluster) const;
  /// Whether `endpoint` may feed or take one more, whatever the other end.
  bool admits_endpoint(ChunkserverId endpoint, const Cluster& cluster) const;
  /// Whether any copy of this priority can be admitted: planners stop when not.
  bool has_room_for_copies(Priority priority) const;
  bool admits_transfer(ChunkserverId target) const;
  uint32_t transfers_left() const;
  bool admits_removal() const;

  /// Errors: kAlreadyExists  the copyset has one; kOverloaded  a limit; nothing was added.
  Result<OperatorId> add(Operator op, const Cluster& cluster,
                         Admission admission = Admission::kLimited);
  /// The operator's step; one that is over leaves the ledger. With none: nothing.
  std::optional<Step> advance(CopysetId copyset, const Cluster& cluster, uint64_t now_ms);
  /// All steps that end something: for copysets whose leaders no longer report.
  std::vector<std::pair<Operator, Step>> sweep(const Cluster& cluster, uint64_t now_ms);
  /// False: there is none with this id.
  bool cancel(OperatorId id);

  const Operator* find(CopysetId copyset) const;
  /// In the order of their ids.
  std::vector<const Operator*> list() const;
  size_t count() const { return by_copyset_.size(); }
  const LedgerLimits& limits() const { return limits_; }

  void check_invariants() const;

 private:
  struct Held {
    Operator op;
    ServerId target_server;  ///< as counted: the topology may change meanwhile
    ServerId sender_server;
  };
  void occupy(const Held& held, int32_t by);
  void insert(Operator op, const Cluster& cluster);
  void erase(CopysetId copyset);
  static uint32_t count_of(const auto& counts, auto id) {
    const auto found = counts.find(id);
    return found == counts.end() ? 0 : found->second;
  }

  LedgerLimits limits_;
  OperatorId last_;
  std::unordered_map<CopysetId, Held> by_copyset_;
  std::map<OperatorId, CopysetId> by_id_;
  std::unordered_map<ChunkserverId, uint32_t> copies_by_chunkserver_;
  std::unordered_map<ServerId, uint32_t> copies_by_server_;
  std::unordered_map<ChunkserverId, uint32_t> transfers_by_chunkserver_;
  uint32_t copies_ = 0;
  uint32_t copies_low_ = 0;
  uint32_t transfers_ = 0;
  uint32_t removals_ = 0;
};

/// Whether a replica that a chunkserver reports belongs nowhere and is to be deleted: its copyset's
/// leader has spoken, it is no member, and nobody is about to make it one.
bool is_stray(const Cluster& cluster, const Ledger& ledger, CopysetId copyset,
              ChunkserverId chunkserver, Epoch replica_epoch);

}  // namespace cairn::placement
