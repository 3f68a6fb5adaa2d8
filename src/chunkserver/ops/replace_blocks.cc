#include "chunkserver/service.h"

namespace cairn::chunkserver {

Answered<wire::ReplaceBlocksReply> ChunkService::replace_blocks(
    rpc::Call<wire::ReplaceBlocksRequest> call) {
  const wire::ReplaceBlocksRequest& request = call.request;
  const PinnedCopyset copyset = CO_TRY(context_.find_copyset(CopysetId(request.copyset())));
  const Status replaced = co_await copyset->replace_blocks(
      ChunkId(request.chunk()), {request.blocks().begin(), request.blocks().end()},
      NodeId(request.source_node()));
  if (!replaced) {
    context_.report(replaced.error());
    co_return replaced.error();
  }
  co_return rpc::Answer<wire::ReplaceBlocksReply>{};
}

}  // namespace cairn::chunkserver
