/// The NBD protocol's numbers, and its big-endian fields.
/// Source: the NBD protocol document (fixed newstyle handshake, structured replies, meta contexts).
#pragma once

#include <bit>
#include <concepts>
#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "base/units.h"

namespace cairn::nbd {

inline constexpr uint64_t kServerMagic = 0x4e42444d41474943;  // NBDMAGIC
inline constexpr uint64_t kOptionMagic = 0x49484156454f5054;  // IHAVEOPT
inline constexpr uint64_t kOptionReplyMagic = 0x0003e889045565a9;
inline constexpr uint32_t kRequestMagic = 0x25609513;
inline constexpr uint32_t kSimpleReplyMagic = 0x67446698;
inline constexpr uint32_t kChunkMagic = 0x668e33ef;

/// Limits that the protocol's document recommends or requires.
inline constexpr uint32_t kPayloadBytesMax = 32 * kMiB;
inline constexpr uint32_t kNameBytesMax = 4096;

inline constexpr size_t kOptionHeaderBytes = 16;
inline constexpr size_t kRequestBytes = 28;
inline constexpr size_t kSimpleReplyBytes = 16;
inline constexpr size_t kChunkHeaderBytes = 20;

/// Of the server's greeting and of the client's answer to it.
enum HandshakeFlag : uint16_t { kFixedNewstyle = 1, kNoZeroes = 2 };

enum class Option : uint32_t {
  kExportName = 1,
  kAbort = 2,
  kList = 3,
  kStartTls = 5,
  kInfo = 6,
  kGo = 7,
  kStructuredReply = 8,
  kListMetaContext = 9,
  kSetMetaContext = 10,
};

enum class OptionReply : uint32_t {
  kAck = 1,
  kServer = 2,
  kInfo = 3,
  kMetaContext = 4,
  kUnsupported = 0x80000001,
  kPolicy = 0x80000002,
  kInvalid = 0x80000003,
  kPlatform = 0x80000004,
  kUnknown = 0x80000006,
  kShutdown = 0x80000007,
  kTooBig = 0x80000009,
};

enum class Info : uint16_t { kExport = 0, kName = 1, kDescription = 2, kBlockSize = 3 };

enum TransmissionFlag : uint16_t {
  kHasFlags = 1 << 0,
  kReadOnly = 1 << 1,
  kSendFlush = 1 << 2,
  kSendFua = 1 << 3,
  kSendTrim = 1 << 5,
  kSendWriteZeroes = 1 << 6,
  kSendDf = 1 << 7,
  kCanMultiConn = 1 << 8,
  kSendCache = 1 << 10,
  kSendFastZero = 1 << 11,
};

enum class Command : uint16_t {
  kRead = 0,
  kWrite = 1,
  kDisconnect = 2,
  kFlush = 3,
  kTrim = 4,
  kCache = 5,
  kWriteZeroes = 6,
  kBlockStatus = 7,
};

enum CommandFlag : uint16_t {
  kFua = 1 << 0,
  kNoHole = 1 << 1,
  kDf = 1 << 2,
  kReqOne = 1 << 3,
  kFastZero = 1 << 4,
};

enum class ChunkType : uint16_t {
  kNone = 0,
  kOffsetData = 1,
  kOffsetHole = 2,
  kBlockStatus = 5,
  kError = 0x8001,
};
inline constexpr uint16_t kChunkDone = 1;

/// The errors of replies; the values are those of Linux.
enum class Fault : uint32_t {
  kNone = 0,
  kPermission = 1,
  kIo = 5,
  kNoMemory = 12,
  kInvalid = 22,
  kNoSpace = 28,
  kOverflow = 75,
  kNotSupported = 95,
  kShutdown = 108,
};

/// States of base:allocation.
enum AllocationFlag : uint32_t { kStateHole = 1, kStateZero = 2 };
inline constexpr std::string_view kBaseAllocation = "base:allocation";
inline constexpr uint32_t kBaseAllocationId = 1;

template <std::unsigned_integral T>
constexpr T from_big_endian(T value) {
  if constexpr (sizeof(T) == 1) return value;
  if constexpr (sizeof(T) == 2) return __builtin_bswap16(value);
  if constexpr (sizeof(T) == 4) return __builtin_bswap32(value);
  if constexpr (sizeof(T) == 8) return __builtin_bswap64(value);
}

/// The big-endian T at the front of `bytes`.
template <std::unsigned_integral T>
T get(ByteView bytes) {
  return from_big_endian(load<T>(bytes));
}
/// The same, and drops it from the view.
template <std::unsigned_integral T>
T take(ByteView* bytes) {
  const T value = get<T>(*bytes);
  *bytes = bytes->subspan(sizeof(T));
  return value;
}

/// Bytes of a message that is being put together.
using Bytes = std::vector<std::byte>;
template <std::unsigned_integral T>
void put(Bytes* into, T value) {
  const T big = from_big_endian(value);
  const ByteView bytes = bytes_of(big);
  into->insert(into->end(), bytes.begin(), bytes.end());
}
template <typename E>
  requires std::is_enum_v<E>
void put(Bytes* into, E value) {
  put(into, static_cast<std::underlying_type_t<E>>(value));
}
inline void put_text(Bytes* into, std::string_view text) {
  const ByteView bytes = as_bytes(text);
  into->insert(into->end(), bytes.begin(), bytes.end());
}

}  // namespace cairn::nbd
