/// pool.meta: what the files of a pool look like. Source: docs/formats/pool.md.
#pragma once

#include <array>
#include <cstdint>

#include "base/buffer.h"
#include "base/result.h"

namespace cairn::pool {

inline constexpr uint64_t kPoolMagic = 0x4c4f4f504e524143;
inline constexpr uint32_t kPoolVersion = 1;
inline constexpr const char* kPoolMetaName = "pool.meta";

struct PoolMeta {
  uint64_t magic = kPoolMagic;
  uint32_t version = kPoolVersion;
  uint32_t crc32c = 0;  ///< of this struct with this field zero
  uint64_t chunk_file_bytes = 0;
  std::array<uint8_t, 40> reserved{};
};
static_assert(sizeof(PoolMeta) == 64);

Buffer encode_pool_meta(uint64_t chunk_file_bytes);
/// kCorrupt: not a pool's meta file, or a rotten one; kUnsupported: of another version.
Result<PoolMeta> decode_pool_meta(ByteView bytes);

/// What a name in the pool's directory means.
struct PoolName {
  enum class Kind : uint8_t { kOther, kReady, kFormatting };
  Kind kind = Kind::kOther;
  uint64_t number = 0;
};
PoolName parse_pool_name(std::string_view name);
std::string ready_name(uint64_t number);
inline constexpr std::string_view kFormattingSuffix = ".formatting";

}  // namespace cairn::pool
