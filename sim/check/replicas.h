/// Replicas of a copyset compared by their digests, and the fingerprint of a run. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"

namespace cairn::sim {

struct ChunkState {
  uint32_t crc32c = 0;
  uint32_t blocks_written_count = 0;
  uint32_t blocks_corrupt_count = 0;
  bool operator==(const ChunkState&) const = default;
};

/// One replica, as it stands.
struct ReplicaState {
  uint64_t node = 0;
  LogIndex applied;
  std::map<ChunkId, ChunkState> chunks;
};

/// What differs between the replicas of a copyset; nothing if they are identical. A chunk that is
/// not there equals one of holes alone.
std::optional<std::string> compare_replicas(CopysetId copyset,
                                            const std::vector<ReplicaState>& replicas);

/// Two runs of a seed are the same run if their fingerprints are equal.
class Fingerprint {
 public:
  void mix(uint64_t value);
  void mix(std::string_view text);
  uint64_t value() const { return state_; }

 private:
  uint64_t state_ = 0x9e3779b97f4a7c15;
};

}  // namespace cairn::sim
