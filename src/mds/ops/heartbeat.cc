#include <algorithm>
#include <set>

#include "mds/keys.h"
#include "mds/operators.h"
#include "mds/ops/heartbeat_changes.h"
#include "mds/ops/ops.h"
#include "mds/validate.h"

namespace cairn::mds::ops {

namespace {

/// Told at once; the rest follows with the next heartbeats.
constexpr int kCreatesPerReplyMax = 1024;
/// Records that one heartbeat may change.
constexpr size_t kChangesPerHeartbeatMax = 1024;

Result<Chunkserver*> find_sender(Context& mds, const wire::HeartbeatRequest& request) {
  const auto found = mds.state.chunkservers.find(ChunkserverId(request.chunkserver()));
  if (found == mds.state.chunkservers.end()) {
    return error(Errc::kNotFound,
                 "chunkserver " + std::to_string(request.chunkserver()) +
                     " is not registered in cluster '" + mds.state.cluster.name() +
                     "': it has another MDS's identity, or this MDS lost its store");
  }
  if (found->second.record.token() != request.token()) {
    return error(Errc::kInvalidArgument, "chunkserver " + std::to_string(request.chunkserver()) +
                                             " is registered with another disk; the one at " +
                                             request.address() +
                                             " has to register with its own token");
  }
  return &found->second;
}

/// What the heartbeat counts, over the time since the one before.
wire::Traffic traffic_of(const wire::HeartbeatRequest& request, Duration since) {
  wire::Traffic traffic;
  const double seconds = std::chrono::duration<double>(since).count();
  const auto rate = [&](uint64_t count) { return static_cast<double>(count) / seconds; };
  const auto mean = [](uint64_t sum, uint64_t count) {
    return count == 0 ? 0.0 : static_cast<double>(sum) / static_cast<double>(count);
  };
  traffic.set_reads_per_s(rate(request.reads()));
  traffic.set_writes_per_s(rate(request.writes()));
  traffic.set_read_bytes_per_s(rate(request.read_bytes()));
  traffic.set_written_bytes_per_s(rate(request.written_bytes()));
  traffic.set_read_us(mean(request.reads_us(), request.reads()));
  traffic.set_write_us(mean(request.writes_us(), request.writes()));
  return traffic;
}

void take_in_traffic(Chunkserver& sender, const wire::HeartbeatRequest& request, Instant now) {
  // The first one since this MDS serves may count for much longer than anybody knows.
  if (!sender.heard_at || now <= *sender.heard_at) return;
  sender.traffic = traffic_of(request, now - *sender.heard_at);
}

void take_in_disk(Context& mds, Chunkserver& sender, const wire::HeartbeatRequest& request) {
  if (request.disk_failed() && !sender.is_disk_failed) {
    mds.env.logger.error("a chunkserver's disk failed",
                         {{"chunkserver", sender.id()}, {"error", request.disk_error()}});
  }
  take_in_traffic(sender, request, mds.env.clock.now());
  sender.heard_at = mds.env.clock.now();
  sender.used_bytes = std::min(request.used_bytes(), sender.record.capacity_bytes());
  sender.pool_chunks_ready_count = request.pool_chunks_ready_count();
  sender.is_disk_failed = request.disk_failed();
  sender.disk_write_us = request.disk_write_us();
  sender.disk_error = request.disk_error().substr(0, kDiskErrorBytesMax);
  mds.place(sender);
}

/// What a leader tells counts if its epoch is not an older one: every committed configuration has
/// an epoch of its own, a new leader's included.
void take_in_copyset(Context& mds, ChunkserverId sender, const wire::CopysetHeartbeat& report,
                     Copyset& copyset) {
  const uint64_t now_ms = planners_ms(mds.env.clock.now());
  if (!report.is_leader()) {
    mds.state.placed.step_down(copyset.id(), sender, Epoch(report.epoch()), now_ms);
    return;
  }
  const auto ids = [](const auto& numbers) {
    return std::vector<ChunkserverId>(numbers.begin(), numbers.end());
  };
  const auto voters = ids(report.members()), learners = ids(report.learners());
  const wire::PoolRecord& pool = mds.state.pools.at(PoolId(copyset.record.pool()));
  const auto outcome =
      mds.state.placed.apply_report({.copyset = copyset.id(),
                                     .epoch = Epoch(report.epoch()),
                                     .leader = sender,
                                     .voters = voters,
                                     .learners = learners,
                                     .change = change_kind(report.change()),
                                     .change_target = change_target(report.change()),
                                     .data_bytes = report.chunks_count() * pool.chunk_bytes()},
                                    now_ms);
  if (outcome == placement::ReportOutcome::kSame || outcome == placement::ReportOutcome::kUpdated) {
    copyset.chunks_count = report.chunks_count();
  }
}

/// Whether the record's members are others than those of the configuration that was told last.
bool has_other_members(const ClusterState& state, const Copyset& copyset) {
  const placement::Copyset& told = state.told(copyset.id());
  if (told.epoch <= Epoch(copyset.record.epoch())) return false;
  if (static_cast<int>(told.voters_count) != copyset.record.members_size()) return true;
  return !std::ranges::all_of(told.voters(), [&](placement::Slot slot) {
    return copyset.has_member(state.placed.chunkserver(slot).id);
  });
}

bool is_first_report(const Copyset& copyset, ChunkserverId sender) {
  return copyset.has_member(sender) && !copyset.is_created_by(sender);
}

/// Whether the group has counted on this member: it has reported, or came after the founding, when
/// whoever comes was caught up first.
bool was_there(const Copyset& copyset, ChunkserverId member) {
  return copyset.is_created_by(member) || Epoch(copyset.record.epoch()) != kFoundingEpoch;
}

/// The record as it is to be, when `sender` has reported the copyset.
wire::CopysetRecord changed_record(const ClusterState& state, const Copyset& copyset,
                                   ChunkserverId sender) {
  wire::CopysetRecord record = copyset.record;
  if (has_other_members(state, copyset)) {
    const placement::Copyset& told = state.told(copyset.id());
    std::set<uint64_t> members;
    for (placement::Slot slot : told.voters()) {
      members.insert(state.placed.chunkserver(slot).id.value());
    }
    record.set_epoch(told.epoch.value());
    record.mutable_members()->Assign(members.begin(), members.end());
    auto& created = *record.mutable_created_by();  // who left may return, as a new replica
    const auto left = [&](uint64_t one) { return !members.contains(one); };
    created.erase(std::remove_if(created.begin(), created.end(), left), created.end());
  }
  const auto has = [&](const auto& list) {
    return std::find(list.begin(), list.end(), sender.value()) != list.end();
  };
  if (has(record.members()) && !has(record.created_by())) record.add_created_by(sender.value());
  return record;
}

/// Remembers members and who has created what, before anything is told that depends on it.
io::Task<Status> remember_changes(Context& mds, ChunkserverId sender,
                                  std::vector<CopysetId> copysets) {
  const auto lock = CO_TRY(co_await mds.lock_for_mutation());
  kv::WriteBatch batch;
  std::vector<wire::CopysetRecord> records;
  for (CopysetId id : copysets) {
    const auto found = mds.state.copysets.find(id);
    if (found == mds.state.copysets.end()) continue;
    const Copyset& copyset = found->second;
    if (!has_other_members(mds.state, copyset) && !is_first_report(copyset, sender)) continue;
    auto record = changed_record(mds.state, copyset, sender);
    replace_record(batch, keys::copyset(id), copyset.record, record);
    records.push_back(std::move(record));
  }
  if (records.empty()) co_return ok();
  CO_TRY(co_await mds.commit(std::move(batch)));
  for (auto& record : records) mds.state.set_copyset(std::move(record));
  co_return ok();
}

/// A replica that once was and is no more has forgotten its votes: begun anew it could elect a
/// second leader. It stays away until its group replaces it, which the planners see to when it has
/// been missing for a while.
void note_missing(Context& mds, Chunkserver& sender, const std::vector<CopysetId>& reported) {
  const Instant now = mds.env.clock.now();
  std::map<CopysetId, Instant> missing;
  for (CopysetId id : sender.copysets) {
    if (std::ranges::binary_search(reported, id)) continue;
    if (!was_there(mds.state.copysets.at(id), sender.id())) continue;
    const auto known = sender.copysets_missing.find(id);
    const Instant since = known == sender.copysets_missing.end() ? now : known->second;
    missing.emplace(id, since);
    if (now - since < mds.options.unstable_after) continue;
    mds.state.placed.set_out_of_service(id, sender.id(), true);
  }
  for (const auto& [id, since] : sender.copysets_missing) {
    if (!missing.contains(id)) mds.state.placed.set_out_of_service(id, sender.id(), false);
  }
  sender.copysets_missing = std::move(missing);
}

/// Founders alone: whoever comes later is asked by the group's leader.
void tell_what_to_create(const Context& mds, const Chunkserver& receiver,
                         const std::vector<CopysetId>& reported, wire::HeartbeatReply& reply) {
  for (CopysetId id : receiver.copysets) {
    if (std::ranges::binary_search(reported, id)) continue;
    const Copyset& copyset = mds.state.copysets.at(id);
    if (was_there(copyset, receiver.id())) continue;  // missing
    if (reply.create_size() >= kCreatesPerReplyMax) return;
    auto* create = reply.add_create();
    create->set_copyset(id.value());
    create->set_epoch(copyset.record.epoch());
    for (uint64_t member : copyset.record.members()) {
      auto* address = create->add_members();
      address->set_node(member);
      address->set_address(mds.state.chunkservers.at(ChunkserverId(member)).record.address());
    }
  }
}

void tell_peers(const Context& mds, const Chunkserver& receiver, wire::HeartbeatReply& reply) {
  std::vector<uint64_t> peers;
  for (CopysetId id : receiver.copysets) {
    const auto& members = mds.state.copysets.at(id).record.members();
    peers.insert(peers.end(), members.begin(), members.end());
  }
  std::ranges::sort(peers);
  peers.erase(std::unique(peers.begin(), peers.end()), peers.end());
  for (uint64_t peer : peers) {
    if (peer == receiver.id().value()) continue;
    auto* address = reply.add_peers();
    address->set_node(peer);
    address->set_address(mds.state.chunkservers.at(ChunkserverId(peer)).record.address());
  }
}

}  // namespace

io::Task<Result<wire::HeartbeatReply>> heartbeat(Context& mds, wire::HeartbeatRequest request) {
  Chunkserver* sender = CO_TRY(find_sender(mds, request));
  const ChunkserverId id = sender->id();
  CO_TRY(check_move(mds, *sender, request.address()));
  mds.metrics.heartbeats.add();
  take_in_disk(mds, *sender, request);

  std::vector<CopysetId> reported;  // those in service
  std::vector<CopysetId> changed;
  for (const auto& report : request.copysets()) {
    const auto found = mds.state.copysets.find(CopysetId(report.copyset()));
    if (found == mds.state.copysets.end()) continue;
    // One that is out of service counts as missing: a restart does not help it.
    if (report.error().empty()) reported.push_back(found->first);
    take_in_copyset(mds, id, report, found->second);
    if (changed.size() < kChangesPerHeartbeatMax &&
        (has_other_members(mds.state, found->second) || is_first_report(found->second, id))) {
      changed.push_back(found->first);
    }
  }
  std::ranges::sort(reported);
  CO_TRY(co_await update_chunkserver(mds, id, request.address(), request.capacity_bytes()));
  if (!changed.empty()) CO_TRY(co_await remember_changes(mds, id, std::move(changed)));

  wire::HeartbeatReply reply;
  // The state may have been loaded anew, and the chunkserver removed meanwhile.
  Chunkserver& receiver = *CO_TRY(find_sender(mds, request));
  note_missing(mds, receiver, reported);
  tell_what_to_create(mds, receiver, reported, reply);
  tell_peers(mds, receiver, reply);
  tell_changes(mds, id, request, reply);
  tell_strays(mds, id, request, reply);
  co_return reply;
}

}  // namespace cairn::mds::ops
