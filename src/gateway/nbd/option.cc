#include "gateway/nbd/option.h"

#include <algorithm>

namespace cairn::nbd {
namespace {

/// A text with its length before it; nothing if it does not fit.
std::optional<std::string> take_text(ByteView* data) {
  if (data->size() < sizeof(uint32_t)) return std::nullopt;
  const uint32_t bytes = take<uint32_t>(data);
  if (bytes > data->size() || bytes > kNameBytesMax) return std::nullopt;
  std::string text(as_text(data->first(bytes)));
  *data = data->subspan(bytes);
  return text;
}

}  // namespace

std::optional<OptionHeader> decode_option_header(ByteView bytes) {
  CHECK(bytes.size() == kOptionHeaderBytes);
  if (take<uint64_t>(&bytes) != kOptionMagic) return std::nullopt;
  OptionHeader header;
  header.option = static_cast<Option>(take<uint32_t>(&bytes));
  header.data_bytes = take<uint32_t>(&bytes);
  return header;
}

bool ExportQuery::wants(Info info) const {
  return std::find(wanted.begin(), wanted.end(), info) != wanted.end();
}

std::optional<ExportQuery> decode_export_query(ByteView data) {
  auto name = take_text(&data);
  if (!name || data.size() < sizeof(uint16_t)) return std::nullopt;
  const size_t count = take<uint16_t>(&data);
  if (data.size() != count * sizeof(uint16_t)) return std::nullopt;
  ExportQuery query{std::move(*name), {}};
  for (size_t i = 0; i < count; ++i) {
    query.wanted.push_back(static_cast<Info>(take<uint16_t>(&data)));
  }
  return query;
}

std::optional<MetaQuery> decode_meta_query(ByteView data) {
  auto name = take_text(&data);
  if (!name || data.size() < sizeof(uint32_t)) return std::nullopt;
  MetaQuery query{std::move(*name), {}};
  const uint32_t count = take<uint32_t>(&data);
  if (count > data.size() / sizeof(uint32_t)) return std::nullopt;
  for (uint32_t i = 0; i < count; ++i) {
    auto text = take_text(&data);
    if (!text) return std::nullopt;
    query.queries.push_back(std::move(*text));
  }
  if (!data.empty()) return std::nullopt;
  return query;
}

bool asks_for_base_allocation(const MetaQuery& query, bool is_list) {
  if (is_list && query.queries.empty()) return true;
  return std::any_of(query.queries.begin(), query.queries.end(), [is_list](const std::string& q) {
    return q == kBaseAllocation || (is_list && q == "base:");
  });
}

Bytes encode_greeting() {
  Bytes bytes;
  put(&bytes, kServerMagic);
  put(&bytes, kOptionMagic);
  put(&bytes, static_cast<uint16_t>(kFixedNewstyle | kNoZeroes));
  return bytes;
}

Bytes encode_option_reply(Option option, OptionReply type, ByteView data) {
  Bytes bytes;
  put(&bytes, kOptionReplyMagic);
  put(&bytes, option);
  put(&bytes, type);
  put(&bytes, static_cast<uint32_t>(data.size()));
  bytes.insert(bytes.end(), data.begin(), data.end());
  return bytes;
}

Bytes encode_option_error(Option option, OptionReply type, std::string_view text) {
  return encode_option_reply(option, type, as_bytes(text.substr(0, kNameBytesMax)));
}

Bytes encode_export_infos(Option option, const ExportQuery& query, const ExportFacts& facts) {
  Bytes all;
  const auto add = [&all, option](OptionReply type, const Bytes& data) {
    const Bytes reply = encode_option_reply(option, type, data);
    all.insert(all.end(), reply.begin(), reply.end());
  };
  Bytes info;
  put(&info, Info::kExport);
  put(&info, facts.size_bytes);
  put(&info, facts.flags);
  add(OptionReply::kInfo, info);
  if (query.wants(Info::kName)) {
    info.clear();
    put(&info, Info::kName);
    put_text(&info, facts.name);
    add(OptionReply::kInfo, info);
  }
  if (query.wants(Info::kDescription) && !facts.description.empty()) {
    info.clear();
    put(&info, Info::kDescription);
    put_text(&info, facts.description);
    add(OptionReply::kInfo, info);
  }
  info.clear();
  put(&info, Info::kBlockSize);
  put(&info, facts.block_bytes_min);
  put(&info, facts.block_bytes_preferred);
  put(&info, kPayloadBytesMax);
  add(OptionReply::kInfo, info);
  add(OptionReply::kAck, {});
  return all;
}

Bytes encode_export_name_answer(const ExportFacts& facts, bool no_zeroes) {
  Bytes bytes;
  put(&bytes, facts.size_bytes);
  put(&bytes, facts.flags);
  if (!no_zeroes) bytes.resize(bytes.size() + 124);
  return bytes;
}

Bytes encode_list_entry(std::string_view name, std::string_view description) {
  Bytes entry;
  put(&entry, static_cast<uint32_t>(name.size()));
  put_text(&entry, name);
  put_text(&entry, description);
  return encode_option_reply(Option::kList, OptionReply::kServer, entry);
}

Bytes encode_meta_context(Option option) {
  Bytes context;
  // The id has a meaning only where the context is selected.
  put(&context, option == Option::kSetMetaContext ? kBaseAllocationId : 0u);
  put_text(&context, kBaseAllocation);
  return encode_option_reply(option, OptionReply::kMetaContext, context);
}

}  // namespace cairn::nbd
