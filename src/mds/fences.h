/// Fences: how the number of a volume's owner gets into the logs of the volume's copysets.
///
/// A volume's record says which fence holds; clients with an older one are told of no chunks any
/// more (ops/get_segment.cc). So the copysets that a fenced client can reach are those of the
/// segments allocated when the fence was stored, and each of them orders the fence in its log.
/// FenceProgress remembers how far that has come, so that a client that asks again goes on where
/// the call before it got stuck, and that an open whose fence is ordered costs nothing. It is not
/// stored: a new MDS orders once more, which changes nothing.
/// Threads: one reactor.
#pragma once

#include <map>
#include <set>

#include "base/ids.h"
#include "base/result.h"
#include "io/task.h"

namespace cairn::mds {

class Context;

class FenceProgress {
 public:
  bool is_ordered(VolumeId volume, Fence fence) const;
  bool is_ordered_in(VolumeId volume, Fence fence, CopysetId copyset) const;
  void note(VolumeId volume, Fence fence, CopysetId copyset);
  /// In all copysets that had to be told.
  void note_all(VolumeId volume, Fence fence);
  void forget(VolumeId volume) { volumes_.erase(volume); }

 private:
  struct Progress {
    Fence fence;
    bool is_complete = false;
    std::set<CopysetId> copysets;  ///< that have ordered it; empty once complete
  };
  std::map<VolumeId, Progress> volumes_;  ///< the highest fence of each
};

/// Returns when every copyset that holds chunks of the volume has ordered the fence, which the
/// volume's stored record has already. A few copysets at a time.
/// Errors: kStaleFence  a newer fence is there already.
///         kUnavailable, kTimeout, ...  a copyset that has no leader now: what was ordered stays.
io::Task<Status> order_fence(Context& mds, VolumeId volume, Fence fence);

}  // namespace cairn::mds
