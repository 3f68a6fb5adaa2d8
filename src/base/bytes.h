/// Views of bytes, and fixed-width little-endian fields.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/check.h"

namespace cairn {

using ByteView = std::span<const std::byte>;
using MutableByteView = std::span<std::byte>;

static_assert(std::endian::native == std::endian::little,
              "disk and wire formats are little-endian");

inline ByteView as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}
inline std::string_view as_text(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
template <typename T>
  requires std::is_trivially_copyable_v<T>
ByteView bytes_of(const T& object) {
  return {reinterpret_cast<const std::byte*>(&object), sizeof(T)};
}

/// Copies a trivially copyable T out of the front of `bytes`, which need not be aligned.
template <typename T>
  requires std::is_trivially_copyable_v<T>
T load(ByteView bytes) {
  CHECK(bytes.size() >= sizeof(T));
  T value;
  std::memcpy(&value, bytes.data(), sizeof(T));
  return value;
}
template <typename T>
  requires std::is_trivially_copyable_v<T>
void store(MutableByteView bytes, const T& value) {
  CHECK(bytes.size() >= sizeof(T));
  std::memcpy(bytes.data(), &value, sizeof(T));
}

}  // namespace cairn
