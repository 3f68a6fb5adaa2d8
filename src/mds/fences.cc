#include "mds/fences.h"

#include "base/planted_bug.h"
#include "mds/copyset_caller.h"
#include "mds/keys.h"
#include "mds/record.h"
#include "wire/session.pb.h"

namespace cairn::mds {

bool FenceProgress::is_ordered(VolumeId volume, Fence fence) const {
  if (fence.is_zero()) return true;
  const auto found = volumes_.find(volume);
  return found != volumes_.end() && found->second.fence == fence && found->second.is_complete;
}

bool FenceProgress::is_ordered_in(VolumeId volume, Fence fence, CopysetId copyset) const {
  const auto found = volumes_.find(volume);
  if (found == volumes_.end() || found->second.fence != fence) return false;
  return found->second.is_complete || found->second.copysets.contains(copyset);
}

void FenceProgress::note(VolumeId volume, Fence fence, CopysetId copyset) {
  Progress& progress = volumes_[volume];
  if (fence < progress.fence) return;
  if (fence > progress.fence) progress = {.fence = fence, .is_complete = false, .copysets = {}};
  if (!progress.is_complete) progress.copysets.insert(copyset);
}

void FenceProgress::note_all(VolumeId volume, Fence fence) {
  Progress& progress = volumes_[volume];
  if (fence < progress.fence) return;
  progress = {.fence = fence, .is_complete = true, .copysets = {}};
}

namespace {

/// Copysets that are told at once.
constexpr size_t kWorkersMax = 16;
constexpr size_t kSegmentsPerPage = 64;

/// Lives in the frame that waits for `done`.
struct FenceWork {
  FenceWork(io::Executor& executor, VolumeId of, Fence to)
      : volume(of), fence(to), done(executor) {}
  const VolumeId volume;
  const Fence fence;
  std::vector<CopysetId> copysets;
  size_t next = 0;
  std::optional<Error> failure;  ///< the first; a stale fence replaces others
  size_t workers_count = 0;
  io::Event done;
};

io::Task<Result<std::set<CopysetId>>> copysets_of(Context& mds, VolumeId volume) {
  std::set<CopysetId> copysets;
  std::string after;
  while (true) {
    const auto page =
        CO_TRY(co_await mds.store.scan(keys::segments_of(volume), kSegmentsPerPage, after));
    for (const auto& pair : page) {
      const auto segment = CO_TRY(decode_record<wire::SegmentRecord>(pair.key, pair.value));
      for (const auto& chunk : segment.chunks()) copysets.insert(CopysetId(chunk.copyset()));
    }
    if (page.size() < kSegmentsPerPage) co_return copysets;
    after = page.back().key;
  }
}

io::Task<void> run_worker(Context& mds, FenceWork* work) {
  while (work->next < work->copysets.size() && !mds.is_stopping()) {
    const CopysetId copyset = work->copysets[work->next++];
    wire::RaiseFenceRequest request;
    request.set_copyset(copyset.value());
    request.set_volume(work->volume.value());
    request.set_fence(work->fence.value());
    const auto raised = co_await call_leader<wire::RaiseFenceReply>(
        mds, copyset, wire::Method::kRaiseFence, std::move(request));
    if (raised.ok()) {
      mds.metrics.fences_raised.add();
      mds.fences.note(work->volume, work->fence, copyset);
    } else if (!work->failure || raised.code() == Errc::kStaleFence) {
      work->failure = raised.error();
    }
  }
  if (--work->workers_count == 0) work->done.set();
}

}  // namespace

io::Task<Status> order_fence(Context& mds, VolumeId volume, Fence fence) {
  if (mds.fences.is_ordered(volume, fence)) co_return ok();
  if (is_planted(PlantedBug::kFenceNotOrdered)) co_return ok();
  FenceWork work(mds.env.executor, volume, fence);
  for (CopysetId copyset : CO_TRY(co_await copysets_of(mds, volume))) {
    if (!mds.fences.is_ordered_in(volume, fence, copyset)) work.copysets.push_back(copyset);
  }
  work.workers_count = std::min(kWorkersMax, work.copysets.size());
  if (work.workers_count > 0) {
    for (size_t i = 0; i < std::min(kWorkersMax, work.copysets.size()); ++i) {
      mds.env.executor.spawn(run_worker(mds, &work));
    }
    co_await work.done.wait();
  }
  if (work.failure) {
    co_return work.failure->within("the fence of volume " + to_string(volume) +
                                   " is not ordered in all its copysets yet");
  }
  if (mds.is_stopping()) co_return error(Errc::kUnavailable, "this MDS is stopping; ask again");
  mds.fences.note_all(volume, fence);
  co_return ok();
}

}  // namespace cairn::mds
