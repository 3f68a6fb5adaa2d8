#include "gateway/nbd/request.h"

namespace cairn::nbd {
namespace {

uint16_t flags_allowed(Command command, const Agreement& agreement) {
  switch (command) {
    case Command::kRead:
      // DF was offered with structured replies alone. FUA means nothing to a read but is allowed.
      return kFua | (agreement.has_structured_replies ? kDf : 0);
    case Command::kWriteZeroes:
      return kFua | kNoHole | kFastZero;
    case Command::kBlockStatus:
      return kFua | kReqOne;
    default:
      return kFua;
  }
}

bool changes_data(Command command) {
  return command == Command::kWrite || command == Command::kTrim ||
         command == Command::kWriteZeroes;
}

}  // namespace

std::optional<Request> decode_request(ByteView bytes) {
  CHECK(bytes.size() == kRequestBytes);
  if (take<uint32_t>(&bytes) != kRequestMagic) return std::nullopt;
  Request request;
  request.flags = take<uint16_t>(&bytes);
  request.command = static_cast<Command>(take<uint16_t>(&bytes));
  request.cookie = take<uint64_t>(&bytes);
  request.offset_bytes = take<uint64_t>(&bytes);
  request.size_bytes = take<uint32_t>(&bytes);
  return request;
}

Refusal examine(const Request& request, const Agreement& agreement) {
  if (request.command > Command::kBlockStatus || request.command == Command::kDisconnect) {
    return {Fault::kInvalid, "this command is not known"};
  }
  if ((request.flags & ~flags_allowed(request.command, agreement)) != 0) {
    return {Fault::kInvalid, "a flag of this command is not known or was not agreed on"};
  }
  if (changes_data(request.command) && agreement.is_read_only) {
    return {Fault::kPermission, "the export is read-only; nothing was written"};
  }
  if (request.command == Command::kFlush) return {};
  if (request.command == Command::kBlockStatus && !agreement.has_base_allocation) {
    return {Fault::kInvalid, "no meta context was selected"};
  }
  if (request.size_bytes == 0) return {Fault::kInvalid, "the range is empty"};
  const bool is_inside = request.offset_bytes <= agreement.size_bytes &&
                         request.size_bytes <= agreement.size_bytes - request.offset_bytes;
  if (!is_inside) {
    const bool grows =
        request.command == Command::kWrite || request.command == Command::kWriteZeroes;
    return {grows ? Fault::kNoSpace : Fault::kInvalid, "the range ends behind the export's end"};
  }
  const bool has_payload = request.command == Command::kRead || request.command == Command::kWrite;
  if (has_payload && request.size_bytes > kPayloadBytesMax) {
    return {Fault::kInvalid, "the range is over the largest block size, 32 MiB"};
  }
  return {};
}

Fault fault_of(Errc code) {
  switch (code) {
    case Errc::kOk:
      return Fault::kNone;
    case Errc::kInvalidArgument:
      return Fault::kInvalid;
    case Errc::kNoSpace:
      return Fault::kNoSpace;
    case Errc::kStaleFence:
      return Fault::kPermission;
    case Errc::kOverloaded:
      return Fault::kNoMemory;
    case Errc::kUnsupported:
      return Fault::kNotSupported;
    case Errc::kClosed:
      return Fault::kShutdown;
    default:
      return Fault::kIo;
  }
}

void put_simple_reply(Bytes* into, uint64_t cookie, Fault fault) {
  put(into, kSimpleReplyMagic);
  put(into, fault);
  put(into, cookie);
}

void put_chunk(Bytes* into, uint64_t cookie, ChunkType type, uint16_t flags,
               uint32_t payload_bytes) {
  put(into, kChunkMagic);
  put(into, flags);
  put(into, type);
  put(into, cookie);
  put(into, payload_bytes);
}

void put_error_chunk(Bytes* into, uint64_t cookie, Fault fault, std::string_view text) {
  text = text.substr(0, kNameBytesMax);
  put_chunk(into, cookie, ChunkType::kError, kChunkDone,
            static_cast<uint32_t>(sizeof(uint32_t) + sizeof(uint16_t) + text.size()));
  put(into, fault);
  put(into, static_cast<uint16_t>(text.size()));
  put_text(into, text);
}

void put_data_chunk(Bytes* into, uint64_t cookie, uint16_t flags, uint64_t offset_bytes,
                    uint32_t size_bytes) {
  put_chunk(into, cookie, ChunkType::kOffsetData, flags,
            static_cast<uint32_t>(sizeof(uint64_t)) + size_bytes);
  put(into, offset_bytes);
}

void put_hole_chunk(Bytes* into, uint64_t cookie, uint16_t flags, uint64_t offset_bytes,
                    uint32_t size_bytes) {
  put_chunk(into, cookie, ChunkType::kOffsetHole, flags, sizeof(uint64_t) + sizeof(uint32_t));
  put(into, offset_bytes);
  put(into, size_bytes);
}

void put_block_status(Bytes* into, uint64_t cookie, const std::vector<AllocationExtent>& extents) {
  CHECK(!extents.empty(), "a block status describes at least one extent");
  put_chunk(into, cookie, ChunkType::kBlockStatus, kChunkDone,
            static_cast<uint32_t>(sizeof(uint32_t) + extents.size() * 2 * sizeof(uint32_t)));
  put(into, kBaseAllocationId);
  for (const AllocationExtent& extent : extents) {
    put(into, extent.size_bytes);
    put(into, extent.state);
  }
}

}  // namespace cairn::nbd
