#include "base/crc32c.h"

#include <isa-l/crc.h>

namespace cairn {

uint32_t crc32c(ByteView data, uint32_t seed) {
  // isa-l's crc32_iscsi neither inverts its seed nor its result, and takes an int for the size.
  uint32_t crc = ~seed;
  constexpr size_t kStepBytes = size_t{1} << 30;
  while (!data.empty()) {
    const size_t step = std::min(data.size(), kStepBytes);
    auto* bytes = reinterpret_cast<unsigned char*>(const_cast<std::byte*>(data.data()));
    crc = crc32_iscsi(bytes, static_cast<int>(step), crc);
    data = data.subspan(step);
  }
  return ~crc;
}

}  // namespace cairn
