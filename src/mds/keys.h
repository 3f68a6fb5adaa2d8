/// The keys of the metadata server's store: docs/formats/meta.md.
#pragma once

#include <string>
#include <string_view>

#include "base/ids.h"

namespace cairn::mds::keys {

inline constexpr std::string_view kCluster = "cluster";
inline constexpr std::string_view kCounters = "counter/";
inline constexpr std::string_view kPools = "pool/";
inline constexpr std::string_view kChunkservers = "chunkserver/";
inline constexpr std::string_view kCopysets = "copyset/";
inline constexpr std::string_view kOperators = "operator/";
inline constexpr std::string_view kZones = "zone/";
inline constexpr std::string_view kServers = "server/";
inline constexpr std::string_view kVolumes = "volume/";
inline constexpr std::string_view kVolumeNames = "volume_name/";
inline constexpr std::string_view kSegments = "segment/";
inline constexpr std::string_view kSessions = "session/";

/// 16 hexadecimal digits, so that the keys' order is the numbers'.
std::string hex(uint64_t number);

std::string counter(std::string_view kind);
std::string pool(PoolId id);
std::string chunkserver(ChunkserverId id);
std::string copyset(CopysetId id);
std::string operator_key(uint64_t id);
std::string zone(std::string_view name);
std::string server(std::string_view zone, std::string_view name);
std::string volume(VolumeId id);
std::string volume_name(std::string_view name);
std::string segments_of(VolumeId id);
std::string segment(VolumeId id, uint64_t segment_index);
std::string session(VolumeId volume, SessionId id);

}  // namespace cairn::mds::keys
