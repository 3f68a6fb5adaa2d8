#include "chunkserver/service.h"

namespace cairn::chunkserver {

Answered<wire::LearnPeersReply> ChunkService::learn_peers(rpc::Call<wire::LearnPeersRequest> call) {
  co_await context_.learn_addresses({call.request.peers().begin(), call.request.peers().end()});
  co_return rpc::Answer<wire::LearnPeersReply>{};
}

}  // namespace cairn::chunkserver
