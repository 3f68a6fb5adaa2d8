#include "chunkserver/background/scan.h"
#include "chunkserver/service.h"

namespace cairn::chunkserver {

Answered<wire::ScanStatusReply> ChunkService::scan_status(rpc::Call<wire::ScanStatusRequest> call) {
  (void)call;
  rpc::Answer<wire::ScanStatusReply> answer;
  answer.message = context_.scan().status();
  co_return answer;
}

}  // namespace cairn::chunkserver
