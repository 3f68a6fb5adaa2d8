/// What a range of a volume is made of. Units: bytes.
#pragma once

#include "base/buffer.h"

namespace cairn::client {

/// What lies in a piece of a range that was read.
struct ReadPiece {
  uint64_t size_bytes = 0;
  Buffer data;  ///< empty: zeros
};

/// What is known of a piece of a volume without reading it.
struct Extent {
  uint64_t size_bytes = 0;
  bool is_allocated = false;  ///< false: reads as zeros
};

}  // namespace cairn::client
