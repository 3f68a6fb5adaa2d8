/// Requests and replies of the transmission phase: decoding, validation, encoding. Pure.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "gateway/nbd/protocol.h"

namespace cairn::nbd {

struct Request {
  uint16_t flags = 0;
  Command command = Command::kRead;
  uint64_t cookie = 0;
  uint64_t offset_bytes = 0;
  uint32_t size_bytes = 0;

  bool has(CommandFlag flag) const { return (flags & flag) != 0; }
};
/// Nothing if the magic is wrong: the stream is out of step and cannot be read any further.
std::optional<Request> decode_request(ByteView bytes);

/// What was agreed for a connection.
struct Agreement {
  uint64_t size_bytes = 0;
  bool is_read_only = false;
  bool has_structured_replies = false;
  bool has_base_allocation = false;
};

/// Why a request cannot be carried out; the text is empty if it can.
struct Refusal {
  Fault fault = Fault::kNone;
  std::string_view text;
};
Refusal examine(const Request& request, const Agreement& agreement);

/// What the errors of an export are called in NBD.
Fault fault_of(Errc code);

void put_simple_reply(Bytes* into, uint64_t cookie, Fault fault);
/// The header of a structured reply's chunk; `payload_bytes` follow.
void put_chunk(Bytes* into, uint64_t cookie, ChunkType type, uint16_t flags,
               uint32_t payload_bytes);
/// A whole error chunk, the last of its reply.
void put_error_chunk(Bytes* into, uint64_t cookie, Fault fault, std::string_view text);
/// Data of `size_bytes` follow.
void put_data_chunk(Bytes* into, uint64_t cookie, uint16_t flags, uint64_t offset_bytes,
                    uint32_t size_bytes);
void put_hole_chunk(Bytes* into, uint64_t cookie, uint16_t flags, uint64_t offset_bytes,
                    uint32_t size_bytes);

struct AllocationExtent {
  uint32_t size_bytes = 0;
  uint32_t state = 0;  ///< of AllocationFlag
};
void put_block_status(Bytes* into, uint64_t cookie, const std::vector<AllocationExtent>& extents);

}  // namespace cairn::nbd
