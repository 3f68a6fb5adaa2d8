#include "chunkserver/background/scan.h"
#include "chunkserver/service.h"

namespace cairn::chunkserver {

Answered<wire::StartScanReply> ChunkService::start_scan(rpc::Call<wire::StartScanRequest> call) {
  const size_t count = CO_TRY(context_.scan().request(CopysetId(call.request.copyset())));
  rpc::Answer<wire::StartScanReply> answer;
  answer.message.set_copysets_count(static_cast<uint32_t>(count));
  co_return answer;
}

}  // namespace cairn::chunkserver
