#include "mds/keys.h"
#include "mds/ops/ops.h"
#include "mds/validate.h"

namespace cairn::mds::ops {

namespace {

Status check_request(const wire::RegisterChunkserverRequest& request) {
  TRY(check_address(request.address()));
  TRY(check_label("the zone", request.zone()));
  TRY(check_label("the server's name", request.server()));
  if (request.token().size() != kTokenBytes) {
    return error(Errc::kInvalidArgument, "a disk's token has " + std::to_string(kTokenBytes) +
                                             " bytes, not " +
                                             std::to_string(request.token().size()));
  }
  if (request.capacity_bytes() == 0) {
    return error(Errc::kInvalidArgument,
                 "the chunkserver at " + request.address() + " has no capacity; check its disk");
  }
  return ok();
}

/// Replicas were placed by zone and server: a disk that moves would break their isolation unseen.
Status check_place(const wire::ChunkserverRecord& record,
                   const wire::RegisterChunkserverRequest& request) {
  if (record.zone() == request.zone() && record.server() == request.server()) return ok();
  return error(Errc::kInvalidArgument,
               "chunkserver " + std::to_string(record.id()) + " was registered in zone '" +
                   record.zone() + "' on server '" + record.server() + "', not in zone '" +
                   request.zone() + "' on server '" + request.server() +
                   "': start it with the former, its copysets were placed by them");
}

Error address_taken(const wire::ChunkserverRecord& owner) {
  return error(Errc::kAlreadyExists,
               "address " + owner.address() + " belongs to chunkserver " +
                   std::to_string(owner.id()) +
                   ", which has another disk; give this one another address, or start it on the "
                   "former disk; nothing was registered");
}

wire::RegisterChunkserverReply reply_to(const Context& mds, uint64_t id) {
  wire::RegisterChunkserverReply reply;
  reply.set_chunkserver(id);
  reply.set_cluster_name(mds.state.cluster.name());
  return reply;
}

/// A disk that is silent for so long may have moved to another address.
constexpr int kHeartbeatsMissedMin = 3;

/// A capacity that wavers, with free space say, is not worth a commit.
bool differs_much(uint64_t known, uint64_t told) {
  if (told == 0) return false;  // not known to it just now
  const uint64_t difference = known > told ? known - told : told - known;
  return difference > known / 20;
}

}  // namespace

Status check_move(const Context& mds, const Chunkserver& known, const std::string& address) {
  if (known.record.address() == address) return ok();
  const Duration silent = mds.env.clock.now() - known.heard_at.value_or(mds.started_at);
  const Duration silent_min = kHeartbeatsMissedMin * mds.options.heartbeat_interval;
  if (silent >= silent_min) return ok();
  return error(Errc::kAlreadyExists, "chunkserver " + to_string(known.id()) + " serves at " +
                                         known.record.address() + ", and " + address +
                                         " has the same data directory. If it is a copy, stop it "
                                         "and remove it; if the disk has moved, stop the one at " +
                                         known.record.address() + ": it is let in " +
                                         std::to_string(to_ms(silent_min)) +
                                         " ms after that was heard last");
}

io::Task<Status> update_chunkserver(Context& mds, ChunkserverId id, std::string address,
                                    uint64_t capacity_bytes) {
  const auto differs = [&](const wire::ChunkserverRecord& record) {
    return record.address() != address || differs_much(record.capacity_bytes(), capacity_bytes);
  };
  const auto known = mds.state.chunkservers.find(id);
  if (known != mds.state.chunkservers.end() && !differs(known->second.record)) co_return ok();
  CO_TRY(check_address(address));

  const auto lock = CO_TRY(co_await mds.lock_for_mutation());
  const auto found = mds.state.chunkservers.find(id);
  if (found == mds.state.chunkservers.end()) {
    co_return error(Errc::kNotFound, "there is no chunkserver " + to_string(id));
  }
  if (!differs(found->second.record)) co_return ok();
  CO_TRY(check_move(mds, found->second, address));
  const Chunkserver* owner = mds.state.find_address(address);
  if (owner && owner->id() != id) co_return address_taken(owner->record);
  wire::ChunkserverRecord record = found->second.record;
  record.set_address(address);
  if (differs_much(record.capacity_bytes(), capacity_bytes)) {
    record.set_capacity_bytes(capacity_bytes);
  }
  kv::WriteBatch batch;
  replace_record(batch, keys::chunkserver(id), found->second.record, record);
  CO_TRY(co_await mds.commit(std::move(batch)));
  Chunkserver& chunkserver = mds.state.chunkservers.at(id);
  chunkserver.record = std::move(record);
  chunkserver.used_bytes = std::min(chunkserver.used_bytes, chunkserver.record.capacity_bytes());
  mds.place(chunkserver);
  mds.env.logger.info("a chunkserver changed", {{"chunkserver", id}, {"address", address}});
  co_return ok();
}

io::Task<Result<wire::RegisterChunkserverReply>> register_chunkserver(
    Context& mds, wire::RegisterChunkserverRequest request) {
  CO_TRY(check_request(request));
  if (const auto* known = mds.state.find_token(request.token())) {
    const ChunkserverId id = known->id();
    CO_TRY(check_place(known->record, request));
    if (Status moved = check_move(mds, *known, request.address()); !moved) {
      co_return error(Errc::kUnavailable, moved.error().message());  // may pass: the caller waits
    }
    CO_TRY(co_await update_chunkserver(mds, id, request.address(), request.capacity_bytes()));
    co_return reply_to(mds, id.value());
  }

  const auto lock = CO_TRY(co_await mds.lock_for_mutation());
  if (const auto* known = mds.state.find_token(request.token())) {  // meanwhile
    CO_TRY(check_place(known->record, request));
    co_return reply_to(mds, known->id().value());
  }
  if (const auto* owner = mds.state.find_address(request.address())) {
    co_return address_taken(owner->record);
  }
  if (mds.state.chunkservers.size() >= mds.options.limits.chunkservers_max) {
    co_return error(Errc::kNoSpace, "the cluster has " +
                                        std::to_string(mds.state.chunkservers.size()) +
                                        " chunkservers, its limit (chunkservers_max)");
  }
  kv::WriteBatch batch;
  wire::ChunkserverRecord record;
  record.set_id(mds.ids.take(IdKind::kChunkserver, 1, batch));
  record.set_address(request.address());
  record.set_zone(request.zone());
  record.set_server(request.server());
  record.set_token(request.token());
  record.set_capacity_bytes(request.capacity_bytes());
  const ChunkserverId id(record.id());
  create_record(batch, keys::chunkserver(id), record);
  CO_TRY(co_await mds.commit(std::move(batch)));
  CHECK(!mds.state.chunkservers.contains(id));
  mds.state.chunkservers[id].record = std::move(record);
  mds.place(mds.state.chunkservers.at(id));
  mds.topology_changed.wake();
  mds.env.logger.info("a chunkserver registered", {{"chunkserver", id},
                                                   {"address", request.address()},
                                                   {"zone", request.zone()},
                                                   {"server", request.server()}});
  co_return reply_to(mds, id.value());
}

}  // namespace cairn::mds::ops
