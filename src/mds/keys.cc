#include "mds/keys.h"

namespace cairn::mds::keys {

std::string hex(uint64_t number) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text(16, '0');
  for (size_t i = 16; i-- > 0; number >>= 4) text[i] = kDigits[number & 15];
  return text;
}

std::string counter(std::string_view kind) {
  return std::string(kCounters).append(kind);
}
std::string pool(PoolId id) {
  return std::string(kPools) + hex(id.value());
}
std::string chunkserver(ChunkserverId id) {
  return std::string(kChunkservers) + hex(id.value());
}
std::string copyset(CopysetId id) {
  return std::string(kCopysets) + hex(id.value());
}
std::string operator_key(uint64_t id) {
  return std::string(kOperators) + hex(id);
}
std::string zone(std::string_view name) {
  return std::string(kZones).append(name);
}
std::string server(std::string_view zone, std::string_view name) {
  return std::string(kServers).append(zone).append("/").append(name);
}
std::string volume(VolumeId id) {
  return std::string(kVolumes) + hex(id.value());
}
std::string volume_name(std::string_view name) {
  return std::string(kVolumeNames).append(name);
}
std::string segments_of(VolumeId id) {
  return std::string(kSegments) + hex(id.value()) + "/";
}
std::string segment(VolumeId id, uint64_t segment_index) {
  return segments_of(id) + hex(segment_index);
}
std::string session(VolumeId volume, SessionId id) {
  return std::string(kSessions) + hex(volume.value()) + "/" + hex(id.value());
}

}  // namespace cairn::mds::keys
