#include <set>

#include "mds/keys.h"
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

void take_in_disk(Context& mds, Chunkserver& sender, const wire::HeartbeatRequest& request) {
  if (request.disk_failed() && !sender.is_disk_failed) {
    mds.env.logger.error("a chunkserver's disk failed",
                         {{"chunkserver", sender.id()}, {"error", request.disk_error()}});
  }
  sender.heard_at = mds.env.clock.now();
  sender.used_bytes = std::min(request.used_bytes(), sender.record.capacity_bytes());
  sender.pool_chunks_ready_count = request.pool_chunks_ready_count();
  sender.is_disk_failed = request.disk_failed();
  sender.disk_error = request.disk_error().substr(0, kDiskErrorBytesMax);
}

/// Heartbeats overtake each other: a claim of an earlier term, or of an older configuration in the
/// same term, is left unread.
void take_in_leader(Context& mds, ChunkserverId sender, const wire::CopysetHeartbeat& report,
                    Copyset& copyset) {
  if (report.is_leader()) {
    const LeaderClaim claim{.leader = sender,
                            .epoch = Epoch(report.epoch()),
                            .term = Term(report.term()),
                            .heard_at = mds.env.clock.now()};
    if (!is_newer(claim, copyset.leader)) return;
    copyset.leader = claim;
    copyset.epoch = std::max(copyset.epoch, claim.epoch);
    copyset.chunks_count = report.chunks_count();
  } else if (copyset.leader && copyset.leader->leader == sender &&
             Term(report.term()) >= copyset.leader->term) {
    copyset.leader.reset();  // it led and says that it no longer does
  }
}

/// The members that a leader of a newer configuration reports as committed, if they are others than
/// the record's and all known.
std::optional<std::set<uint64_t>> changed_members(const ClusterState& state,
                                                  const wire::CopysetHeartbeat& report,
                                                  const wire::CopysetRecord& record) {
  if (!report.is_leader() || report.epoch() <= record.epoch()) return std::nullopt;
  if (report.members().empty()) return std::nullopt;
  std::set<uint64_t> told(report.members().begin(), report.members().end());
  if (told == std::set<uint64_t>(record.members().begin(), record.members().end())) {
    return std::nullopt;
  }
  for (uint64_t member : told) {
    if (!state.chunkservers.contains(ChunkserverId(member))) return std::nullopt;
  }
  return told;
}

/// What a report changes about a record; nullopt: nothing.
std::optional<wire::CopysetRecord> changed_record(const ClusterState& state, ChunkserverId sender,
                                                  const wire::CopysetHeartbeat& report,
                                                  const Copyset& copyset) {
  const auto members = changed_members(state, report, copyset.record);
  const bool is_news = copyset.has_member(sender) && !copyset.is_created_by(sender);
  if (!members && !is_news) return std::nullopt;
  wire::CopysetRecord record = copyset.record;
  if (is_news) record.add_created_by(sender.value());
  if (members) {
    record.set_epoch(report.epoch());
    record.mutable_members()->Assign(members->begin(), members->end());
    auto& created = *record.mutable_created_by();  // who left may return, as a new replica
    const auto left = [&](uint64_t one) { return !members->contains(one); };
    created.erase(std::remove_if(created.begin(), created.end(), left), created.end());
  }
  return record;
}

/// Remembers members and who has created what, before anything is told that depends on it.
io::Task<Status> remember_changes(Context& mds, ChunkserverId sender,
                                  std::vector<wire::CopysetHeartbeat> reports) {
  const auto lock = CO_TRY(co_await mds.lock_for_mutation());
  kv::WriteBatch batch;
  std::vector<wire::CopysetRecord> records;
  for (const auto& report : reports) {
    const auto found = mds.state.copysets.find(CopysetId(report.copyset()));
    if (found == mds.state.copysets.end()) continue;
    auto record = changed_record(mds.state, sender, report, found->second);
    if (!record) continue;
    replace_record(batch, keys::copyset(found->first), found->second.record, *record);
    records.push_back(std::move(*record));
  }
  if (records.empty()) co_return ok();
  CO_TRY(co_await mds.commit(std::move(batch)));
  for (auto& record : records) mds.state.set_copyset(std::move(record));
  co_return ok();
}

void tell_what_to_create(const Context& mds, Chunkserver& receiver,
                         const std::set<CopysetId>& reported, wire::HeartbeatReply& reply) {
  receiver.copysets_missing_count = 0;
  for (CopysetId id : receiver.copysets) {
    if (reported.contains(id)) continue;
    const Copyset& copyset = mds.state.copysets.at(id);
    // A replica that once was and is no more has forgotten its votes: begun anew it could elect a
    // second leader. It stays away until its group replaces it.
    if (copyset.is_created_by(receiver.id())) {
      ++receiver.copysets_missing_count;
      continue;
    }
    if (reply.create_size() >= kCreatesPerReplyMax) continue;
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
  std::set<uint64_t> peers;
  for (CopysetId id : receiver.copysets) {
    const auto& members = mds.state.copysets.at(id).record.members();
    peers.insert(members.begin(), members.end());
  }
  peers.erase(receiver.id().value());
  for (uint64_t peer : peers) {
    auto* address = reply.add_peers();
    address->set_node(peer);
    address->set_address(mds.state.chunkservers.at(ChunkserverId(peer)).record.address());
  }
}

}  // namespace

io::Task<Result<wire::HeartbeatReply>> heartbeat(Context& mds, wire::HeartbeatRequest request) {
  Chunkserver* sender = CO_TRY(find_sender(mds, request));
  const ChunkserverId id = sender->id();
  mds.metrics.heartbeats.add();
  take_in_disk(mds, *sender, request);

  std::set<CopysetId> reported;
  std::vector<wire::CopysetHeartbeat> changes;
  for (const auto& report : request.copysets()) {
    const auto found = mds.state.copysets.find(CopysetId(report.copyset()));
    if (found == mds.state.copysets.end()) continue;
    reported.insert(found->first);
    take_in_leader(mds, id, report, found->second);
    if (changes.size() < kChangesPerHeartbeatMax &&
        changed_record(mds.state, id, report, found->second)) {
      changes.push_back(report);
    }
  }
  CO_TRY(co_await update_chunkserver(mds, id, request.address(), request.capacity_bytes()));
  if (!changes.empty()) CO_TRY(co_await remember_changes(mds, id, std::move(changes)));

  wire::HeartbeatReply reply;
  Chunkserver& receiver = mds.state.chunkservers.at(id);  // the state may have been loaded anew
  tell_what_to_create(mds, receiver, reported, reply);
  tell_peers(mds, receiver, reply);
  co_return reply;
}

}  // namespace cairn::mds::ops
