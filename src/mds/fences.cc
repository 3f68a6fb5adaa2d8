#include "mds/fences.h"

#include "base/planted_bug.h"
#include "mds/copyset_caller.h"
#include "mds/copyset_round.h"
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

constexpr size_t kSegmentsPerPage = 64;

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

/// Tells copysets of a volume's fence.
class FenceRound final : public CopysetRound {
 public:
  FenceRound(Context& mds, VolumeId volume, Fence fence)
      : CopysetRound(mds), volume_(volume), fence_(fence) {}

  /// The first; a stale fence replaces others.
  const std::optional<Error>& failure() const { return failure_; }

 private:
  io::Task<void> visit(CopysetId copyset) override {
    wire::RaiseFenceRequest request;
    request.set_copyset(copyset.value());
    request.set_volume(volume_.value());
    request.set_fence(fence_.value());
    const auto raised = co_await call_leader<wire::RaiseFenceReply>(
        mds(), copyset, wire::Method::kRaiseFence, std::move(request));
    if (raised.ok()) {
      mds().metrics.fences_raised.add();
      mds().fences.note(volume_, fence_, copyset);
    } else if (!failure_ || raised.code() == Errc::kStaleFence) {
      failure_ = raised.error();
    }
  }

  const VolumeId volume_;
  const Fence fence_;
  std::optional<Error> failure_;
};

}  // namespace

io::Task<Status> order_fence(Context& mds, VolumeId volume, Fence fence) {
  if (mds.fences.is_ordered(volume, fence)) co_return ok();
  if (is_planted(PlantedBug::kFenceNotOrdered)) co_return ok();
  std::vector<CopysetId> untold;
  for (CopysetId copyset : CO_TRY(co_await copysets_of(mds, volume))) {
    if (!mds.fences.is_ordered_in(volume, fence, copyset)) untold.push_back(copyset);
  }
  FenceRound round(mds, volume, fence);
  co_await round.visit_all(std::move(untold));
  if (round.failure()) {
    co_return round.failure()->within("the fence of volume " + to_string(volume) +
                                      " is not ordered in all its copysets yet");
  }
  if (mds.is_stopping()) co_return error(Errc::kUnavailable, "this MDS is stopping; ask again");
  mds.fences.note_all(volume, fence);
  co_return ok();
}

}  // namespace cairn::mds
