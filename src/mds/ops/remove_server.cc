#include "mds/keys.h"
#include "mds/ops/ops.h"
#include "mds/record.h"

namespace cairn::mds::ops {

io::Task<Result<wire::RemoveServerReply>> remove_server(Context& mds,
                                                        wire::RemoveServerRequest request) {
  const auto lock = CO_TRY(co_await mds.lock_for_mutation());
  for (const auto& [id, chunkserver] : mds.state.chunkservers) {
    const auto& record = chunkserver.record;
    if (record.zone() != request.zone() || record.server() != request.name()) continue;
    co_return error(Errc::kPreconditionFailed,
                    "chunkserver " + to_string(id) + " is on server '" + request.name() +
                        "': drain and remove its chunkservers first; nothing was removed");
  }
  const auto known = mds.state.servers.find({request.zone(), request.name()});
  if (known == mds.state.servers.end()) {
    co_return error(Errc::kNotFound, "there is no server '" + request.name() + "' in zone '" +
                                         request.zone() +
                                         "'; `cairn server list` shows those that are");
  }
  const std::string key = keys::server(request.zone(), request.name());
  kv::WriteBatch batch;
  batch.require(key, encode_record(key, known->second));
  batch.remove(key);
  CO_TRY(co_await mds.commit(std::move(batch)));
  mds.state.servers.erase({request.zone(), request.name()});
  co_return wire::RemoveServerReply();
}

}  // namespace cairn::mds::ops
