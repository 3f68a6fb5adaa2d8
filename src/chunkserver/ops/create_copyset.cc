#include "chunkserver/service.h"

namespace cairn::chunkserver {

Answered<wire::CreateCopysetReply> ChunkService::create_copyset(
    rpc::Call<wire::CreateCopysetRequest> call) {
  CO_TRY(co_await context_.create_copyset(std::move(call.request)));
  co_return rpc::Answer<wire::CreateCopysetReply>{};
}

}  // namespace cairn::chunkserver
