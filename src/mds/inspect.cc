#include "mds/inspect.h"

#include <google/protobuf/util/json_util.h>

#include "mds/keys.h"
#include "mds/record.h"
#include "wire/mds.pb.h"
#include "wire/schedule.pb.h"
#include "wire/session.pb.h"

namespace cairn::mds {

namespace {

std::string quoted(std::string_view text) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string json = "\"";
  for (char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      json += '\\';
      json += c;
    } else if (byte < 0x20 || byte > 0x7e) {
      json += "\\u00";
      json += kDigits[byte >> 4];
      json += kDigits[byte & 15];
    } else {
      json += c;
    }
  }
  return json += '"';
}

struct Decoded {
  std::string_view record;
  Result<std::string> json;
};

template <class Record>
Result<std::string> to_json(const kv::KeyValue& pair) {
  const Record record = TRY(decode_record<Record>(pair.key, pair.value));
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  std::string json;
  const auto status = google::protobuf::util::MessageToJsonString(record, &json, options);
  if (!status.ok()) return error(Errc::kInternal, status.ToString());
  return json;
}

Decoded decode(const kv::KeyValue& pair) {
  const std::string_view key = pair.key;
  if (key == keys::kCluster) return {"ClusterRecord", to_json<wire::ClusterRecord>(pair)};
  if (key.starts_with(keys::kCounters)) {
    return {"IdCounterRecord", to_json<wire::IdCounterRecord>(pair)};
  }
  if (key.starts_with(keys::kPools)) return {"PoolRecord", to_json<wire::PoolRecord>(pair)};
  if (key.starts_with(keys::kChunkservers)) {
    return {"ChunkserverRecord", to_json<wire::ChunkserverRecord>(pair)};
  }
  if (key.starts_with(keys::kCopysets))
    return {"CopysetRecord", to_json<wire::CopysetRecord>(pair)};
  if (key.starts_with(keys::kOperators)) {
    return {"OperatorRecord", to_json<wire::OperatorRecord>(pair)};
  }
  if (key.starts_with(keys::kZones)) return {"ZoneRecord", to_json<wire::ZoneRecord>(pair)};
  if (key.starts_with(keys::kServers)) return {"ServerRecord", to_json<wire::ServerRecord>(pair)};
  if (key.starts_with(keys::kVolumes)) return {"VolumeRecord", to_json<wire::VolumeRecord>(pair)};
  if (key.starts_with(keys::kVolumeNames)) {
    return {"VolumeNameRecord", to_json<wire::VolumeNameRecord>(pair)};
  }
  if (key.starts_with(keys::kSegments))
    return {"SegmentRecord", to_json<wire::SegmentRecord>(pair)};
  if (key.starts_with(keys::kSessions))
    return {"SessionRecord", to_json<wire::SessionRecord>(pair)};
  return {"unknown", error(Errc::kUnsupported, "no record has such a key")};
}

}  // namespace

io::Task<Result<uint64_t>> inspect_meta(kv::MetaStore& store,
                                        std::function<void(std::string)> line) {
  uint64_t undecodable = 0;
  std::string after;
  while (true) {
    const auto page = CO_TRY(co_await store.scan("", kv::kScanLimitMax, after));
    for (const auto& pair : page) {
      const Decoded decoded = decode(pair);
      std::string text = "{\"key\":" + quoted(pair.key) + ",\"record\":" + quoted(decoded.record);
      if (decoded.json.ok()) {
        text += ",\"value\":" + *decoded.json + "}";
      } else {
        ++undecodable;
        text += ",\"error\":" + quoted(decoded.json.error().describe()) + "}";
      }
      line(std::move(text));
    }
    if (page.size() < kv::kScanLimitMax) co_return undecodable;
    after = page.back().key;
  }
}

}  // namespace cairn::mds
