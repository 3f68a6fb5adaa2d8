#include "chunkserver/service.h"

namespace cairn::chunkserver {

// The replica alone: whoever asks has taken it out of its group before, or has given the group up.
Answered<wire::DeleteCopysetReply> ChunkService::delete_copyset(
    rpc::Call<wire::DeleteCopysetRequest> call) {
  CO_TRY(co_await context_.remove_copyset(CopysetId(call.request.copyset()),
                                          Epoch(call.request.epoch())));
  co_return rpc::Answer<wire::DeleteCopysetReply>{};
}

}  // namespace cairn::chunkserver
