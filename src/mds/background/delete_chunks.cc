#include "mds/background/jobs.h"
#include "mds/copyset_caller.h"
#include "mds/keys.h"
#include "mds/record.h"
#include "wire/chunk.pb.h"

namespace cairn::mds {

namespace {

/// Chunks that are being deleted at once: clients' I/O goes on beside it.
constexpr size_t kWorkersMax = 8;
constexpr size_t kSegmentsPerPage = 16;

/// The chunks of one segment, on their way out; lives in the frame that waits for `done`.
struct SegmentWork {
  SegmentWork(io::Executor& executor, VolumeId owner, wire::SegmentRecord record)
      : volume(owner), segment(std::move(record)), done(executor) {}
  const VolumeId volume;
  const wire::SegmentRecord segment;
  int next = 0;
  int failed_count = 0;
  size_t workers_count = 0;
  io::Event done;
};

/// True once a leader has removed the chunk through its log (or had none).
io::Task<bool> delete_chunk(Context& mds, VolumeId volume, wire::ChunkLocation location) {
  wire::DeleteChunkRequest request;
  request.mutable_target()->set_copyset(location.copyset());
  request.mutable_target()->set_chunk(location.chunk());
  request.mutable_target()->set_volume(volume.value());
  const auto deleted = co_await call_leader<wire::DeleteChunkReply>(
      mds, CopysetId(location.copyset()), wire::Method::kDeleteChunk, std::move(request));
  if (deleted.ok()) co_return true;
  mds.env.logger.debug("a chunk was not deleted",
                       {{"chunk", location.chunk()}, {"error", deleted.error().describe()}});
  co_return false;
}

io::Task<void> run_worker(Context& mds, SegmentWork* work) {
  while (work->next < work->segment.chunks_size() && !mds.is_stopping()) {
    const wire::ChunkLocation location = work->segment.chunks(work->next++);
    const bool deleted = co_await delete_chunk(mds, work->volume, location);
    if (deleted) mds.metrics.chunks_deleted.add();
    if (!deleted) ++work->failed_count;
  }
  if (--work->workers_count == 0) work->done.set();
}

/// True once all chunks of the segment are gone.
io::Task<bool> delete_segment_chunks(Context& mds, VolumeId volume, wire::SegmentRecord segment) {
  SegmentWork work(mds.env.executor, volume, std::move(segment));
  const size_t workers = std::min(kWorkersMax, static_cast<size_t>(work.segment.chunks_size()));
  if (workers == 0) co_return true;
  work.workers_count = workers;  // before any of them can end
  for (size_t i = 0; i < workers; ++i) mds.env.executor.spawn(run_worker(mds, &work));
  co_await work.done.wait();
  co_return work.failed_count == 0 && work.next == work.segment.chunks_size();
}

io::Task<Status> forget_segment(Context& mds, std::string key, std::string value) {
  const auto lock = CO_TRY(co_await mds.lock_for_mutation());
  kv::WriteBatch batch;
  batch.require(key, std::move(value));
  batch.remove(std::move(key));
  co_return co_await mds.commit(std::move(batch));
}

io::Task<Status> forget_volume(Context& mds, VolumeId id) {
  const auto lock = CO_TRY(co_await mds.lock_for_mutation());
  const auto found = mds.state.volumes.find(id);
  if (found == mds.state.volumes.end()) co_return ok();
  CHECK(found->second.deleted());
  const std::string key = keys::volume(id);
  kv::WriteBatch batch;
  batch.require(key, encode_record(key, found->second));
  batch.remove(key);
  CO_TRY(co_await mds.commit(std::move(batch)));
  mds.state.volumes.erase(id);
  mds.fences.forget(id);
  mds.env.logger.info("a deleted volume's chunks are gone", {{"volume", id}});
  co_return ok();
}

struct Pass {
  bool is_complete = true;  ///< nothing of it is left
  bool has_progress = false;
};

/// Goes over a deleted volume's segments once; what fails is left for the next pass.
io::Task<Result<Pass>> delete_volume_chunks(Context& mds, VolumeId volume) {
  Pass pass;
  std::string after;
  while (!mds.is_stopping()) {
    const auto page =
        CO_TRY(co_await mds.store.scan(keys::segments_of(volume), kSegmentsPerPage, after));
    for (const auto& pair : page) {
      auto segment = CO_TRY(decode_record<wire::SegmentRecord>(pair.key, pair.value));
      if (co_await delete_segment_chunks(mds, volume, std::move(segment))) {
        CO_TRY(co_await forget_segment(mds, pair.key, pair.value));
        pass.has_progress = true;
      } else {
        pass.is_complete = false;
      }
      if (mds.is_stopping()) break;
    }
    if (page.size() < kSegmentsPerPage) break;
    after = page.back().key;
  }
  if (mds.is_stopping()) pass.is_complete = false;
  if (pass.is_complete) {
    CO_TRY(co_await forget_volume(mds, volume));
    pass.has_progress = true;
  }
  co_return pass;
}

std::vector<VolumeId> deleted_volumes(const ClusterState& state) {
  std::vector<VolumeId> ids;
  for (const auto& [id, record] : state.volumes) {
    if (record.deleted()) ids.push_back(id);
  }
  return ids;
}

}  // namespace

io::Task<void> run_delete_chunks(Context& mds) {
  const auto running = mds.jobs.enter();
  if (!running) co_return;
  Duration delay = mds.options.retry_delay_min;
  while (!mds.is_stopping()) {
    bool has_progress = false;
    for (VolumeId volume : deleted_volumes(mds.state)) {
      if (mds.is_stopping()) break;
      const auto pass = co_await delete_volume_chunks(mds, volume);
      if (pass.ok()) {
        has_progress |= pass->has_progress;
      } else {
        mds.env.logger.warn("deleting a volume's chunks failed; it is tried again",
                            {{"volume", volume}, {"error", pass.error().describe()}});
      }
    }
    if (mds.is_stopping()) break;
    if (deleted_volumes(mds.state).empty()) {
      delay = mds.options.retry_delay_min;
      co_await mds.volume_deleted.wait(std::nullopt);
    } else {
      delay = has_progress ? mds.options.retry_delay_min
                           : std::min(2 * delay, mds.options.retry_delay_max);
      co_await mds.volume_deleted.wait(delay);
    }
  }
}

}  // namespace cairn::mds
