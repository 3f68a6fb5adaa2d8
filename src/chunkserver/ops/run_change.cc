// What the calls that change members or the leader have in common.
#include <algorithm>

#include "chunkserver/service.h"

namespace cairn::chunkserver {

namespace {

/// For the answer to reach its caller in time.
constexpr Duration kAnswerTime = 200ms;

}  // namespace

Result<std::vector<NodeId>> ChunkService::distinct_nodes(
    const google::protobuf::RepeatedPtrField<wire::NodeAddress>& peers) {
  std::vector<NodeId> nodes;
  for (const auto& peer : peers) nodes.emplace_back(peer.node());
  std::ranges::sort(nodes);
  if (nodes.empty() || nodes.front().is_none() ||
      std::ranges::adjacent_find(nodes) != nodes.end()) {
    return error(Errc::kInvalidArgument,
                 "members are named once each, and there is one at least; nothing was done");
  }
  return nodes;
}

void ChunkService::fill_members(CopysetId id, wire::PeersReply* reply) {
  auto copyset = context_.find_copyset(id);
  if (!copyset) return;
  const multiraft::NodeStatus status = (*copyset)->node()->status();
  reply->set_epoch(status.epoch.value());
  for (NodeId member : status.members) reply->add_members(member.value());
  if (const auto* progress = context_.changes().progress(id)) {
    auto chunks = context_.store().list(id);
    const uint64_t chunks_count = chunks ? chunks->size() : 0;
    reply->set_copy_done_bytes(progress->copied_bytes);
    reply->set_copy_total_bytes(
        std::max(progress->copied_bytes, chunks_count * context_.chunk_bytes()));
  }
}

Answered<wire::PeersReply> ChunkService::run_change(ChangeOrder order, Instant deadline) {
  const CopysetId id(order.change.copyset());
  const uint64_t operator_id = order.change.operator_id();
  if (operator_id == 0) {
    co_return error(Errc::kInvalidArgument, "a change without an operator_id; nothing was done");
  }
  rpc::Answer<wire::PeersReply> answer;
  std::optional<Status> ended = context_.changes().outcome_of(operator_id);
  if (!ended) {
    const Status begun = context_.changes().begin(std::move(order));
    if (begun.code() == Errc::kNotLeader) {
      const PinnedCopyset copyset = CO_TRY(context_.find_copyset(id));
      fill_redirect(*copyset, answer.message.mutable_redirect());
      co_return answer;
    }
    CO_TRY(begun);
    ended = co_await context_.changes().wait(id, operator_id, deadline - kAnswerTime);
  }
  if (ended) CO_TRY(*ended);
  answer.message.set_is_done(ended.has_value());
  fill_members(id, &answer.message);
  co_return answer;
}

}  // namespace cairn::chunkserver
