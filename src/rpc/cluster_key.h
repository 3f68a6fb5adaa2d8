/// The secret that all servers and clients of a cluster share.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace cairn::rpc {

/// Never leaves the process: peers prove to each other that they know it (docs/formats/rpc.md).
struct ClusterKey {
  std::string secret;
};

inline constexpr size_t kClusterKeyBytesMin = 16;

/// The content of a key file, without white space around it.
/// Errors: kInvalidArgument: shorter than kClusterKeyBytesMin.
Result<ClusterKey> parse_cluster_key(std::string_view text);

}  // namespace cairn::rpc
