/// What callers may call things: checked before anything is done, in words that say what to change.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "mds/cluster_state.h"

namespace cairn::mds {

inline constexpr size_t kVolumeNameBytesMax = 128;
inline constexpr size_t kLabelBytesMax = 64;
inline constexpr size_t kAddressBytesMax = 255;
inline constexpr size_t kClientNameBytesMax = 255;
inline constexpr size_t kTokenBytes = 16;
inline constexpr size_t kDiskErrorBytesMax = 512;

/// Labels with slashes between: folders, and the volume's own name.
Status check_volume_name(std::string_view name);
/// A name of a zone, server, pool or cluster: letters, digits, '.', '_' and '-'; begins with a
/// letter or a digit. `what` begins the message.
Status check_label(std::string_view what, std::string_view label);
/// Not empty and without white space; what it means is the network's business.
Status check_address(std::string_view address);
/// Labels, none twice, and no more different ones than a cluster can tell apart.
Status check_tags(const ClusterState& state,
                  const google::protobuf::RepeatedPtrField<std::string>& tags);
/// Shown to people: printable characters; may be empty.
Status check_client_name(std::string_view name);
Status check_owner(std::string_view owner);
Status check_volume_size(uint64_t size_bytes, uint64_t size_bytes_max);

}  // namespace cairn::mds
