#include "chunkserver/service.h"

namespace cairn::chunkserver {

Answered<wire::ReadChunkReply> ChunkService::read_chunk(rpc::Call<wire::ReadChunkRequest> call) {
  const Instant began = context_.env().clock.now();
  const wire::ReadChunkRequest& request = call.request;
  CO_TRY(check_range(request.offset_bytes(), request.size_bytes()));
  const PinnedCopyset copyset =
      CO_TRY(context_.find_copyset(CopysetId(request.target().copyset())));
  rpc::Answer<wire::ReadChunkReply> answer;
  const wire::ChunkTarget& target = request.target();
  auto data = co_await copyset->read({.chunk = ChunkId(target.chunk()),
                                      .volume = VolumeId(target.volume()),
                                      .fence = Fence(target.fence()),
                                      .offset_bytes = request.offset_bytes(),
                                      .size_bytes = request.size_bytes()});
  if (data) {
    ++io_counts_.reads;
    io_counts_.read_time += context_.env().clock.now() - began;
    io_counts_.read_bytes += request.size_bytes();
    answer.attachment.push_back(std::move(*data));
    co_return answer;
  }
  if (data.code() == Errc::kNotLeader) {
    fill_redirect(*copyset, answer.message.mutable_redirect());
    co_return answer;
  }
  context_.report(data.error());
  co_return data.error();
}

}  // namespace cairn::chunkserver
