/// What the answer to a heartbeat says about operators and about replicas that belong nowhere.
#pragma once

#include "mds/context.h"

namespace cairn::mds::ops {

/// Takes in how the operators of the copysets fare that `receiver` leads, ends those that are over,
/// and tells it the next step of the others: at most kChangesPerReplyMax. Operators that are not
/// stored yet are left alone: another MDS would not know of them.
void tell_changes(Context& mds, ChunkserverId receiver, const wire::HeartbeatRequest& request,
                  wire::HeartbeatReply& reply);

/// Names the replicas that `receiver` reports and is to delete: at most kRemovesPerReplyMax.
void tell_strays(Context& mds, ChunkserverId receiver, const wire::HeartbeatRequest& request,
                 wire::HeartbeatReply& reply);

inline constexpr int kChangesPerReplyMax = 256;
inline constexpr int kRemovesPerReplyMax = 256;

}  // namespace cairn::mds::ops
