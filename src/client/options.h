/// ClientOptions: how to reach a cluster, and every bound of the client.
#pragma once

#include <string>
#include <vector>

#include "base/units.h"
#include "io/network.h"
#include "rpc/cluster_key.h"

namespace cairn::client {

struct ClientOptions {
  /// All MDS addresses; the client finds the one that answers. At least one.
  std::vector<io::Address> mds;
  rpc::ClusterKey key;
  /// Who this is, for people who find a volume open: HOST:PID, say.
  std::string client_name;

  /// An operation is retried until this long after its start, then it fails with kTimeout.
  Duration op_deadline = 60s;
  /// One try's time: starts at min, doubles at each timeout.
  Duration try_timeout_min = 1s;
  Duration try_timeout_max = 8s;
  /// The pause after all members of a copyset (or all MDS addresses) were tried in vain; doubles
  /// from min to max, each with jitter.
  Duration backoff_min = 10ms;
  Duration backoff_max = 250ms;
  /// A member that did not answer is asked after the others for this long.
  Duration suspicion = 1s;

  /// The payload of one RPC; parts begin at multiples of it within the chunk.
  uint32_t part_bytes_max = 1 * kMiB;
  /// Under way at once for a volume.
  size_t inflight_parts_max = 128;
  uint64_t inflight_bytes_max = 64 * kMiB;
  /// Operations of a volume that have begun, the waiting ones included: kOverloaded above.
  size_t ops_max = 4096;
  /// The payload of one read or write.
  uint64_t op_bytes_max = 64 * kMiB;
};

}  // namespace cairn::client
