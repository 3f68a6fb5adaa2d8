#include "mds/keys.h"
#include "mds/ops/ops.h"
#include "mds/validate.h"

namespace cairn::mds::ops {

io::Task<Result<wire::PutServerReply>> put_server(Context& mds, wire::PutServerRequest request) {
  CO_TRY(check_label("the server's name", request.name()));
  CO_TRY(check_label("the zone's name", request.zone()));
  const auto lock = CO_TRY(co_await mds.lock_for_mutation());
  if (!mds.state.has_zone(request.zone())) {
    co_return error(Errc::kNotFound, "there is no zone '" + request.zone() +
                                         "'; add it first with: cairn zone add " + request.zone());
  }
  const std::pair id(request.zone(), request.name());
  if (mds.state.servers.contains(id)) {
    co_return error(Errc::kAlreadyExists, "there is a server '" + request.name() + "' in zone '" +
                                              request.zone() + "' already");
  }
  if (mds.state.servers.size() >= mds.options.limits.chunkservers_max) {
    co_return error(Errc::kNoSpace, "the cluster has as many servers as it may have chunkservers");
  }
  wire::ServerRecord record;
  record.set_name(request.name());
  record.set_zone(request.zone());
  kv::WriteBatch batch;
  create_record(batch, keys::server(request.zone(), request.name()), record);
  CO_TRY(co_await mds.commit(std::move(batch)));
  mds.state.servers[id] = std::move(record);
  co_return wire::PutServerReply();
}

}  // namespace cairn::mds::ops
