/// Chunkservers whose copysets are what Raft makes of them: they elect leaders, carry out changes
/// step by step, and refuse commands of other epochs.
#pragma once

#include <optional>

#include "mds/service_test.h"
#include "wire/schedule.pb.h"

namespace cairn::mds::testing {

struct FakeGroup {
  uint64_t epoch = 1;
  uint64_t leader = 0;
  std::vector<uint64_t> voters;
  std::vector<uint64_t> learners;
  std::optional<wire::CopysetChange> running;
  uint32_t beats_left = 0;  ///< of its leader, until the change is done
  wire::CopysetChangeOutcome ended;
};

class GroupedChunkserver;

/// What the chunkservers of one cluster share.
struct FakeGroups {
  std::map<uint64_t, FakeGroup> groups;
  std::map<uint64_t, GroupedChunkserver*> by_id;
  uint32_t beats_per_copy = 3;
  uint32_t chunks_count = 0;  ///< of every replica
  bool obeys = true;          ///< false: commands are not heard
  std::string failure;        ///< not empty: every change fails so
  size_t changes_told = 0;
  size_t copies_done = 0;
  size_t transfers_done = 0;

  bool is_alive(uint64_t id) const;
  size_t alive(const FakeGroup& group) const;
};

class GroupedChunkserver : public FakeChunkserver {
 public:
  GroupedChunkserver(FakeGroups& shared, sim::Host& host, io::Address mds, std::string zone)
      : FakeChunkserver(host, std::move(mds), std::move(zone)), shared_(shared) {}

  wire::HeartbeatRequest heartbeat() override;
  void take(const wire::HeartbeatReply& reply) override;

  std::set<uint64_t> replicas;
  bool hides_replicas = false;  ///< as if its disk was emptied whenever it has got one

 private:
  void elect(FakeGroup& group);
  void run(FakeGroup& group);
  void give_up(FakeGroup& group, const std::string& why);
  void finish(FakeGroup& group);
  void obey(const wire::CopysetChange& change);
  wire::CopysetHeartbeat report_of(uint64_t copyset, const FakeGroup& group) const;

  FakeGroups& shared_;
};

class ScheduleTest : public MdsTest {
 protected:
  explicit ScheduleTest(uint64_t seed = 42) : MdsTest(seed) {
    options_.unstable_after = 3s;
    options_.offline_after = 10s;
    options_.schedule.interval = 1s;
    options_.schedule.planner.leader_rest_ms = 5000;
  }
  ~ScheduleTest() override { chunkservers_.clear(); }  // before what they share

  GroupedChunkserver& add_grouped(std::string zone = {});
  GroupedChunkserver& grouped(size_t index) {
    return static_cast<GroupedChunkserver&>(*chunkservers_[index]);
  }
  /// As many zones as chunkservers.
  void start_grouped(size_t count);

  wire::ListOperatorsReply operators(bool with_ended = false);
  std::set<uint64_t> operator_ids();
  /// The MDS's view, by chunkserver.
  std::map<uint64_t, uint32_t> leaders();
  std::map<uint64_t, uint32_t> replicas();
  uint32_t difference(const std::map<uint64_t, uint32_t>& counts) const;
  /// Every copyset has its members alive, in the store's records too, and no operator is left.
  bool is_whole();
  std::string describe_unfinished();
  bool wait_until_whole(Duration limit = 300s) {
    return world_.run_until([&] { return is_whole(); }, limit);
  }

  /// For conditions that ask the MDS.
  bool wait_for(const std::function<bool()>& done, Duration limit) {
    for (Duration waited{}; waited < limit; waited += 250ms) {
      if (done()) return true;
      world_.run_for(250ms);
    }
    return done();
  }

  FakeGroups shared_;
};

}  // namespace cairn::mds::testing
