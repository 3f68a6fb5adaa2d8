#include "store/pool/pool_meta.h"

#include <charconv>
#include <cstdio>

#include "base/crc32c.h"

namespace cairn::pool {

namespace {
constexpr std::string_view kPrefix = "file-";
constexpr size_t kDigitsMin = 8;

uint32_t crc_of(PoolMeta meta) {
  meta.crc32c = 0;
  return crc32c(bytes_of(meta));
}
}  // namespace

Buffer encode_pool_meta(uint64_t chunk_file_bytes) {
  CHECK(chunk_file_bytes > 0);
  PoolMeta meta;
  meta.chunk_file_bytes = chunk_file_bytes;
  meta.crc32c = crc_of(meta);
  return Buffer::copy_of(bytes_of(meta));
}

Result<PoolMeta> decode_pool_meta(ByteView bytes) {
  if (bytes.size() != sizeof(PoolMeta)) {
    return error(Errc::kCorrupt, "a pool's meta file has " + std::to_string(bytes.size()) +
                                     " bytes instead of " + std::to_string(sizeof(PoolMeta)));
  }
  const auto meta = load<PoolMeta>(bytes);
  if (meta.magic != kPoolMagic || meta.crc32c != crc_of(meta)) {
    return error(Errc::kCorrupt, "the checksum of a pool's meta file does not match");
  }
  if (meta.version != kPoolVersion) {
    return error(Errc::kUnsupported,
                 "a pool of version " + std::to_string(meta.version) + " is not known here");
  }
  if (meta.chunk_file_bytes == 0) {
    return error(Errc::kCorrupt, "a pool's meta file says that its files have no bytes");
  }
  return meta;
}

PoolName parse_pool_name(std::string_view name) {
  PoolName parsed;
  if (!name.starts_with(kPrefix)) return parsed;
  name.remove_prefix(kPrefix.size());
  const bool is_formatting = name.ends_with(kFormattingSuffix);
  if (is_formatting) name.remove_suffix(kFormattingSuffix.size());
  if (name.size() < kDigitsMin) return parsed;
  const auto [end, failure] =
      std::from_chars(name.data(), name.data() + name.size(), parsed.number);
  if (failure != std::errc() || end != name.data() + name.size()) return PoolName{};
  parsed.kind = is_formatting ? PoolName::Kind::kFormatting : PoolName::Kind::kReady;
  return parsed;
}

std::string ready_name(uint64_t number) {
  std::array<char, 32> digits{};
  std::snprintf(digits.data(), digits.size(), "%08llu", static_cast<unsigned long long>(number));
  return std::string(kPrefix) + digits.data();
}

}  // namespace cairn::pool
