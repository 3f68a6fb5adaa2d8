/// Batches that begin and end sessions; used by the operations and by the background job.
/// Threads: one reactor. All are called under the mutation lock.
#pragma once

#include "mds/context.h"

namespace cairn::mds {

/// What one batch does to a volume and its sessions: first put together, then committed, then
/// shown in the state.
class SessionChange {
 public:
  /// The volume is in the state and in use.
  SessionChange(const Context& mds, VolumeId volume);

  /// At most once.
  void raise_fence();
  void end(SessionId id);
  /// Adds a session with the volume's fence.
  void begin(wire::SessionRecord record);

  Fence fence() const { return Fence(volume_.info().fence()); }
  /// Errors: those of Context::commit; the state is as it was then, or loaded anew.
  io::Task<Status> commit(Context& mds);

 private:
  wire::VolumeRecord before_, volume_;
  std::vector<wire::SessionRecord> ended_;
  std::vector<wire::SessionRecord> begun_;
  const Context& mds_;
};

}  // namespace cairn::mds
