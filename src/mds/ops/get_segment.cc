#include "mds/keys.h"
#include "mds/ops/ops.h"
#include "mds/record.h"
#include "placement/segment_plan.h"

namespace cairn::mds::ops {

namespace {

Result<const wire::VolumeRecord*> find_volume(const Context& mds,
                                              const wire::GetSegmentRequest& request) {
  const auto* volume = mds.state.find_volume(VolumeId(request.volume()));
  if (!volume) {
    return error(Errc::kNotFound,
                 "there is no volume " + std::to_string(request.volume()) + "; it may be deleted");
  }
  const auto& info = volume->info();
  // What a fenced client does not know of it cannot write to: copysets that get chunks of the
  // volume from here on need not be told of the fence.
  if (request.fence() < info.fence()) {
    return error(Errc::kStaleFence,
                 "volume '" + info.name() + "' has been opened by another client since (fence " +
                     std::to_string(info.fence()) + ", not " + std::to_string(request.fence()) +
                     "); open it again; nothing was allocated");
  }
  const uint64_t segments_count =
      round_up(info.size_bytes(), info.segment_bytes()) / info.segment_bytes();
  if (request.segment_index() >= segments_count) {
    return error(Errc::kInvalidArgument,
                 "volume '" + info.name() + "' has " + std::to_string(segments_count) +
                     " segments; there is no segment " + std::to_string(request.segment_index()));
  }
  return volume;
}

io::Task<Result<std::optional<wire::GetSegmentReply>>> read_segment(Context& mds, VolumeId volume,
                                                                    uint64_t segment_index) {
  const std::string key = keys::segment(volume, segment_index);
  const auto stored = CO_TRY(co_await mds.store.get(key));
  if (!stored) co_return std::optional<wire::GetSegmentReply>();
  auto record = CO_TRY(decode_record<wire::SegmentRecord>(key, *stored));
  wire::GetSegmentReply reply;
  reply.mutable_chunks()->Swap(record.mutable_chunks());
  co_return std::optional(std::move(reply));
}

/// Copysets that a majority of members can write to now.
std::vector<placement::CopysetSpace> degraded_copysets(const Context& mds,
                                                       const wire::PoolRecord& pool) {
  std::vector<placement::CopysetSpace> usable;
  for (const auto& [id, copyset] : mds.state.copysets) {
    if (copyset.record.pool() != pool.id()) continue;
    placement::CopysetSpace space{.id = id, .capacity_bytes = 0, .free_bytes = UINT64_MAX};
    size_t serving = 0;
    for (uint64_t member : copyset.record.members()) {
      const auto& chunkserver = mds.state.chunkservers.at(ChunkserverId(member));
      if (mds.is_serving(chunkserver) && copyset.is_created_by(chunkserver.id())) ++serving;
      const uint64_t free = free_bytes(chunkserver, pool.chunk_bytes());
      if (free < space.free_bytes) {
        space.capacity_bytes = chunkserver.record.capacity_bytes();
        space.free_bytes = free;
      }
    }
    if (serving >= copyset.majority_count()) usable.push_back(space);
  }
  return usable;
}

/// Whole copysets on disks that are not drained, with a leader; if there is none, what can be
/// written to at all: a volume that grows is worth more than an even spread.
std::vector<placement::CopysetSpace> usable_copysets(Context& mds, const wire::PoolRecord& pool) {
  mds.place_chunkservers();
  auto whole = placement::segment_candidates(mds.state.placed, PoolId(pool.id()));
  const Instant now = mds.env.clock.now();
  std::erase_if(whole, [&](const placement::CopysetSpace& space) {
    return !has_leader(mds.state, space.id, now, mds.options);
  });
  return whole.empty() ? degraded_copysets(mds, pool) : whole;
}

Result<std::vector<CopysetId>> choose_copysets(Context& mds, const wire::VolumeRecord& volume) {
  const auto found = mds.state.pools.find(PoolId(volume.pool()));
  if (found == mds.state.pools.end()) {
    return error(Errc::kInternal, "volume '" + volume.info().name() + "' is in no pool");
  }
  const wire::PoolRecord& pool = found->second;
  const auto usable = usable_copysets(mds, pool);
  if (usable.empty()) {
    return error(Errc::kUnavailable,
                 !pool.copysets_planned()
                     ? "the pool has no copysets yet; " + std::to_string(pool.chunkservers_min()) +
                           " chunkservers have to register first; nothing was allocated"
                     : "no copyset has a majority of its replicas online now; nothing was "
                       "allocated; `cairn status` tells which chunkservers are missing");
  }
  const auto chunks = pool.segment_bytes() / pool.chunk_bytes();
  return placement::plan_segment(
      usable, {.chunks_per_segment = static_cast<uint32_t>(chunks), .fill = mds.options.fill},
      mds.rng);
}

io::Task<Result<wire::GetSegmentReply>> allocate(Context& mds, wire::GetSegmentRequest request) {
  const auto lock = CO_TRY(co_await mds.lock_for_mutation());
  const wire::VolumeRecord* volume = CO_TRY(find_volume(mds, request));  // it may be gone by now
  const VolumeId id(request.volume());
  // Somebody else may have been faster.
  auto existing = CO_TRY(co_await read_segment(mds, id, request.segment_index()));
  if (existing) co_return std::move(*existing);

  const auto copysets = CO_TRY(choose_copysets(mds, *volume));
  kv::WriteBatch batch;
  uint64_t chunk = mds.ids.take(IdKind::kChunk, copysets.size(), batch);
  wire::SegmentRecord segment;
  for (CopysetId copyset : copysets) {
    auto* location = segment.add_chunks();
    location->set_chunk(chunk++);
    location->set_copyset(copyset.value());
  }
  create_record(batch, keys::segment(id, request.segment_index()), segment);
  // Only holders of the lock change the volume: the pointer has outlived the read above.
  wire::VolumeRecord record = *volume;
  wire::VolumeInfo& info = *record.mutable_info();
  const uint64_t begin = request.segment_index() * info.segment_bytes();
  info.set_allocated_bytes(info.allocated_bytes() +
                           std::min(info.segment_bytes(), info.size_bytes() - begin));
  replace_record(batch, keys::volume(id), *volume, record);
  CO_TRY(co_await mds.commit(std::move(batch)));
  mds.state.volumes.at(id) = std::move(record);
  mds.metrics.segments_allocated.add();
  wire::GetSegmentReply reply;
  reply.mutable_chunks()->Swap(segment.mutable_chunks());
  co_return reply;
}

}  // namespace

io::Task<Result<wire::GetSegmentReply>> get_segment(Context& mds, wire::GetSegmentRequest request) {
  CO_TRY(find_volume(mds, request));
  auto existing =
      CO_TRY(co_await read_segment(mds, VolumeId(request.volume()), request.segment_index()));
  // The volume may have been deleted during the read; its chunks must not be used any more.
  CO_TRY(find_volume(mds, request));
  if (existing) co_return std::move(*existing);
  if (!request.allocate()) {
    co_return error(Errc::kNotFound, "segment " + std::to_string(request.segment_index()) +
                                         " of volume " + std::to_string(request.volume()) +
                                         " is not allocated");
  }
  co_return co_await allocate(mds, std::move(request));
}

}  // namespace cairn::mds::ops
