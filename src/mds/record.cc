#include "mds/record.h"

#include <google/protobuf/message_lite.h>

#include "base/bytes.h"
#include "base/crc32c.h"

namespace cairn::mds {

namespace {

uint32_t checksum(std::string_view key, std::string_view message) {
  const uint8_t version = kRecordVersion;
  return crc32c(as_bytes(message), crc32c(as_bytes(key), crc32c(bytes_of(version))));
}

}  // namespace

std::string encode_record(std::string_view key, const google::protobuf::MessageLite& message) {
  const std::string body = message.SerializeAsString();
  const uint32_t crc = checksum(key, body);
  std::string value(1, static_cast<char>(kRecordVersion));
  value.append(as_text(bytes_of(crc)));
  value.append(body);
  CHECK(value.size() == kRecordHeadBytes + body.size());
  return value;
}

Status decode_record(std::string_view key, std::string_view value,
                     google::protobuf::MessageLite& into) {
  const auto corrupt = [&](std::string_view why) {
    return error(Errc::kCorrupt, "the record of key '" + std::string(key) + "' " +
                                     std::string(why) + "; restore the metadata store from a copy");
  };
  if (value.size() < kRecordHeadBytes) return corrupt("is cut short");
  const auto version = static_cast<uint8_t>(value.front());
  if (version != kRecordVersion) {
    return error(Errc::kUnsupported, "the record of key '" + std::string(key) + "' has version " +
                                         std::to_string(version) + "; this program knows version " +
                                         std::to_string(kRecordVersion));
  }
  const std::string_view body = value.substr(kRecordHeadBytes);
  if (load<uint32_t>(as_bytes(value.substr(1))) != checksum(key, body)) {
    return corrupt("does not match its checksum");
  }
  if (!into.ParseFromArray(body.data(), static_cast<int>(body.size()))) {
    return corrupt("is not a message");
  }
  return ok();
}

}  // namespace cairn::mds
