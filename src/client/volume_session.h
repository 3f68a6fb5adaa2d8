/// VolumeSession: keeps a volume's session alive, and knows when it is lost.
///
/// The lease is renewed three times before it can end. A renewal that is not answered is tried
/// again, for as long as it takes: the client may go on, because what keeps a former owner out is
/// the fence in the copysets' logs and not its own clock. A session is lost when somebody says that
/// the volume has a newer owner: the MDS to a renewal, or a copyset to a read or write.
/// Threads:  the reactor's.
/// Lifetime: close() before the destructor; `shared` outlives it.
#pragma once

#include <algorithm>
#include <functional>
#include <optional>
#include <string>

#include "base/ids.h"
#include "base/result.h"
#include "client/open_options.h"
#include "io/env.h"
#include "io/sync.h"

namespace cairn::client {

struct Shared;

struct SessionTraits {
  SessionId id;
  VolumeId volume;
  std::string volume_name;
  Fence fence;
  OpenMode mode = OpenMode::kShared;
  Duration lease{};
  uint64_t volume_bytes = 0;  ///< as the MDS said at the open
};

class VolumeSession {
 public:
  VolumeSession(Shared& shared, SessionTraits traits);
  ~VolumeSession();
  VolumeSession(const VolumeSession&) = delete;
  VolumeSession& operator=(const VolumeSession&) = delete;

  OpenMode mode() const { return traits_.mode; }
  /// The volume's size as last heard, in the answer to a renewal or by note_size(). It only grows.
  uint64_t volume_bytes() const { return volume_bytes_; }
  void note_size(uint64_t volume_bytes) { volume_bytes_ = std::max(volume_bytes_, volume_bytes); }
  /// Why nothing works any more; kStaleFence.
  const std::optional<Error>& loss() const { return loss_; }
  void lose(const Error& why);
  /// Called once, when the session is lost; at once if it is already.
  void on_loss(std::function<void(const Error&)> callback);

  /// Renews no more and tells the MDS, which may be out of reach: then the lease runs out.
  io::Task<void> close();

 private:
  void renew_later();
  io::Task<void> renew();

  Shared& shared_;
  io::Env env_;
  const SessionTraits traits_;
  uint64_t volume_bytes_;
  io::Timer timer_;
  io::Gate gate_;
  std::optional<Error> loss_;
  std::function<void(const Error&)> callback_;
  Counter& losses_;
};

}  // namespace cairn::client
