#include "mds/ops/ops.h"

namespace cairn::mds::ops {

namespace {

void describe(const Context& mds, const Copyset& copyset, wire::CopysetInfo& info) {
  info.set_copyset(copyset.id().value());
  info.set_epoch(mds.state.told(copyset.id()).epoch.value());
  info.set_leader_node(mds.state.leader_of(copyset.id()).value());
  for (uint64_t member : copyset.record.members()) {
    auto* address = info.add_members();
    address->set_node(member);
    address->set_address(mds.state.chunkservers.at(ChunkserverId(member)).record.address());
  }
}

Error too_many(size_t count) {
  return error(Errc::kInvalidArgument,
               "an answer holds at most " + std::to_string(kCopysetsPerReplyMax) +
                   " copysets, not " + std::to_string(count) + "; ask for fewer, by their ids");
}

}  // namespace

Result<wire::GetCopysetsReply> get_copysets(Context& mds, const wire::GetCopysetsRequest& request) {
  wire::GetCopysetsReply reply;
  if (request.copysets().empty()) {
    if (mds.state.copysets.size() > kCopysetsPerReplyMax)
      return too_many(mds.state.copysets.size());
    for (const auto& [id, copyset] : mds.state.copysets) {
      describe(mds, copyset, *reply.add_copysets());
    }
    return reply;
  }
  const auto asked = static_cast<size_t>(request.copysets_size());
  if (asked > kCopysetsPerReplyMax) return too_many(asked);
  for (uint64_t id : request.copysets()) {
    const auto found = mds.state.copysets.find(CopysetId(id));
    if (found == mds.state.copysets.end()) {
      return error(Errc::kNotFound, "there is no copyset " + std::to_string(id));
    }
    describe(mds, found->second, *reply.add_copysets());
  }
  return reply;
}

}  // namespace cairn::mds::ops
