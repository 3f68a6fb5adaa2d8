#include "chunkserver/service.h"

namespace cairn::chunkserver {

Answered<wire::CopysetStatusReply> ChunkService::copyset_status(
    rpc::Call<wire::CopysetStatusRequest> call) {
  rpc::Answer<wire::CopysetStatusReply> answer;
  if (call.request.copyset() != 0) {
    const PinnedCopyset copyset = CO_TRY(context_.find_copyset(CopysetId(call.request.copyset())));
    *answer.message.add_copysets() = status_of(*copyset);
    co_return answer;
  }
  for (Copyset* copyset : context_.copysets()) *answer.message.add_copysets() = status_of(*copyset);
  for (const auto& [group, reason] : context_.damaged_copysets()) {
    wire::CopysetStatus* status = answer.message.add_copysets();
    status->set_copyset(group.value());
    status->set_error(reason);
  }
  co_return answer;
}

}  // namespace cairn::chunkserver
