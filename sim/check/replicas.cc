#include "sim/check/replicas.h"

#include <set>

namespace cairn::sim {

std::optional<std::string> compare_replicas(CopysetId copyset,
                                            const std::vector<ReplicaState>& replicas) {
  if (replicas.empty()) return std::nullopt;
  const std::string place = "copyset " + to_string(copyset);
  std::set<ChunkId> chunks;
  for (const ReplicaState& replica : replicas) {
    for (const auto& [chunk, state] : replica.chunks) chunks.insert(chunk);
    if (replica.applied != replicas[0].applied) {
      return place + ": node " + std::to_string(replica.node) + " has applied " +
             to_string(replica.applied) + ", node " + std::to_string(replicas[0].node) + " " +
             to_string(replicas[0].applied);
    }
  }
  for (const ChunkId chunk : chunks) {
    const ReplicaState* sound = nullptr;
    for (const ReplicaState& replica : replicas) {
      const auto found = replica.chunks.find(chunk);
      const ChunkState state = found == replica.chunks.end() ? ChunkState{} : found->second;
      const std::string here =
          place + " chunk " + to_string(chunk) + " on node " + std::to_string(replica.node);
      if (state.blocks_corrupt_count > 0) {
        return here + " has " + std::to_string(state.blocks_corrupt_count) + " corrupt blocks";
      }
      if (!sound) {
        sound = &replica;
        continue;
      }
      const auto other = sound->chunks.find(chunk);
      const ChunkState expected = other == sound->chunks.end() ? ChunkState{} : other->second;
      const bool both_holes = state.blocks_written_count == 0 && expected.blocks_written_count == 0;
      if (both_holes || state == expected) continue;
      return here + " differs from node " + std::to_string(sound->node) + ": crc " +
             std::to_string(state.crc32c) + " of " + std::to_string(state.blocks_written_count) +
             " blocks against " + std::to_string(expected.crc32c) + " of " +
             std::to_string(expected.blocks_written_count);
    }
  }
  return std::nullopt;
}

void Fingerprint::mix(uint64_t value) {
  state_ = (state_ ^ value) * 0xff51afd7ed558ccd;
  state_ ^= state_ >> 32;
}

void Fingerprint::mix(std::string_view text) {
  mix(text.size());
  for (const char c : text) mix(static_cast<uint8_t>(c));
}

}  // namespace cairn::sim
