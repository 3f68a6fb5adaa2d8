/// Finds the batches in a segment's bytes: pure, and total over any bytes.
/// Source: docs/formats/wal.md, "Reading it back".
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "store/wal/format.h"

namespace cairn::wal {

struct ScannedBatch {
  uint64_t offset_bytes = 0;
  BatchView view;                    ///< points into the segment's bytes
  std::vector<size_t> damaged = {};  ///< records whose payload is not what was written
  uint64_t end_bytes() const { return offset_bytes + view.header.total_bytes(); }
};

struct SegmentScan {
  uint64_t sequence = 0;
  uint64_t file_bytes = 0;
  std::optional<SegmentHeader> header = {};
  std::string header_problem = {};         ///< why there is no header
  std::vector<ScannedBatch> batches = {};  ///< valid descriptors, by offset
  std::optional<uint64_t> unreadable_bytes =
      {};  ///< offset of the last block that the device refused

  /// The number of the segment's first batch, if that can be told.
  std::optional<uint64_t> first_batch() const;
};

/// The token of whatever in the segment is sound; 0: nothing is.
uint64_t token_in(ByteView bytes, uint64_t sequence);

/// kUnsupported: the segment is sound and of a newer version. kCorrupt: it is sound and of another
/// store. All other damage is in the result. Payloads are verified if `verify_payloads`.
Result<SegmentScan> scan_segment(ByteView bytes, uint64_t sequence, uint64_t token,
                                 bool verify_payloads);

}  // namespace cairn::wal
