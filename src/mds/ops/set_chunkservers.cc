#include <algorithm>

#include "mds/keys.h"
#include "mds/ops/ops.h"
#include "mds/validate.h"

namespace cairn::mds::ops {

namespace {

Result<std::set<ChunkserverId>> selected(const ClusterState& state,
                                         const wire::SetChunkserversRequest& request) {
  std::set<ChunkserverId> ids;
  for (uint64_t id : request.chunkservers()) {
    if (!state.chunkservers.contains(ChunkserverId(id))) {
      return error(Errc::kNotFound, "there is no chunkserver " + std::to_string(id) +
                                        "; `cairn chunkserver list` shows those that are");
    }
    ids.insert(ChunkserverId(id));
  }
  for (const auto& [id, chunkserver] : state.chunkservers) {
    const auto& record = chunkserver.record;
    if (request.zone().empty() || record.zone() != request.zone()) continue;
    if (request.server().empty() || record.server() == request.server()) ids.insert(id);
  }
  if (ids.empty()) {
    return error(Errc::kNotFound, "no chunkserver is there; nothing was changed");
  }
  return ids;
}

/// A pool's replicas stay where its tags are.
Status check_bears(const ClusterState& state, const Chunkserver& chunkserver,
                   const wire::ChunkserverRecord& record) {
  const std::set<std::string> tags(record.tags().begin(), record.tags().end());
  for (CopysetId copyset : chunkserver.copysets) {
    const auto& pool = state.pools.at(PoolId(state.copysets.at(copyset).record.pool()));
    const auto has = [&](const std::string& tag) { return tags.contains(tag); };
    if (std::ranges::all_of(pool.tags(), has)) continue;
    return error(Errc::kPreconditionFailed,
                 "chunkserver " + to_string(chunkserver.id()) + " holds replicas of pool '" +
                     pool.name() +
                     "', whose tags it has to bear: drain it first; nothing was "
                     "changed");
  }
  return ok();
}

}  // namespace

io::Task<Result<wire::SetChunkserversReply>> set_chunkservers(
    Context& mds, wire::SetChunkserversRequest request) {
  const auto lock = CO_TRY(co_await mds.lock_for_mutation());
  if (request.sets_tags()) CO_TRY(check_tags(mds.state, request.tags()));
  const auto ids = CO_TRY(selected(mds.state, request));
  kv::WriteBatch batch;
  std::vector<wire::ChunkserverRecord> records;
  for (ChunkserverId id : ids) {
    const Chunkserver& chunkserver = mds.state.chunkservers.at(id);
    wire::ChunkserverRecord record = chunkserver.record;
    if (request.sets_service()) record.set_service(request.service());
    if (request.sets_tags()) {
      *record.mutable_tags() = request.tags();
      CO_TRY(check_bears(mds.state, chunkserver, record));
    }
    const std::string key = keys::chunkserver(id);
    if (record.SerializeAsString() == chunkserver.record.SerializeAsString()) continue;
    replace_record(batch, key, chunkserver.record, record);
    records.push_back(std::move(record));
  }
  wire::SetChunkserversReply reply;
  reply.set_changed_count(static_cast<uint32_t>(records.size()));
  if (records.empty()) co_return reply;
  CO_TRY(co_await mds.commit(std::move(batch)));
  for (auto& record : records) {
    Chunkserver& chunkserver = mds.state.chunkservers.at(ChunkserverId(record.id()));
    chunkserver.record = std::move(record);
    mds.place(chunkserver);
    mds.env.logger.info("a chunkserver was set", {{"chunkserver", chunkserver.id()},
                                                  {"service", to_string(chunkserver.service())}});
  }
  mds.topology_changed.wake();
  co_return reply;
}

}  // namespace cairn::mds::ops
