#include "mds/keys.h"
#include "mds/ops/ops.h"
#include "mds/record.h"

namespace cairn::mds::ops {

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
  // By what leaders tell as well: a learner is in no record.
  if (mds.state.placed.chunkserver(mds.state.placed.find_chunkserver(id)).replicas_count > 0) {
    co_return refuse("is being given replicas");
  }
  if (found->second.service() == placement::Service::kReadWrite) {
    co_return refuse("may be given replicas at any time");
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
