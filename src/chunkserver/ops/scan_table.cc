#include "chunkserver/service.h"

namespace cairn::chunkserver {

Answered<wire::ScanTableReply> ChunkService::scan_table(rpc::Call<wire::ScanTableRequest> call) {
  const wire::ScanTableRequest& request = call.request;
  const PinnedCopyset copyset = CO_TRY(context_.find_copyset(CopysetId(request.copyset())));
  auto table = co_await copyset->scan_table(ChunkId(request.chunk()), LogIndex(request.index()));
  if (!table) {
    context_.report(table.error());
    co_return table.error();
  }
  rpc::Answer<wire::ScanTableReply> answer;
  answer.message.mutable_block_crc32c()->Add(table->marks.begin(), table->marks.end());
  answer.message.mutable_rotten_blocks()->Add(table->rotten.begin(), table->rotten.end());
  co_return answer;
}

}  // namespace cairn::chunkserver
