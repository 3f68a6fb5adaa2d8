/// How a protobuf message becomes a value of the store: a version, a checksum, the message.
///
/// The checksum covers the key, so that a value found under another key is as corrupt as a rotten
/// one. Source: docs/formats/meta.md.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace google::protobuf {
class MessageLite;
}

namespace cairn::mds {

inline constexpr uint8_t kRecordVersion = 1;
inline constexpr size_t kRecordHeadBytes = 5;  ///< version u8, crc32c u32

std::string encode_record(std::string_view key, const google::protobuf::MessageLite& message);

/// Errors: kCorrupt      shortened, rotten, or of another key.
///         kUnsupported  written by a newer version.
Status decode_record(std::string_view key, std::string_view value,
                     google::protobuf::MessageLite& into);

template <class Record>
Result<Record> decode_record(std::string_view key, std::string_view value) {
  Record record;
  TRY(decode_record(key, value, record));
  return record;
}

}  // namespace cairn::mds
