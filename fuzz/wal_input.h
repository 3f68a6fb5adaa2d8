/// A fuzzer's input as the segments of a log.
///
/// A byte of flags (1: make the checksums right first), then pieces, each a length of two bytes and
/// so many bytes, which are padded to whole blocks: so that small inputs make long logs. A piece
/// whose length is 0xffff begins the next segment.
#pragma once

#include <algorithm>
#include <vector>

#include "base/crc32c.h"
#include "store/wal/format.h"

namespace cairn::wal {

inline constexpr uint64_t kToken = 77;
inline constexpr size_t kBytesMax = 4 * kMiB;

using Segments = std::vector<std::vector<std::byte>>;

inline Segments expand(ByteView input) {
  Segments segments(1);
  size_t total_bytes = 0;
  while (input.size() >= 2 && total_bytes < kBytesMax) {
    const auto length = load<uint16_t>(input);
    input = input.subspan(2);
    if (length == 0xffff) {
      segments.emplace_back();
      continue;
    }
    const ByteView piece = input.first(std::min<size_t>(length, input.size()));
    input = input.subspan(piece.size());
    auto& segment = segments.back();
    segment.insert(segment.end(), piece.begin(), piece.end());
    segment.resize(round_up(segment.size(), kBlockBytes));
    total_bytes += round_up(piece.size(), kBlockBytes);
  }
  return segments;
}

inline void repair(std::vector<std::byte>& segment, uint64_t sequence) {
  const MutableByteView bytes(segment);
  for (size_t at = 0; at + kBlockBytes <= bytes.size(); at += kBlockBytes) {
    const MutableByteView block = bytes.subspan(at);
    if (at == 0 && load<uint64_t>(block) == kSegmentMagic) {
      auto header = load<SegmentHeader>(block);
      header.version = kSegmentVersion;
      header.crc = 0;
      header.sequence = sequence;
      header.token = kToken;
      store(block, header);
      header.crc = crc32c(block.first(kBlockBytes), seed_of(sequence));
      store(block, header);
    }
    if (load<uint32_t>(block) != kBatchMagic) continue;
    auto header = load<BatchHeader>(block);
    if (header.descriptor_bytes > block.size()) continue;
    header.version = kBatchVersion;
    header.crc = 0;
    header.sequence = sequence;
    header.token = kToken;
    store(block, header);
    header.crc = crc32c(ByteView(block).first(header.descriptor_bytes), seed_of(sequence));
    store(block, header);
  }
}

inline Segments segments_of(ByteView input) {
  if (input.empty()) return {};
  Segments segments = expand(input.subspan(1));
  if (std::to_integer<int>(input[0]) & 1) {
    for (size_t i = 0; i < segments.size(); ++i) repair(segments[i], i + 1);
  }
  return segments;
}

}  // namespace cairn::wal
