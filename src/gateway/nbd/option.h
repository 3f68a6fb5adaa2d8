/// Options of the handshake: decoding and encoding, pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "gateway/nbd/protocol.h"

namespace cairn::nbd {

struct OptionHeader {
  Option option;
  uint32_t data_bytes = 0;
};
/// Nothing if the magic is wrong.
std::optional<OptionHeader> decode_option_header(ByteView bytes);

/// INFO and GO: which export, and what the client wants to know of it.
struct ExportQuery {
  std::string name;
  std::vector<Info> wanted;
  bool wants(Info info) const;
};
/// Nothing if the data are malformed: a length that does not fit, bytes left over.
std::optional<ExportQuery> decode_export_query(ByteView data);

/// LIST_META_CONTEXT and SET_META_CONTEXT.
struct MetaQuery {
  std::string export_name;
  std::vector<std::string> queries;
};
std::optional<MetaQuery> decode_meta_query(ByteView data);
/// Whether one of the queries asks for base:allocation. `is_list`: no query at all means all, and
/// "base:" means all of that name space.
bool asks_for_base_allocation(const MetaQuery& query, bool is_list);

Bytes encode_greeting();
Bytes encode_option_reply(Option option, OptionReply type, ByteView data);
Bytes encode_option_error(Option option, OptionReply type, std::string_view text);

/// What a client learns of an export.
struct ExportFacts {
  uint64_t size_bytes = 0;
  uint16_t flags = 0;
  std::string name;
  std::string description;
  uint32_t block_bytes_min = 1;
  uint32_t block_bytes_preferred = kBlockBytes;
};
/// All replies to INFO or GO, the final ACK included. The block sizes are always told: a client
/// that did not ask may ignore them.
Bytes encode_export_infos(Option option, const ExportQuery& query, const ExportFacts& facts);
/// The answer to EXPORT_NAME.
Bytes encode_export_name_answer(const ExportFacts& facts, bool no_zeroes);
Bytes encode_list_entry(std::string_view name, std::string_view description);
Bytes encode_meta_context(Option option);

}  // namespace cairn::nbd
