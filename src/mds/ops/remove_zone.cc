#include "mds/keys.h"
#include "mds/ops/ops.h"
#include "mds/record.h"

namespace cairn::mds::ops {

io::Task<Result<wire::RemoveZoneReply>> remove_zone(Context& mds, wire::RemoveZoneRequest request) {
  const auto lock = CO_TRY(co_await mds.lock_for_mutation());
  for (const auto& [id, chunkserver] : mds.state.chunkservers) {
    if (chunkserver.record.zone() != request.name()) continue;
    co_return error(Errc::kPreconditionFailed,
                    "chunkserver " + to_string(id) + " is in zone '" + request.name() +
                        "': drain and remove its chunkservers first; nothing was removed");
  }
  for (const auto& [key, server] : mds.state.servers) {
    if (key.first != request.name()) continue;
    co_return error(Errc::kPreconditionFailed, "server '" + key.second + "' is in zone '" +
                                                   request.name() +
                                                   "': remove it first; nothing was removed");
  }
  const auto known = mds.state.zones.find(request.name());
  if (known == mds.state.zones.end()) {
    co_return error(Errc::kNotFound, "there is no zone '" + request.name() +
                                         "'; `cairn zone list` shows those that are");
  }
  const std::string key = keys::zone(request.name());
  kv::WriteBatch batch;
  batch.require(key, encode_record(key, known->second));
  batch.remove(key);
  CO_TRY(co_await mds.commit(std::move(batch)));
  mds.state.zones.erase(request.name());
  co_return wire::RemoveZoneReply();
}

}  // namespace cairn::mds::ops
