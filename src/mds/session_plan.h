/// plan_open: who has to give way when a client opens a volume. Pure.
#pragma once

#include <string_view>
#include <vector>

#include "mds/cluster_state.h"

namespace cairn::mds {

/// Whether the session's lease runs. After a start of the MDS every session has a whole lease.
bool is_live(const Session& session, Instant started_at, Instant now, const Options& options);

struct OpenPlan {
  const Session* refused_by = nullptr;  ///< set: nothing else counts
  std::vector<SessionId> displaced;
  /// Whether the volume gets a new fence: always for an exclusive session, so that it is alone,
  /// and when one that could write is displaced or ended by itself.
  bool raises_fence = false;
};

/// Exclusive sessions go with no other; the others go with each other. Whoever does not go with
/// the new session gives way if its lease has run out, if it is the client's own and the request
/// replaces these, or by force.
OpenPlan plan_open(const Sessions& sessions, const wire::OpenSessionRequest& request,
                   Instant started_at, Instant now, const Options& options);

/// Whether the end of such a session moves the volume's fence: what an exclusive writer has left in
/// the network must not reach what the next client reads, in whatever mode that one opens.
bool fences_at_end(const Session& session);

}  // namespace cairn::mds
