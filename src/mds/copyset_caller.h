/// call_leader: one call to whichever replica leads a copyset: the leader as last heard, then where
/// answers point, then member after member. For what the MDS wants ordered in a copyset's log.
///
/// Errors:   the last attempt's; kUnavailable where no attempt could be made.
/// Threads:  one reactor. Lifetime: the context outlives it.
#pragma once

#include "mds/context.h"
#include "rpc/client.h"
#include "wire/methods.h"

namespace cairn::mds {

struct LeaderTries {
  int attempts_max = 5;  ///< members that are asked before the caller has to come again
  Duration timeout{};    ///< of each; 0: options.leader_call_timeout
};

/// Where a chunkserver is reached; empty: it is not known.
inline std::string address_of(const Context& mds, uint64_t node) {
  const auto found = mds.state.chunkservers.find(ChunkserverId(node));
  return found == mds.state.chunkservers.end() ? std::string() : found->second.record.address();
}

/// Whom to ask in attempt `attempt`: the leader first, then member after member.
inline std::string whom_to_ask(const Context& mds, CopysetId id, int attempt) {
  const auto found = mds.state.copysets.find(id);
  if (found == mds.state.copysets.end()) return {};
  const Copyset& copyset = found->second;
  const ChunkserverId leader = mds.state.leader_of(id);
  if (attempt == 0 && !leader.is_none()) return address_of(mds, leader.value());
  return address_of(mds, copyset.record.members(attempt % copyset.record.members_size()));
}

template <class Reply, class Request>
io::Task<Result<Reply>> call_leader(Context& mds, CopysetId copyset, wire::Method method,
                                    Request request, LeaderTries tries = {}) {
  const Duration timeout =
      tries.timeout > Duration::zero() ? tries.timeout : mds.options.leader_call_timeout;
  std::string redirect;
  Error last = error(Errc::kUnavailable, "no member can be asked");
  for (int attempt = 0; attempt < tries.attempts_max && !mds.is_stopping(); ++attempt) {
    std::string to =
        redirect.empty() ? whom_to_ask(mds, copyset, attempt) : std::exchange(redirect, {});
    if (to.empty()) continue;
    auto answer =
        co_await mds.client.call<Reply>(io::Address{std::move(to)}, method, request, {}, timeout);
    if (!answer.ok()) {
      last = answer.error();
      // The leader has decided; another would decide alike.
      if (last.code() == Errc::kStaleFence) break;
      continue;
    }
    if (!answer->message.has_redirect()) co_return std::move(answer->message);
    last = error(Errc::kNotLeader, "no leader is known");
    redirect = answer->message.redirect().leader_address();
    if (redirect.empty()) redirect = address_of(mds, answer->message.redirect().leader_node());
  }
  co_return last.within("copyset " + to_string(copyset));
}

}  // namespace cairn::mds
