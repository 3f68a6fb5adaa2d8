#include "client/segments.h"

#include "client/shared.h"
#include "wire/mds.pb.h"

namespace cairn::client {

Segments::Segments(Shared& shared, VolumeId volume, Fence fence, Layout layout)
    : shared_(shared), volume_(volume), fence_(fence), layout_(layout) {}

Segments::~Segments() = default;

const Segment* Segments::find(uint64_t segment_index) const {
  auto known = known_.find(segment_index);
  return known == known_.end() ? nullptr : &known->second;
}

io::Task<Result<const Segment*>> Segments::fetch(uint64_t segment_index, bool allocate,
                                                 Instant deadline) {
  // A lookup is not shared: its "nothing there" may be older than the read that would join it.
  if (!allocate) co_return co_await ask(segment_index, false, deadline);
  for (;;) {
    auto other = allocating_.find(segment_index);
    if (other == allocating_.end()) break;
    co_await other->second->wait_next();
    if (const Segment* segment = find(segment_index)) co_return segment;
    if (shared_.env.clock.now() >= deadline) {
      co_return error(Errc::kTimeout, "segment " + std::to_string(segment_index) +
                                          " was not allocated in time; nothing was written");
    }
  }
  allocating_.emplace(segment_index, std::make_unique<io::Event>(shared_.env.executor));
  auto segment = co_await ask(segment_index, true, deadline);
  auto mine = allocating_.extract(segment_index);
  mine.mapped()->notify_all();
  co_return segment;
}

io::Task<Result<const Segment*>> Segments::ask(uint64_t segment_index, bool allocate,
                                               Instant deadline) {
  wire::GetSegmentRequest request;
  request.set_volume(volume_.value());
  request.set_segment_index(segment_index);
  request.set_allocate(allocate);
  request.set_fence(fence_.value());
  auto reply = co_await shared_.mds.call<wire::GetSegmentReply>(wire::Method::kGetSegment,
                                                                std::move(request), deadline);
  if (!reply.ok()) {
    if (!allocate && reply.code() == Errc::kNotFound) {
      co_return static_cast<const Segment*>(nullptr);
    }
    co_return reply.error().within("segment " + std::to_string(segment_index) + " of volume " +
                                   to_string(volume_));
  }
  const uint64_t expected = layout_.segment_bytes / layout_.chunk_bytes;
  if (static_cast<uint64_t>(reply->chunks_size()) != expected) {
    co_return error(Errc::kProtocol, "the MDS gave segment " + std::to_string(segment_index) + " " +
                                         std::to_string(reply->chunks_size()) +
                                         " chunks instead of " + std::to_string(expected));
  }
  Segment segment;
  std::vector<CopysetId> copysets;
  for (const wire::ChunkLocation& location : reply->chunks()) {
    segment.push_back({ChunkId(location.chunk()), CopysetId(location.copyset())});
    copysets.push_back(CopysetId(location.copyset()));
  }
  // One call for all its copysets, so that its first accesses do not ask one by one.
  CO_TRY(co_await shared_.routes.fetch(std::move(copysets), deadline));
  co_return &known_.try_emplace(segment_index, std::move(segment)).first->second;
}

}  // namespace cairn::client
