#include "chunkserver/service.h"

namespace cairn::chunkserver {

Answered<wire::PingReply> ChunkService::ping(rpc::Call<wire::PingRequest> call) {
  (void)call;
  rpc::Answer<wire::PingReply> answer;
  answer.message.set_role("chunkserver");
  answer.message.set_id(context_.id().value());
  co_return answer;
}

}  // namespace cairn::chunkserver
