#include "chunkserver/service.h"

#include "raft/raw_node.h"

namespace cairn::chunkserver {

Status ChunkService::check_range(uint32_t offset_bytes, uint32_t size_bytes) const {
  const uint64_t end = uint64_t{offset_bytes} + size_bytes;
  if (size_bytes > 0 && end <= context_.chunk_bytes()) return ok();
  return error(Errc::kInvalidArgument,
               "the range " + std::to_string(offset_bytes) + "+" + std::to_string(size_bytes) +
                   " is empty or reaches beyond the chunk's " +
                   std::to_string(context_.chunk_bytes()) + " bytes; nothing was done");
}

void ChunkService::fill_redirect(const Copyset& copyset, wire::LeaderHint* hint) const {
  hint->set_copyset(copyset.id().value());
  const NodeId leader = copyset.node()->leader();
  if (leader.is_none() || leader.value() == context_.id().value()) return;
  hint->set_leader_node(leader.value());
  if (const io::Address* address = context_.address_of(leader)) {
    hint->set_leader_address(address->text);
  }
}

wire::CopysetStatus ChunkService::status_of(Copyset& copyset) const {
  const multiraft::NodeStatus from = copyset.node()->status();
  wire::CopysetStatus status;
  status.set_copyset(copyset.id().value());
  status.set_leader_node(from.leader.value());
  status.set_term(from.term.value());
  status.set_epoch(from.epoch.value());
  status.set_committed_index(from.committed.value());
  status.set_applied_index(from.applied.value());
  status.set_first_index(from.first.value());
  status.set_last_index(from.last.value());
  status.set_last_term(copyset.node()->core().log().last_entry_id().term.value());
  status.set_snapshot_index(from.snapshot.value());
  for (NodeId member : from.members) status.add_members(member.value());
  if (auto chunks = context_.store().list(copyset.id())) {
    status.set_chunks_count(static_cast<uint32_t>(chunks->size()));
  }
  status.set_error(from.error);
  for (NodeId learner : from.learners) status.add_learners(learner.value());
  wire::CopysetHeartbeat under_way;
  context_.changes().fill(copyset.id(), &under_way);
  if (under_way.has_change()) status.set_change(under_way.change().ShortDebugString());
  status.set_chunks_missing_count(static_cast<uint32_t>(copyset.chunks_missing_count()));
  return status;
}

}  // namespace cairn::chunkserver
