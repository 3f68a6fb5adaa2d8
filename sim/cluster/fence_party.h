/// FenceParty: one of the two clients of the fence profile.
/// Threads: one.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "client/cluster.h"
#include "client/volume.h"
#include "sim/check/history.h"
#include "sim/cluster/plan.h"
#include "sim/io/world.h"
#include "wire/mds.pb.h"

namespace cairn::sim {

/// What both parties see and the run ends with.
struct FenceBoard {
  explicit FenceBoard(History& of) : history(of) {}
  void blame(std::string what) {
    if (violation.empty()) violation = std::move(what);
  }
  History& history;
  uint32_t owner_round = 0;  ///< the last whose open has returned; only its owner may succeed
  uint64_t ops_count = 0;
  uint64_t failed_ops_count = 0;
  uint64_t refused_ops_count = 0;  ///< by a fence
  std::string violation;
};

class FenceParty {
 public:
  /// `number` from 1; its writes bear it.
  FenceParty(Host& host, uint32_t number, const Plan& plan, std::vector<io::Address> mds,
             FenceBoard& board);
  ~FenceParty();
  FenceParty(const FenceParty&) = delete;
  FenceParty& operator=(const FenceParty&) = delete;

  Host& host() { return host_; }
  io::Task<Status> create_volume();
  /// Takes the volume, reads, sees that nothing changes, and leaves its writers at work when it
  /// returns. What is wrong stands on the board. An error: the volume could not be had in time.
  io::Task<Status> play_round(uint32_t round);
  /// Ends the writers and closes the volume.
  io::Task<Status> retire();

 private:
  static constexpr uint32_t kVolume = 0;
  static constexpr uint32_t kBlocksCount = 12;
  static constexpr size_t kWritersCount = 4;

  uint64_t offset_of(uint32_t block) const;
  io::Task<Status> take(uint32_t round);
  /// Until it succeeds; a stale fence is a violation.
  io::Task<Status> read_surely(uint32_t block, uint64_t* value);
  io::Task<Status> check_unchanged(bool may_hold_own);
  void begin_work();
  io::Task<void> write_on(Rng rng);
  io::Task<void> read_on(Rng rng);
  io::Task<void> pause(Duration at_most);
  /// An operation of this party ended; it began when `owner_then` was the owner's round.
  bool note(const Status& result, uint32_t owner_then, const char* what);

  Host& host_;
  const uint32_t number_;
  const Plan plan_;
  FenceBoard& board_;
  io::Env env_;
  Rng rng_;
  std::unique_ptr<client::Cluster> cluster_;
  std::unique_ptr<client::Volume> volume_;
  uint32_t round_ = 0;
  bool is_retiring_ = false;
  size_t workers_count_ = 0;
  uint32_t next_sequence_ = 1;
  uint32_t first_sequence_ = 1;  ///< of this round
  std::map<uint32_t, uint64_t> first_seen_;
};

}  // namespace cairn::sim
