#include "mds/keys.h"
#include "mds/ops/ops.h"
#include "mds/record.h"

namespace cairn::mds::ops {

io::Task<Result<wire::RemovePoolReply>> remove_pool(Context& mds, wire::RemovePoolRequest request) {
  const auto lock = CO_TRY(co_await mds.lock_for_mutation());
  const wire::PoolRecord* pool = mds.state.find_pool(request.name());
  if (!pool || request.name().empty()) {
    co_return error(Errc::kNotFound, "there is no pool '" + request.name() +
                                         "'; `cairn pool list` shows those that are");
  }
  const PoolId id(pool->id());
  if (id == PoolId(mds.state.default_pool().id())) {
    co_return error(
        Errc::kPreconditionFailed,
        "pool '" + request.name() + "' is the one that is meant where none is named; it stays");
  }
  for (const auto& [volume, record] : mds.state.volumes) {
    if (PoolId(record.pool()) != id) continue;
    co_return error(Errc::kPreconditionFailed,
                    "volume '" + record.info().name() + "' is in pool '" + request.name() +
                        "': delete its volumes first; nothing was removed");
  }
  if (pool->copysets_planned()) {
    co_return error(Errc::kPreconditionFailed,
                    "the copysets of pool '" + request.name() +
                        "' are placed: it stays, and takes no space while it has no volumes");
  }
  const std::string key = keys::pool(id);
  kv::WriteBatch batch;
  batch.require(key, encode_record(key, *pool));
  batch.remove(key);
  CO_TRY(co_await mds.commit(std::move(batch)));
  mds.state.forget_pool(id);
  mds.env.logger.info("a pool was removed", {{"pool", request.name()}});
  co_return wire::RemovePoolReply();
}

}  // namespace cairn::mds::ops
