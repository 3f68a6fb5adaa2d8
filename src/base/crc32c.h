/// CRC-32C (Castagnoli), in hardware. crc32c("123456789") == 0xe3069283.
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace cairn {

/// The checksum of `data`; to go on over more bytes pass the result as `seed`.
uint32_t crc32c(ByteView data, uint32_t seed = 0);

}  // namespace cairn
