#include <algorithm>

#include "mds/keys.h"
#include "mds/ops/ops.h"
#include "mds/record.h"

namespace cairn::mds::ops {

namespace {

/// A learner is in no record: whether an operator may have made this chunkserver one.
bool is_being_filled(const ClusterState& state, ChunkserverId id) {
  // By what leaders tell as well: operators that have failed leave learners behind.
  if (state.placed.chunkserver(state.placed.find_chunkserver(id)).replicas_count > 0) return true;
  return std::ranges::any_of(state.ledger.list(), [&](const auto* op) { return op->target == id; });
}

/// Of which nobody has told since this MDS began; nothing if there is none.
CopysetId unheard_copyset(const ClusterState& state) {
  for (const auto& [id, copyset] : state.copysets) {
    if (state.told(id).reported_ms == 0) return id;
  }
  return CopysetId();
}

}  // namespace

io::Task<Result<wire::RemoveChunkserverReply>> remove_chunkserver(
    Context& mds, wire::RemoveChunkserverRequest request) {
  const auto lock = CO_TRY(co_await mds.lock_for_mutation());
  const ChunkserverId id(request.id());
  const auto found = mds.state.chunkservers.find(id);
  if (found == mds.state.chunkservers.end()) {
    co_return error(Errc::kNotFound, "there is no chunkserver " + to_string(id) +
                                         "; `cairn chunkserver list` shows those that are");
  }
  const auto refuse = [&](const std::string& why) {
    return error(Errc::kPreconditionFailed, "chunkserver " + to_string(id) + " " + why +
                                                ": drain it first with: cairn chunkserver drain " +
                                                to_string(id) + "; nothing was removed");
  };
  if (!found->second.copysets.empty()) {
    co_return refuse("holds " + std::to_string(found->second.copysets.size()) + " replicas");
  }
  if (is_being_filled(mds.state, id)) co_return refuse("is being given replicas");
  if (found->second.service() == placement::Service::kReadWrite) {
    co_return refuse("may be given replicas at any time");
  }
  // A copyset with a member that nobody knows could not be reported any more.
  if (const CopysetId unheard = unheard_copyset(mds.state); !unheard.is_none()) {
    co_return error(Errc::kUnavailable,
                    "the leader of copyset " + to_string(unheard) +
                        " has not been heard since this MDS is the active one, and chunkserver " +
                        to_string(id) +
                        " may be being given its data; try again when `cairn status` says that all "
                        "copysets have leaders; nothing was removed");
  }
  const std::string key = keys::chunkserver(id);
  kv::WriteBatch batch;
  batch.require(key, encode_record(key, found->second.record));
  batch.remove(key);
  CO_TRY(co_await mds.commit(std::move(batch)));
  mds.state.forget_chunkserver(id);
  mds.env.logger.info("a chunkserver was removed", {{"chunkserver", id}});
  co_return wire::RemoveChunkserverReply();
}

}  // namespace cairn::mds::ops
