/// The schedulers end to end: heartbeats in, commands out, copysets that follow them, and an MDS
/// that forgets nothing when it is restarted in the middle.
#include "mds/schedule_test.h"

#include <algorithm>

#include "mds/keys.h"
#include "mds/record.h"
#include "mds/schedule.h"

namespace cairn::mds {
namespace testing {

bool FakeGroups::is_alive(uint64_t id) const {
  const auto found = by_id.find(id);
  return found != by_id.end() && found->second->host().is_running();
}

size_t FakeGroups::alive(const FakeGroup& group) const {
  return static_cast<size_t>(
      std::ranges::count_if(group.voters, [&](uint64_t id) { return is_alive(id); }));
}

void GroupedChunkserver::elect(FakeGroup& group) {
  if (shared_.is_alive(group.leader) || shared_.alive(group) < group.voters.size() / 2 + 1) return;
  if (std::ranges::find(group.voters, id) == group.voters.end()) return;
  group.leader = id;
  ++group.epoch;
  group.running.reset();  // what the former leader had begun is left as it is
}

void GroupedChunkserver::give_up(FakeGroup& group, const std::string& why) {
  group.ended.set_operator_id(group.running->operator_id());
  group.ended.set_error(why);
  group.running.reset();
}

void GroupedChunkserver::run(FakeGroup& group) {
  if (!group.running) return;
  if (!shared_.failure.empty()) return give_up(group, shared_.failure);
  if (group.beats_left > 0) {
    --group.beats_left;
    return;
  }
  const bool needs_target = group.running->kind() != wire::CHANGE_REMOVE;
  const bool is_transfer = group.running->kind() == wire::CHANGE_TRANSFER;
  if (needs_target &&
      (!shared_.is_alive(group.running->target()) ||
       (is_transfer && shared_.by_id.at(group.running->target())->hides_replicas))) {
    return give_up(group, "the target does not answer");
  }
  finish(group);
}

void GroupedChunkserver::finish(FakeGroup& group) {
  const wire::CopysetChange change = *group.running;
  group.running.reset();
  group.ended.set_operator_id(change.operator_id());
  ++group.epoch;
  if (change.kind() == wire::CHANGE_TRANSFER) {
    group.leader = change.target();
    ++shared_.transfers_done;
    return;
  }
  std::erase(group.voters, change.source());
  std::erase(group.learners, change.target());
  std::erase(group.learners, change.source());
  if (change.target() != 0) {
    group.voters.push_back(change.target());
    ++shared_.copies_done;
  }
  EXPECT_GE(shared_.alive(group), group.voters.size() / 2 + 1) << "a quorum lost by our own act";
}

void GroupedChunkserver::obey(const wire::CopysetChange& change) {
  ++shared_.changes_told;
  FakeGroup& group = shared_.groups.at(change.copyset());
  if (!shared_.obeys || group.leader != id) return;
  if (group.running && group.running->operator_id() == change.operator_id()) return;
  if (change.epoch() != group.epoch || group.running) {
    group.ended.set_operator_id(change.operator_id());
    group.ended.set_error("another epoch");
    return;
  }
  EXPECT_FALSE(change.kind() != wire::CHANGE_TRANSFER && change.source() == id)
      << "a leader hands over before it leaves";
  group.running = change;
  if (change.kind() == wire::CHANGE_ADD || change.kind() == wire::CHANGE_REPLACE) {
    EXPECT_EQ(change.target_address(), shared_.by_id.at(change.target())->address().text);
    shared_.by_id.at(change.target())->replicas.insert(change.copyset());
    if (std::ranges::find(group.learners, change.target()) == group.learners.end()) {
      group.learners.push_back(change.target());
    }
    ++group.epoch;
    group.beats_left = shared_.beats_per_copy;
  } else {
    group.beats_left = 0;
  }
}

wire::CopysetHeartbeat GroupedChunkserver::report_of(uint64_t copyset,
                                                     const FakeGroup& group) const {
  wire::CopysetHeartbeat report;
  report.set_copyset(copyset);
  report.set_is_leader(group.leader == id);
  report.set_chunks_count(shared_.chunks_count);
  const bool is_member = std::ranges::find(group.voters, id) != group.voters.end() ||
                         std::ranges::find(group.learners, id) != group.learners.end();
  report.set_epoch(is_member ? group.epoch : 1);  // one that left hears of nothing
  for (uint64_t voter : group.voters) report.add_members(voter);
  if (group.leader != id) return report;
  for (uint64_t learner : group.learners) report.add_learners(learner);
  if (group.running) {
    *report.mutable_change() = *group.running;
    if (group.running->target() != 0) {
      report.set_copy_total_bytes(1000);
      report.set_copy_done_bytes(1000 - 1000 * group.beats_left / (shared_.beats_per_copy + 1));
    }
  }
  if (group.ended.operator_id() != 0) *report.mutable_ended() = group.ended;
  return report;
}

wire::HeartbeatRequest GroupedChunkserver::heartbeat() {
  wire::HeartbeatRequest request = FakeChunkserver::heartbeat();
  if (hides_replicas) return request;
  for (uint64_t copyset : replicas) {
    FakeGroup& group = shared_.groups.at(copyset);
    elect(group);
    if (group.leader == id) run(group);
    *request.add_copysets() = report_of(copyset, group);
  }
  return request;
}

void GroupedChunkserver::take(const wire::HeartbeatReply& reply) {
  shared_.by_id[id] = this;
  for (uint64_t copyset : replicas) {
    FakeGroup& group = shared_.groups.at(copyset);
    if (group.leader == id) group.ended.Clear();  // it was heard
  }
  for (const auto& create : reply.create()) {
    FakeGroup& group = shared_.groups[create.copyset()];
    if (group.voters.empty()) {
      for (const auto& member : create.members()) group.voters.push_back(member.node());
    }
    EXPECT_EQ(create.epoch(), 1u);
    EXPECT_FALSE(create.joins() || hides_replicas);
    replicas.insert(create.copyset());
  }
  for (const auto& stray : reply.remove()) {
    FakeGroup& group = shared_.groups.at(stray.copyset());
    EXPECT_EQ(std::ranges::count(group.voters, id), 0) << "a member is no stray";
    EXPECT_EQ(std::ranges::count(group.learners, id), 0);
    replicas.erase(stray.copyset());
  }
  for (const auto& change : reply.changes()) obey(change);
}

GroupedChunkserver& ScheduleTest::add_grouped(std::string zone) {
  const std::string number = std::to_string(chunkservers_.size());
  if (zone.empty()) zone = "z" + number;
  chunkservers_.push_back(std::make_unique<GroupedChunkserver>(
      shared_, world_.add_host("cs" + number), options_.listen, std::move(zone)));
  return grouped(chunkservers_.size() - 1);
}

void ScheduleTest::start_grouped(size_t count) {
  options_.pool.chunkservers_min = static_cast<uint32_t>(count);
  start_mds();
  for (size_t i = 0; i < count; ++i) add_grouped().start();
  ASSERT_TRUE(wait_for_health("ok")) << status().DebugString();
}

wire::ListOperatorsReply ScheduleTest::operators(bool with_ended) {
  wire::ListOperatorsRequest request;
  request.set_with_ended(with_ended);
  for (int attempt = 0; attempt < 3; ++attempt) {
    auto reply = call<wire::ListOperatorsReply>(wire::Method::kListOperators, request);
    if (reply.ok()) return *reply;
  }
  CHECK(false, "the MDS does not answer");
}

std::set<uint64_t> ScheduleTest::operator_ids() {
  std::set<uint64_t> ids;
  const auto reply = operators();
  for (const auto& op : reply.operators()) ids.insert(op.id());
  return ids;
}

std::map<uint64_t, uint32_t> ScheduleTest::leaders() {
  std::map<uint64_t, uint32_t> counts;
  const auto now = status();
  for (const auto& chunkserver : now.chunkservers()) {
    if (chunkserver.state() == "online") counts[chunkserver.id()] = chunkserver.leaders_count();
  }
  return counts;
}

std::map<uint64_t, uint32_t> ScheduleTest::replicas() {
  std::map<uint64_t, uint32_t> counts;
  const auto now = status();
  for (const auto& chunkserver : now.chunkservers()) {
    counts[chunkserver.id()] = chunkserver.copysets_count();
  }
  return counts;
}

uint32_t ScheduleTest::difference(const std::map<uint64_t, uint32_t>& counts) const {
  uint32_t least = UINT32_MAX, most = 0;
  for (const auto& [id, count] : counts) {
    least = std::min(least, count);
    most = std::max(most, count);
  }
  return most - std::min(least, most);
}

std::string ScheduleTest::describe_unfinished() {
  std::string text = operators().DebugString();
  for (const auto& [id, group] : shared_.groups) {
    if (group.running || !group.learners.empty() ||
        shared_.alive(group) != options_.pool.replicas_count) {
      text += "copyset " + std::to_string(id) + ": epoch " + std::to_string(group.epoch) +
              ", leader " + std::to_string(group.leader) + ", voters";
      for (uint64_t voter : group.voters) text += " " + std::to_string(voter);
      text += ", learners";
      for (uint64_t learner : group.learners) text += " " + std::to_string(learner);
      if (group.running) text += ", " + group.running->ShortDebugString();
      text += "\n";
    }
  }
  return text + status().schedule().DebugString();
}

bool ScheduleTest::is_whole() {
  if (count_keys(keys::kOperators) > 0) return false;
  for (const auto& [key, value] : store_.content()) {
    if (!key.starts_with(keys::kCopysets)) continue;
    const auto record = decode_record<wire::CopysetRecord>(key, value);
    CHECK(record.ok());
    const FakeGroup& group = shared_.groups.at(record->id());
    const std::multiset<uint64_t> stored(record->members().begin(), record->members().end());
    if (stored != std::multiset<uint64_t>(group.voters.begin(), group.voters.end())) return false;
    if (!group.learners.empty() || group.running) return false;
    if (shared_.alive(group) != options_.pool.replicas_count) return false;
  }
  return true;
}

}  // namespace testing

namespace {

using testing::ScheduleTest;

TEST_F(ScheduleTest, AFreshClustersLeadersAreEvenedOut) {
  start_grouped(4);
  ASSERT_TRUE(world_.run_until([&] { return shared_.transfers_done > 0; }, 60s));
  world_.run_for(60s);
  EXPECT_LE(difference(leaders()), 1u);
  EXPECT_EQ(count_keys(keys::kOperators), 0u);
  const size_t transfers = shared_.transfers_done;
  world_.run_for(120s);
  EXPECT_EQ(shared_.transfers_done, transfers) << "what is even stays as it is";
  EXPECT_EQ(shared_.copies_done, 0u);
}

TEST_F(ScheduleTest, ALostChunkserverIsReplaced) {
  start_grouped(5);
  const auto lost = replicas()[grouped(2).id];
  ASSERT_GT(lost, 0u);
  grouped(2).crash();
  world_.run_for(8s);
  EXPECT_EQ(shared_.copies_done, 0u) << "it may still return";
  EXPECT_FALSE(is_whole());
  ASSERT_TRUE(wait_until_whole()) << describe_unfinished();
  EXPECT_EQ(shared_.copies_done, lost) << "each replica is made anew once";
  EXPECT_EQ(replicas()[grouped(2).id], 0u);
  world_.run_for(30s);
  EXPECT_LE(difference(leaders()), 1u);
}

TEST_F(ScheduleTest, WithReplicasThatFitNowhereALostOneIsNotReplaced) {
  shared_.chunks_count = 10'000;  // 156 GiB
  start_grouped(4);
  for (size_t i = 0; i < 4; ++i) grouped(i).used_bytes = 850 * kGiB;
  world_.run_for(3s);
  grouped(2).crash();
  world_.run_for(30s);
  EXPECT_EQ(shared_.copies_done, 0u);
  ASSERT_GT(status().schedule().notes_size(), 0);
}

TEST_F(ScheduleTest, WithoutAPlaceForReplicasItSaysSo) {
  start_grouped(3);
  grouped(1).crash();
  world_.run_for(20s);
  const auto schedule = status().schedule();
  EXPECT_GT(schedule.replicas_lost_count(), 0u);
  EXPECT_EQ(schedule.copies_count(), 0u);
  ASSERT_GT(schedule.notes_size(), 0);
  EXPECT_NE(schedule.notes(0).find("have no place"), std::string::npos) << schedule.notes(0);
  add_grouped().start();
  ASSERT_TRUE(wait_until_whole()) << describe_unfinished();
}

TEST_F(ScheduleTest, OperatorsGoOnWithTheNextMds) {
  start_grouped(5);
  world_.run_for(30s);  // the leaders come to rest
  const auto lost = replicas()[grouped(0).id];
  shared_.beats_per_copy = 6;
  grouped(0).crash();
  ASSERT_TRUE(world_.run_until([&] { return count_keys(keys::kOperators) >= 2; }, 60s));
  world_.run_for(2s);
  std::set<uint64_t> before, after;
  for (uint64_t id : operator_ids()) before.insert(id);
  ASSERT_FALSE(before.empty());
  for (int restart = 0; restart < 3; ++restart) {
    restart_mds();
    for (uint64_t id : operator_ids()) after.insert(id);
    world_.run_for(1500ms);
  }
  for (uint64_t id : before)
    EXPECT_TRUE(after.contains(id)) << "operator " << id << " is forgotten";
  // A silent one is offline by the new MDS's own count only.
  ASSERT_TRUE(wait_until_whole()) << describe_unfinished();
  EXPECT_EQ(shared_.copies_done, lost) << "no operator is done twice";
  const auto ended = operators(true);
  for (const auto& op : ended.ended()) EXPECT_EQ(op.outcome(), "done") << op.DebugString();
}

TEST_F(ScheduleTest, IdsOfOperatorsAreNeverGivenTwice) {
  start_grouped(4);
  std::set<uint64_t> seen;
  uint64_t highest = 0;
  for (int restart = 0; restart < 4; ++restart) {
    shared_.obeys = false;
    for (auto& [id, group] : shared_.groups) {  // all leaders on one
      group.leader = group.voters.front();
      ++group.epoch;
    }
    ASSERT_TRUE(world_.run_until([&] { return count_keys(keys::kOperators) > 0; }, 60s));
    for (uint64_t id : operator_ids()) {
      EXPECT_GT(id, highest) << "given before the restart";
      seen.insert(id);
    }
    shared_.obeys = true;
    ASSERT_TRUE(world_.run_until([&] { return count_keys(keys::kOperators) == 0; }, 120s));
    highest = *seen.rbegin();
    restart_mds();
    world_.run_for(10s);
  }
  EXPECT_GT(seen.size(), 4u);
}

TEST_F(ScheduleTest, ANewChunkserverGetsItsShare) {
  options_.pool.copysets_per_chunkserver = 40;
  start_grouped(4);
  add_grouped().start();
  ASSERT_TRUE(world_.run_until([&] { return shared_.copies_done >= 30; }, 600s));
  ASSERT_TRUE(wait_until_whole(600s));
  world_.run_for(60s);
  const auto counts = replicas();
  for (const auto& [id, count] : counts) EXPECT_NEAR(count, 32, 2) << "chunkserver " << id;
  EXPECT_LE(difference(leaders()), 1u);
}

TEST_F(ScheduleTest, AReplicaThatReturnsAfterItWasReplacedIsRemoved) {
  start_grouped(4);
  auto& lost = grouped(3);
  const auto held = lost.replicas;
  ASSERT_FALSE(held.empty());
  lost.crash();
  ASSERT_TRUE(wait_until_whole()) << describe_unfinished();
  EXPECT_EQ(lost.replicas, held) << "it is off and knows nothing";
  lost.boot();
  lost.start();
  ASSERT_TRUE(world_.run_until(
      [&] {
        return std::ranges::all_of(lost.replicas, [&](uint64_t copyset) {
          const auto& group = shared_.groups.at(copyset);
          return std::ranges::count(group.voters, lost.id) == 1 ||
                 std::ranges::count(group.learners, lost.id) == 1;
        });
      },
      60s))
      << "strays are told to go";
  ASSERT_TRUE(wait_until_whole()) << describe_unfinished();
}

TEST_F(ScheduleTest, LateAndRepeatedHeartbeatsChangeNothing) {
  start_grouped(4);
  world_.run_for(30s);
  std::vector<wire::HeartbeatRequest> old;
  for (size_t i = 0; i < 3; ++i) old.push_back(grouped(i).heartbeat());
  grouped(3).crash();
  ASSERT_TRUE(world_.run_until([&] { return shared_.copies_done >= 3; }, 120s));
  for (int round = 0; round < 20; ++round) {
    for (const auto& request : old) {
      const auto reply = call<wire::HeartbeatReply>(wire::Method::kHeartbeat, request);
      ASSERT_TRUE(reply.ok());
      grouped(request.chunkserver() - 1).take(*reply);  // with what it expects of commands
    }
    world_.run_for(300ms);
  }
  ASSERT_TRUE(wait_until_whole()) << describe_unfinished();
}

TEST_F(ScheduleTest, AnOperatorThatIsNotCarriedOutExpires) {
  options_.schedule.planner.timeouts = {
      .copy_ms = 20'000, .remove_ms = 20'000, .transfer_ms = 20'000};
  start_grouped(4);
  world_.run_for(30s);
  shared_.obeys = false;
  grouped(0).crash();
  ASSERT_TRUE(world_.run_until([&] { return count_keys(keys::kOperators) > 0; }, 60s));
  const uint64_t first = operators().operators(0).id();
  world_.run_for(25s);
  const auto reply = operators(true);
  for (const auto& op : reply.operators()) EXPECT_NE(op.id(), first);
  bool is_expired = false;
  for (const auto& op : reply.ended()) {
    is_expired |= op.info().id() == first && op.outcome() == "it was not done in time";
  }
  EXPECT_TRUE(is_expired) << reply.DebugString();
  shared_.obeys = true;
  ASSERT_TRUE(wait_until_whole()) << "the next ones do it";
}

TEST_F(ScheduleTest, AChangeThatFailsIsToldAgainWithRestsAndThenGivenUp) {
  options_.schedule.failures_max = 3;
  options_.retry_delay_min = 4s;
  start_grouped(4);
  world_.run_for(30s);
  grouped(0).crash();
  shared_.failure = "the target has no space";
  const size_t told_before = shared_.changes_told;
  ASSERT_TRUE(wait_for(
      [&] {
        const auto reply = operators(true);
        for (const auto& op : reply.ended()) {
          if (op.outcome() == "failed 3 times, at last: the target has no space") return true;
        }
        return false;
      },
      120s));
  // One copyset at a time on each disk: three tries each, and not one a heartbeat.
  EXPECT_LE(shared_.changes_told - told_before, 40u);
  shared_.failure.clear();
  ASSERT_TRUE(wait_until_whole()) << describe_unfinished();
}

TEST_F(ScheduleTest, AFailedCommitNeitherLosesNorRepeatsAnOperator) {
  start_grouped(5);
  world_.run_for(30s);
  const auto lost = replicas()[grouped(1).id];
  grouped(1).crash();
  for (int step = 0; step < 200 && !(step > 30 && is_whole()); ++step) {
    if (step % 3 == 0) store_.fail_next_commits(static_cast<uint32_t>(1 + step % 2));
    world_.run_for(700ms);
  }
  store_.fail_next_commits(0);
  ASSERT_TRUE(wait_until_whole()) << describe_unfinished();
  EXPECT_EQ(shared_.copies_done, lost);
}

TEST_F(ScheduleTest, TooMuchLostAtOnceIsNotRepaired) {
  start_grouped(5);
  world_.run_for(20s);
  grouped(0).crash();
  grouped(1).crash();
  world_.run_for(60s);
  EXPECT_EQ(shared_.copies_done, 0u);
  const auto schedule = status().schedule();
  bool is_held_back = false;
  for (const auto& note : schedule.notes()) {
    is_held_back |= note.find("recovery waits for them") != std::string::npos;
  }
  EXPECT_TRUE(is_held_back) << schedule.DebugString();
}

TEST_F(ScheduleTest, AFailedDiskIsReplacedAtOnce) {
  start_grouped(4);
  world_.run_for(30s);
  grouped(2).is_disk_failed = true;
  for (auto& [id, group] : shared_.groups) {  // its groups step down
    if (group.leader != grouped(2).id) continue;
    group.leader =
        *std::ranges::find_if(group.voters, [&](uint64_t v) { return v != group.leader; });
    ++group.epoch;
  }
  ASSERT_TRUE(wait_for([&] { return replicas()[grouped(2).id] == 0; }, 120s))
      << describe_unfinished();
}

class LostReplicaTest : public ScheduleTest {
 protected:
  /// One chunkserver loses a replica that it does not lead, and lives on.
  void expect_healed_with(size_t chunkservers_count) {
    start_grouped(chunkservers_count);
    world_.run_for(30s);
    testing::GroupedChunkserver& loser = grouped(2);
    const auto lost = std::ranges::find_if(
        loser.replicas, [&](uint64_t id) { return shared_.groups.at(id).leader != loser.id; });
    ASSERT_NE(lost, loser.replicas.end());
    const uint64_t copyset = *lost;
    loser.replicas.erase(lost);
    const testing::FakeGroup& group = shared_.groups.at(copyset);
    const auto is_healed = [&] {
      const bool is_member = std::ranges::find(group.voters, loser.id) != group.voters.end();
      return group.voters.size() == 3 && is_member == loser.replicas.contains(copyset);
    };
    ASSERT_FALSE(is_healed());
    const size_t told = shared_.changes_told;
    world_.run_for(2s);
    EXPECT_EQ(shared_.changes_told, told) << "it may only be starting";
    EXPECT_TRUE(wait_for(is_healed, 120s)) << describe_unfinished();
    EXPECT_TRUE(wait_for_health("ok")) << status().DebugString();
  }
};

TEST_F(LostReplicaTest, IsReplacedByAnotherChunkservers) {
  expect_healed_with(4);
}

TEST_F(LostReplicaTest, IsMadeAnewInItsPlaceWhereThereIsNoOther) {
  expect_healed_with(3);
}

// (Profile heal of the simulator, seed 8: it was told to make a blank one, which counted as sound.)
TEST_F(LostReplicaTest, IsReplacedThoughTheMdsHasNeverHeardOfIt) {
  start_grouped(4);
  world_.run_for(30s);
  testing::GroupedChunkserver& emptied = add_grouped();
  emptied.hides_replicas = true;
  emptied.start();
  const auto voter_of = [&] {
    std::set<uint64_t> copysets;
    for (const auto& [id, group] : shared_.groups) {
      if (std::ranges::find(group.voters, emptied.id) != group.voters.end()) copysets.insert(id);
    }
    return copysets;
  };
  ASSERT_TRUE(wait_for([&] { return !voter_of().empty(); }, 60s)) << describe_unfinished();
  const uint64_t copyset = *voter_of().begin();
  EXPECT_TRUE(wait_for([&] { return !voter_of().contains(copyset); }, 60s));
}

TEST_F(ScheduleTest, ASlowDiskLeadsNothingWhileItIsSlow) {
  start_grouped(4);
  for (size_t i = 0; i < 4; ++i) grouped(i).disk_write_us = 1000;
  ASSERT_TRUE(wait_for([&] { return difference(leaders()) <= 1 && leaders().size() == 4; }, 120s));
  grouped(2).disk_write_us = 100'000;
  ASSERT_TRUE(wait_for([&] { return leaders()[grouped(2).id] == 0; }, 60s));
  world_.run_for(60s);
  EXPECT_EQ(leaders()[grouped(2).id], 0u);
  EXPECT_EQ(status().health(), "degraded");
  grouped(2).disk_write_us = 1000;
  EXPECT_TRUE(wait_for([&] { return leaders()[grouped(2).id] > 0; }, 60s));
}

TEST_F(ScheduleTest, ACancelledOperatorIsGoneAndSaysSo) {
  start_grouped(4);
  world_.run_for(30s);
  shared_.obeys = false;
  grouped(0).crash();
  ASSERT_TRUE(world_.run_until([&] { return count_keys(keys::kOperators) > 0; }, 60s));
  wire::CancelOperatorRequest request;
  request.set_id(*operator_ids().begin());
  ASSERT_TRUE(call<wire::CancelOperatorReply>(wire::Method::kCancelOperator, request).ok());
  EXPECT_FALSE(operator_ids().contains(request.id()));
  const auto again = call<wire::CancelOperatorReply>(wire::Method::kCancelOperator, request);
  EXPECT_EQ(again.code(), Errc::kNotFound);
  restart_mds();
  EXPECT_FALSE(operator_ids().contains(request.id())) << "it does not come back";
  request.set_id(4711);
  EXPECT_EQ(call<wire::CancelOperatorReply>(wire::Method::kCancelOperator, request).code(),
            Errc::kNotFound);
  shared_.obeys = true;
  ASSERT_TRUE(wait_until_whole()) << describe_unfinished();
}

TEST_F(ScheduleTest, LeadersAreEvenedOutAtOnceOnRequest) {
  options_.schedule.planner.leader_rest_ms = 3'600'000;  // so long nothing moves by itself
  start_grouped(4);
  world_.run_for(20s);
  for (auto& [id, group] : shared_.groups) {
    group.leader = *std::ranges::min_element(group.voters);
    ++group.epoch;
  }
  world_.run_for(10s);
  ASSERT_GT(difference(leaders()), 1u) << "they rest";
  wire::BalanceLeadersRequest request;
  request.set_pool("nowhere");
  EXPECT_EQ(call<wire::BalanceLeadersReply>(wire::Method::kBalanceLeaders, request).code(),
            Errc::kNotFound);
  request.set_pool("default");
  const auto reply = call<wire::BalanceLeadersReply>(wire::Method::kBalanceLeaders, request);
  ASSERT_TRUE(reply.ok());
  EXPECT_GT(reply->transfers_count(), 0u);
  world_.run_for(10s);
  EXPECT_LE(difference(leaders()), 1u);
}

TEST_F(ScheduleTest, ACopysetIsShownWithWhatIsUnderWay) {
  start_grouped(4);
  world_.run_for(30s);
  shared_.beats_per_copy = 20;
  grouped(0).crash();
  world_.run_for(16s);  // until it is given up, and copies are on their way
  const auto under_way = operators();
  ASSERT_GT(under_way.operators_size(), 0);
  wire::ShowCopysetRequest request;
  request.set_copyset(under_way.operators(0).copyset());
  const auto shown = call<wire::ShowCopysetReply>(wire::Method::kShowCopyset, request);
  ASSERT_TRUE(shown.ok());
  EXPECT_EQ(shown->under_way().id(), under_way.operators(0).id());
  std::multiset<std::string> roles, states;
  for (const auto& member : shown->members()) {
    roles.insert(member.role());
    states.insert(member.state());
  }
  EXPECT_EQ(roles.count("leader"), 1u);
  EXPECT_EQ(roles.count("voter"), 2u);
  EXPECT_EQ(roles.count("learner"), 1u);
  EXPECT_EQ(states.count("offline"), 1u);
  const auto schedule = status().schedule();
  EXPECT_GT(schedule.copies_left(), 0);
  EXPECT_GT(schedule.left_ms(), 0) << schedule.DebugString();
  request.set_copyset(4711);
  EXPECT_EQ(call<wire::ShowCopysetReply>(wire::Method::kShowCopyset, request).code(),
            Errc::kNotFound);
  ASSERT_TRUE(wait_until_whole()) << describe_unfinished();
  EXPECT_EQ(status().schedule().copies_left(), 0);
}

TEST(Pace, FollowsThePresentAndNotTheMeanSinceTheBeginning) {
  Pace pace;
  Instant now{1000s};
  EXPECT_EQ(pace.time_for(0), Duration::zero());
  EXPECT_EQ(pace.time_for(5), std::nullopt) << "nothing is known yet";
  pace.sample(0, now);
  pace.sample(0, now += 10s);
  EXPECT_EQ(pace.time_for(5), std::nullopt) << "nothing moves";
  for (int i = 1; i <= 10; ++i) pace.sample(i, now += 1s);
  EXPECT_EQ(pace.time_for(5), 10s) << "ten in twenty seconds";
  for (int i = 0; i < 100; ++i) pace.sample(10 + 2 * i, now += 1s);
  EXPECT_NEAR(static_cast<double>(to_ms(*pace.time_for(10))), 5000, 100) << "twice as fast now";
  pace.sample(3, now += 1s);  // half-done copies were given up
  EXPECT_EQ(pace.time_for(5), std::nullopt);
}

}  // namespace
}  // namespace cairn::mds
