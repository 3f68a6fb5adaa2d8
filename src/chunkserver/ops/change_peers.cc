#include <algorithm>

#include "chunkserver/ops/change_order.h"

namespace cairn::chunkserver {

namespace {

NodeId first_missing(const std::vector<NodeId>& nodes, const std::vector<NodeId>& among) {
  for (NodeId node : nodes) {
    if (std::ranges::find(among, node) == among.end()) return node;
  }
  return NodeId();
}

}  // namespace

Answered<wire::PeersReply> ChunkService::change_peers(rpc::Call<wire::ChangePeersRequest> call) {
  const wire::ChangePeersRequest& request = call.request;
  const CopysetId id(request.copyset());
  ChangeOrder order = order_of(request, wire::CHANGE_REPLACE);
  order.voters = CO_TRY(distinct_nodes(request.peers()));
  co_await context_.learn_addresses({request.peers().begin(), request.peers().end()});
  {
    // Reports name one of those that come and one of those that go.
    const PinnedCopyset copyset = CO_TRY(context_.find_copyset(id));
    const std::vector<NodeId> members = copyset->node()->status().members;
    order.change.set_target(first_missing(order.voters, members).value());
    order.change.set_source(first_missing(members, order.voters).value());
  }
  co_return co_await run_change(std::move(order), call.deadline);
}

}  // namespace cairn::chunkserver
