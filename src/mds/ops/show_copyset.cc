#include "mds/ops/ops.h"

namespace cairn::mds::ops {

namespace {

void add_member(const Context& mds, ChunkserverId id, std::string_view role,
                wire::ShowCopysetReply& reply) {
  const Chunkserver& chunkserver = mds.state.chunkservers.at(id);
  auto* member = reply.add_members();
  member->set_chunkserver(id.value());
  member->set_role(std::string(role));
  member->set_state(std::string(to_string(mds.liveness_of(chunkserver))));
  member->set_zone(chunkserver.record.zone());
  member->set_server(chunkserver.record.server());
  member->set_address(chunkserver.record.address());
}

}  // namespace

Result<wire::ShowCopysetReply> show_copyset(Context& mds, const wire::ShowCopysetRequest& request) {
  const CopysetId id(request.copyset());
  const auto found = mds.state.copysets.find(id);
  if (found == mds.state.copysets.end()) {
    return error(Errc::kNotFound, "there is no copyset " + to_string(id) +
                                      "; `cairn copyset list` shows those that are");
  }
  const Instant now = mds.env.clock.now();
  const placement::Copyset& told = mds.state.told(id);
  wire::ShowCopysetReply reply;
  reply.set_copyset(id.value());
  reply.set_pool(mds.state.pools.at(PoolId(found->second.record.pool())).name());
  reply.set_epoch(told.epoch.value());
  reply.set_chunks_count(found->second.chunks_count);
  for (placement::Slot slot : told.voters()) {
    add_member(mds, mds.state.placed.chunkserver(slot).id, slot == told.leader ? "leader" : "voter",
               reply);
  }
  for (placement::Slot slot : told.learners()) {
    add_member(mds, mds.state.placed.chunkserver(slot).id, "learner", reply);
  }
  reply.set_reported_ms_ago(
      told.reported_ms == 0 ? -1 : static_cast<int64_t>(planners_ms(now) - told.reported_ms));
  if (const placement::Operator* op = mds.state.ledger.find(id)) {
    *reply.mutable_under_way() = mds.schedule.info(*op, mds.state, now);
  }
  return reply;
}

}  // namespace cairn::mds::ops
