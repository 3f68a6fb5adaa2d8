/// A topology as a file says it, and what it takes to make a cluster so.
///
///   [[pool]]                          # every key but the name may be left out: it stays as it is
///   name = "fast"
///   physical_pool = "default"
///   tags = ["ssd"]
///   replicas = 3
///   copysets_per_chunkserver = 100
///   chunkservers_min = 3
///   scatter_width_min = 2
///   [[zone]]
///   name = "rack-1"
///   physical_pool = "default"
///   [[server]]
///   name = "node-1"
///   zone = "rack-1"
///   [[chunkserver]]                   # one that has registered, by `id` or by `address`
///   address = "10.0.0.1:6800"
///   service = "read-write"            # or draining, retired
///   tags = ["ssd"]
/// The same as JSON, with arrays under the same keys. What the file does not name is left alone.
/// Pure. Errors: kInvalidArgument with the key that is wrong.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "base/result.h"
#include "wire/topology.pb.h"

namespace cairn::cli {

/// One call of the MDS.
struct TopologyStep {
  std::string what;  ///< for a person
  std::variant<wire::PutPoolRequest, wire::PutZoneRequest, wire::PutServerRequest,
               wire::SetChunkserversRequest>
      request;
};

/// In the order in which they have to be done; empty: the cluster is as the file says.
Result<std::vector<TopologyStep>> plan_topology(const std::string& text, bool is_json,
                                                const wire::ShowTopologyReply& present);

}  // namespace cairn::cli
