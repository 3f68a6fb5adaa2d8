#include "sim/cluster/heal_operator.h"

#include <algorithm>
#include <set>

#include "store/chunk/chunk_format.h"
#include "wire/chunk.pb.h"
#include "wire/scan.pb.h"
#include "wire/topology.pb.h"

namespace cairn::sim {

namespace {

constexpr Duration kCallMax = 10s;
constexpr Duration kPoll = 500ms;
/// A step that the faults have held up for so long goes on without them.
constexpr Duration kUnderFaultsMax = 60s;
constexpr Duration kStepMax = 240s;
constexpr size_t kUsableMin = 4;  ///< fewer chunkservers are not left
constexpr int kRottenBlocksCount = 100;
constexpr uint64_t kLeftOnFullDisk = 32 * kMiB;  ///< less than chunkservers keep for their logs
constexpr const char* kChunksDirectory = "copysets";

template <class Value>
io::Task<void> store_result(io::Task<Result<Value>> task,
                            std::shared_ptr<std::optional<Result<Value>>> into) {
  into->emplace(co_await std::move(task));
}

template <class Reply, class Request>
io::Task<Result<Reply>> call_server(rpc::Client* rpc, io::Address to, wire::Method method,
                                    Request request) {
  auto answer = CO_TRY(co_await rpc->call<Reply>(to, method, request, {}, kCallMax));
  co_return std::move(answer.message);
}

std::string lacks_unless(bool holds, const char* otherwise) {
  return holds ? "" : otherwise;
}

}  // namespace

HealOperator::HealOperator(World& world, Cluster& cluster, Nemesis& nemesis, Host& host,
                           const ClusterShape& shape)
    : world_(world),
      cluster_(cluster),
      nemesis_(nemesis),
      host_(host),
      shape_(shape),
      rng_(world.fork_rng()) {
  options_.mds = cluster.mds_addresses();
  options_.key = cluster_key();
  rpc_ = std::make_unique<rpc::Client>(host.env(), rpc::ClientOptions(), options_.key);
  mds_ = std::make_unique<client::MdsCaller>(host.env(), *rpc_, options_);
}

HealOperator::~HealOperator() {
  host_.crash(CrashKind::kKill, [this] {
    mds_.reset();
    rpc_.reset();
  });
}

void HealOperator::log(const std::string& what) {
  world_.logger("operator").info(what);
}

// ---- asking

template <class Value>
Result<Value> HealOperator::complete(io::Task<Result<Value>> task) {
  auto result = std::make_shared<std::optional<Result<Value>>>();
  host_.spawn(store_result(std::move(task), result));
  if (!world_.run_until([&] { return result->has_value(); }, 2 * kCallMax)) {
    return error(Errc::kTimeout, "a call did not end in its time");
  }
  return std::move(**result);
}

template <class Reply, class Request>
Result<Reply> HealOperator::ask_mds(wire::Method method, Request request) {
  return complete(
      mds_->call<Reply>(method, std::move(request), host_.env().clock.now() + kCallMax));
}

Result<wire::ClusterStatusReply> HealOperator::status() {
  return ask_mds<wire::ClusterStatusReply>(wire::Method::kClusterStatus,
                                           wire::ClusterStatusRequest());
}

Result<std::vector<wire::CopysetInfo>> HealOperator::copysets() {
  auto reply =
      TRY(ask_mds<wire::GetCopysetsReply>(wire::Method::kGetCopysets, wire::GetCopysetsRequest()));
  return std::vector<wire::CopysetInfo>(reply.copysets().begin(), reply.copysets().end());
}

std::string HealOperator::await(const std::string& what, const Lacks& lacks) {
  const Instant begin = world_.now();
  bool is_healed = false;
  for (std::string lacking; !(lacking = lacks()).empty(); world_.run_for(kPoll)) {
    const Duration waited = world_.now() - begin;
    if (waited > kStepMax) {
      const auto now = status();
      return "liveness: " + what + ": not within " + std::to_string(to_ms(kStepMax)) +
             " ms: " + lacking + "\n" +
             (now.ok() ? now->ShortDebugString() : now.error().describe());
    }
    if (waited > kUnderFaultsMax && !is_healed) {
      is_healed = true;
      ++counts_["steps held up by faults"];
      nemesis_.heal();
    }
  }
  if (is_healed) nemesis_.begin();
  return "";
}

/// By what the MDS says, and by what the servers have: the MDS learns late of a loss.
std::string HealOperator::what_is_missing() {
  const auto now = status();
  const auto all = copysets();
  if (!now.ok() || !all.ok()) return "the MDS does not answer";
  if (all->empty()) return "there are no copysets yet";
  if (now->copysets_without_leader_count() > 0) return "a copyset has no leader";
  const wire::ScheduleStatus& schedule = now->schedule();
  if (schedule.copies_count() + schedule.removals_count() > 0 ||
      schedule.replicas_lost_count() + schedule.replicas_draining_count() > 0 ||
      schedule.copysets_degraded_count() > 0) {
    return "the MDS heals: " + schedule.ShortDebugString();
  }
  const auto sound = sound_replicas();
  for (const wire::CopysetInfo& copyset : *all) {
    for (const wire::NodeAddress& member : copyset.members()) {
      if (sound.contains({member.address(), copyset.copyset()})) continue;
      return "there is no whole replica of copyset " + std::to_string(copyset.copyset()) + " at " +
             member.address();
    }
  }
  return "";
}

std::set<std::pair<std::string, uint64_t>> HealOperator::sound_replicas() {
  std::set<std::pair<std::string, uint64_t>> sound;
  for (auto& node : cluster_.chunkservers()) {
    if (!node->has_started()) continue;
    const auto reply = complete(call_server<wire::CopysetStatusReply>(
        rpc_.get(), node->address(), wire::Method::kCopysetStatus, wire::CopysetStatusRequest()));
    if (!reply.ok()) continue;
    for (const wire::CopysetStatus& replica : reply->copysets()) {
      if (!replica.error().empty() || replica.chunks_missing_count() > 0) continue;
      sound.insert({node->address().text, replica.copyset()});
    }
  }
  return sound;
}

std::string HealOperator::await_whole() {
  return await("every copyset is whole", [this] { return what_is_missing(); });
}

bool HealOperator::is_member_anywhere(uint64_t chunkserver) {
  const auto all = copysets();
  if (!all.ok()) return true;
  return std::ranges::any_of(*all, [&](const wire::CopysetInfo& copyset) {
    return std::ranges::any_of(copyset.members(), [&](const wire::NodeAddress& member) {
      return member.node() == chunkserver;
    });
  });
}

/// Every copyset has been scanned by its leader since the call, all replicas there, none differing.
std::string HealOperator::what_a_scan_finds() {
  const int64_t begin_ns = host_.env().clock.wall_time_ns();
  std::set<uint64_t> open;
  const auto all = copysets();
  if (!all.ok()) return "the MDS does not answer";
  for (const wire::CopysetInfo& copyset : *all) open.insert(copyset.copyset());
  for (auto& node : cluster_.chunkservers()) {
    if (!node->has_started()) continue;
    (void)complete(call_server<wire::StartScanReply>(
        rpc_.get(), node->address(), wire::Method::kStartScan, wire::StartScanRequest()));
  }
  for (const Instant until = world_.now() + 20s; world_.now() < until && !open.empty();) {
    world_.run_for(kPoll);
    for (auto& node : cluster_.chunkservers()) {
      if (!node->has_started()) continue;
      const auto scans = complete(call_server<wire::ScanStatusReply>(
          rpc_.get(), node->address(), wire::Method::kScanStatus, wire::ScanStatusRequest()));
      if (!scans.ok()) continue;
      for (const wire::ScanStatus& scan : scans->scans()) {
        if (scan.is_running() || scan.is_waiting() || scan.finished_at_ns() < begin_ns) continue;
        const uint64_t found = scan.rotten_blocks_count() + scan.differing_blocks_count() +
                               scan.undecided_blocks_count() + scan.absent_replicas_count();
        if (found > 0) return scan.ShortDebugString();
        open.erase(scan.copyset());
      }
    }
  }
  return open.empty() ? "" : "copyset " + std::to_string(*open.begin()) + " was not scanned";
}

std::string HealOperator::await_clean_scan() {
  if (!may_have_rot_) return "";
  std::string failure =
      await("a scan finds all replicas sound", [this] { return what_a_scan_finds(); });
  if (failure.empty()) may_have_rot_ = false;
  return failure;
}

// ---- choosing

uint64_t HealOperator::id_of(const ChunkserverNode& node) {
  const auto now = status();
  if (!now.ok()) return 0;
  for (const wire::ChunkserverInfo& known : now->chunkservers()) {
    if (known.address() == node.address().text) return known.id();
  }
  return 0;
}

size_t HealOperator::usable_count() {
  return static_cast<size_t>(std::ranges::count_if(
      cluster_.chunkservers(), [](const auto& node) { return !node->is_retired(); }));
}

ChunkserverNode* HealOperator::pick_chunkserver() {
  std::vector<ChunkserverNode*> candidates;
  for (auto& node : cluster_.chunkservers()) {
    if (node->has_started() && !node->host().is_paused()) candidates.push_back(node.get());
  }
  return candidates.empty() ? nullptr : candidates[rng_.below(candidates.size())];
}

MdsNode* HealOperator::active_mds() {
  for (auto& mds : cluster_.mds()) {
    if (mds->is_active() && !mds->host().is_paused()) return mds.get();
  }
  return nullptr;
}

std::string HealOperator::set_service(uint64_t chunkserver, wire::ServiceState service) {
  wire::SetChunkserversRequest request;
  request.add_chunkservers(chunkserver);
  request.set_sets_service(true);
  request.set_service(service);
  return await("the service of chunkserver " + std::to_string(chunkserver) + " is set", [&] {
    const auto set = ask_mds<wire::SetChunkserversReply>(wire::Method::kSetChunkservers, request);
    return set.ok() ? std::string() : set.error().describe();
  });
}

std::string HealOperator::forget(uint64_t chunkserver) {
  std::string failure = set_service(chunkserver, wire::SERVICE_RETIRED);
  if (!failure.empty()) return failure;
  wire::RemoveChunkserverRequest request;
  request.set_id(chunkserver);
  return await("chunkserver " + std::to_string(chunkserver) + " is removed", [&] {
    const auto removed =
        ask_mds<wire::RemoveChunkserverReply>(wire::Method::kRemoveChunkserver, request);
    const bool is_gone = removed.ok() || removed.code() == Errc::kNotFound;
    return is_gone ? std::string() : removed.error().describe();
  });
}

// ---- steps

std::string HealOperator::add_one() {
  ChunkserverNode& node = cluster_.add_chunkserver();
  node.start();
  return await(node.host().name() + " is registered",
               [&] { return lacks_unless(id_of(node) != 0, "it is not known"); });
}

std::string HealOperator::drain_one() {
  ChunkserverNode* node = pick_chunkserver();
  const uint64_t id = node ? id_of(*node) : 0;
  if (id == 0 || usable_count() <= kUsableMin) return "";
  log("drain " + node->host().name());
  std::string failure = set_service(id, wire::SERVICE_DRAINING);
  if (failure.empty()) {
    failure = await(node->host().name() + " is drained",
                    [&] { return lacks_unless(!is_member_anywhere(id), "it is a member still"); });
  }
  if (failure.empty()) failure = forget(id);
  if (!failure.empty()) return failure;
  node->retire();
  node->crash(CrashKind::kKill);
  return "";
}

std::string HealOperator::lose_one() {
  std::string failure = await_whole();
  if (failure.empty()) failure = await_clean_scan();
  ChunkserverNode* node = pick_chunkserver();
  const uint64_t id = failure.empty() && node ? id_of(*node) : 0;
  if (id == 0 || usable_count() <= kUsableMin) return failure;
  log("lose " + node->host().name() + " for good");
  node->retire();
  node->crash(CrashKind::kPowerLoss);
  failure = await("the replicas of " + node->host().name() + " are made anew",
                  [&] { return lacks_unless(!is_member_anywhere(id), "it is a member still"); });
  return failure.empty() ? forget(id) : failure;
}

std::string HealOperator::lose_one_for_a_while() {
  std::string failure = await_whole();
  ChunkserverNode* node = pick_chunkserver();
  const uint64_t id = failure.empty() && node ? id_of(*node) : 0;
  if (id == 0 || usable_count() <= kUsableMin) return failure;
  log(node->host().name() + " is away until it was given up");
  node->retire();
  node->crash(rng_.chance(0.5) ? CrashKind::kPowerLoss : CrashKind::kKill);
  failure = await("the replicas of " + node->host().name() + " are made anew",
                  [&] { return lacks_unless(!is_member_anywhere(id), "it is a member still"); });
  node->recall();
  node->start();
  return failure;
}

std::string HealOperator::empty_a_disk() {
  std::string failure = await_whole();
  if (failure.empty()) failure = await_clean_scan();
  ChunkserverNode* node = pick_chunkserver();
  if (!failure.empty() || !node) return failure;
  log("the disk of " + node->host().name() + " comes back empty, under its old identity");
  node->retire();
  node->crash(CrashKind::kPowerLoss);
  SimDisk& disk = node->host().disk();
  disk.take_content(disk, [](const std::string& name) { return name == "identity"; });
  node->recall();
  node->start();
  return await_whole();
}

std::string HealOperator::copy_a_directory() {
  ChunkserverNode* original = pick_chunkserver();
  if (!original) return "";
  log("a copy of the disk of " + original->host().name() + " is started elsewhere");
  nemesis_.heal();  // an original that is silent could not be told from one that has moved
  std::string failure = await(original->host().name() + " serves", [&] {
    return lacks_unless(id_of(*original) != 0, "it is not known");
  });
  if (!failure.empty()) return failure;
  world_.run_for(2s);
  ChunkserverNode& copy = cluster_.add_chunkserver();
  copy.crash(CrashKind::kKill);
  copy.host().disk().take_content(original->host().disk(), [](const auto&) { return true; });
  copy.start();
  world_.run_for(5s);
  const bool was_taken = copy.has_started();
  copy.retire();
  copy.crash(CrashKind::kKill);
  nemesis_.begin();
  return was_taken ? "a copy of a data directory was let in beside its original" : "";
}

std::string HealOperator::fill_a_disk() {
  ChunkserverNode* node = pick_chunkserver();
  if (!node) return "";
  SimDisk& disk = node->host().disk();
  log("the disk of " + node->host().name() + " is full");
  disk.set_capacity(disk.used_bytes() + kLeftOnFullDisk);
  world_.run_for(Duration(rng_.between(1'000'000, 10'000'000) * 1000));
  disk.set_capacity(DiskModel().capacity_bytes);
  return "";
}

std::string HealOperator::rot_blocks() {
  std::string failure = await_whole();
  if (failure.empty()) failure = await_clean_scan();
  ChunkserverNode* node = pick_chunkserver();
  if (!failure.empty() || !node) return failure;
  log("blocks of " + node->host().name() + " rot");
  may_have_rot_ = true;
  SimDisk& disk = node->host().disk();
  std::vector<std::string> files;
  for (const std::string& copyset : disk.names(kChunksDirectory)) {
    const std::string directory = std::string(kChunksDirectory) + "/" + copyset;
    for (const std::string& chunk : disk.names(directory)) files.push_back(directory + "/" + chunk);
  }
  if (files.empty()) return "";
  const chunk::ChunkLayout layout{.chunk_bytes = static_cast<uint32_t>(shape_.chunk_bytes)};
  for (int i = 0; i < kRottenBlocksCount; ++i) {
    const uint64_t at =
        layout.block_offset(rng_.below(layout.blocks_count())) + rng_.below(kBlockBytes);
    (void)disk.corrupt(files[rng_.below(files.size())], at, static_cast<unsigned>(rng_.below(8)));
  }
  return "";
}

std::string HealOperator::stop_and_continue_one() {
  ChunkserverNode* node = pick_chunkserver();
  if (!node) return "";
  log("stop " + node->host().name());
  const uint32_t start = node->starts_count();
  node->host().pause();
  world_.run_for(Duration(rng_.between(500, 15'000) * 1'000'000));
  if (node->is_up() && node->starts_count() == start && node->host().is_paused()) {
    node->host().resume();
  }
  return "";
}

std::string HealOperator::kill_the_active_mds() {
  MdsNode* mds = active_mds();
  if (!mds) return "";
  log("kill " + mds->host().name() + ", the active MDS");
  mds->crash(CrashKind::kKill);
  world_.run_for(Duration(rng_.between(500, 5'000) * 1'000'000));
  if (!mds->is_up()) mds->start();
  return "";
}

std::string HealOperator::pause_the_active_mds() {
  MdsNode* mds = active_mds();
  if (!mds) return "";
  log("stop " + mds->host().name() + ", the active MDS, which will still think that it is");
  const uint32_t start = mds->starts_count();
  mds->host().pause();
  world_.run_for(Duration(rng_.between(500, 8'000) * 1'000'000));
  if (mds->is_up() && mds->starts_count() == start && mds->host().is_paused()) {
    mds->host().resume();
  }
  return "";
}

std::string HealOperator::run() {
  std::vector<Step> steps{
      {"added", &HealOperator::add_one},
      {"drained", &HealOperator::drain_one},
      {"lost for good", &HealOperator::lose_one},
      {"given up and back", &HealOperator::lose_one_for_a_while},
      {"empty disk", &HealOperator::empty_a_disk},
      {"copied directory", &HealOperator::copy_a_directory},
      {"full disk", &HealOperator::fill_a_disk},
      {"rotten blocks", &HealOperator::rot_blocks},
      {"stopped and continued", &HealOperator::stop_and_continue_one},
      {"active MDS killed", &HealOperator::kill_the_active_mds},
      {"active MDS stopped", &HealOperator::pause_the_active_mds},
  };
  for (size_t i = steps.size(); i > 1; --i) std::swap(steps[i - 1], steps[rng_.below(i)]);
  if (std::string failure = await_whole(); !failure.empty()) return failure;
  for (const Step& step : steps) {
    if (!rng_.chance(0.8)) continue;  // swarm: no seed takes all of them
    world_.run_for(Duration(rng_.between(0, 3'000) * 1'000'000));
    std::string failure = (this->*step.take)();
    if (!failure.empty()) return std::string(step.name) + ": " + failure;
    ++counts_[step.name];
  }
  return "";
}

// ---- the end

std::string HealOperator::unevenness() {
  const auto now = status();
  const auto all = copysets();
  if (!now.ok() || !all.ok()) return "the MDS does not answer";
  std::map<uint64_t, std::string> zones;
  std::map<uint64_t, int64_t> replicas, leaders;
  for (const wire::ChunkserverInfo& known : now->chunkservers()) {
    zones[known.id()] = known.zone();
    replicas[known.id()] = leaders[known.id()] = 0;
    if (known.state() != "online") return "chunkserver " + std::to_string(known.id()) + " is away";
  }
  for (const wire::CopysetInfo& copyset : *all) {
    const std::string name = "copyset " + std::to_string(copyset.copyset());
    std::set<std::string> of_members;
    for (const wire::NodeAddress& member : copyset.members()) {
      of_members.insert(zones[member.node()]);
      ++replicas[member.node()];
    }
    if (copyset.members_size() != 3) {
      return name + " has " + std::to_string(copyset.members_size()) + " members";
    }
    if (of_members.size() != 3) return name + " has two members in one zone";
    ++leaders[copyset.leader_node()];
  }
  if (replicas.size() != zones.size()) return "a copyset has a member that is not known";
  // As the planners have it: a replica more or less than the share is even.
  const double share = 3.0 * static_cast<double>(all->size()) / static_cast<double>(zones.size());
  for (const auto& [id, count] : replicas) {
    if (std::abs(static_cast<double>(count) - share) <= std::max(1.0, share / 20)) continue;
    return "chunkserver " + std::to_string(id) + " has " + std::to_string(count) + " replicas of " +
           std::to_string(3 * all->size());
  }
  const auto [least, most] =
      std::ranges::minmax_element(leaders, {}, [](const auto& entry) { return entry.second; });
  const int64_t apart = most->second - least->second;
  if (apart > 1) return "leaders are apart by " + std::to_string(apart);
  return "";
}

std::string HealOperator::settle() {
  std::string failure = await_whole();
  may_have_rot_ = true;  // looked for in any case
  if (failure.empty()) failure = await_clean_scan();
  if (!failure.empty()) return failure;
  failure = await("the cluster is even", [this] { return unevenness(); });
  nemesis_.heal();
  return failure;
}

}  // namespace cairn::sim
