#include "chunkserver/service.h"

namespace cairn::chunkserver {

Answered<wire::RaiseFenceReply> ChunkService::raise_fence(rpc::Call<wire::RaiseFenceRequest> call) {
  const wire::RaiseFenceRequest& request = call.request;
  if (request.volume() == 0 || request.fence() == 0) {
    co_return error(Errc::kInvalidArgument,
                    "a fence is raised for a volume and to a number above zero");
  }
  const PinnedCopyset copyset = CO_TRY(context_.find_copyset(CopysetId(request.copyset())));
  rpc::Answer<wire::RaiseFenceReply> answer;
  const Status raised =
      co_await copyset->raise_fence(VolumeId(request.volume()), Fence(request.fence()));
  if (!raised) {
    if (raised.code() != Errc::kNotLeader) co_return raised.error();
    fill_redirect(*copyset, answer.message.mutable_redirect());
  }
  co_return answer;
}

}  // namespace cairn::chunkserver
