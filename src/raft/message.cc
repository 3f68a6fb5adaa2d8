#include "raft/message.h"

#include <bit>

namespace cairn::raft {
namespace {

uint64_t varint_bytes(uint64_t value) {
  return (std::bit_width(value | 1) + 6) / 7;
}

}  // namespace

uint64_t payload_bytes(std::span<const Entry> entries) {
  uint64_t sum = 0;
  for (const Entry& entry : entries) sum += payload_bytes(entry);
  return sum;
}

// As the wire's encoding has it: a tag and a varint for type, term and index, and a length for
// data.
uint64_t encoded_bytes(const Entry& entry) {
  const uint64_t data = payload_bytes(entry);
  return 2 + 1 + varint_bytes(entry.term.value()) + 1 + varint_bytes(entry.index.value()) +
         (data > 0 ? 1 + varint_bytes(data) + data : 0);
}

uint64_t encoded_bytes(std::span<const Entry> entries) {
  uint64_t sum = 0;
  for (const Entry& entry : entries) sum += encoded_bytes(entry);
  return sum;
}

std::span<const Entry> limit_bytes(std::span<const Entry> entries, uint64_t bytes_max) {
  if (entries.empty()) return entries;
  uint64_t bytes = encoded_bytes(entries.front());
  for (size_t count = 1; count < entries.size(); ++count) {
    bytes += encoded_bytes(entries[count]);
    if (bytes > bytes_max) return entries.first(count);
  }
  return entries;
}

bool is_local(MessageType type) {
  switch (type) {
    case MessageType::kHup:
    case MessageType::kBeat:
    case MessageType::kUnreachable:
    case MessageType::kSnapshotStatus:
    case MessageType::kCheckQuorum:
    case MessageType::kStorageAppend:
    case MessageType::kStorageAppendResponse:
    case MessageType::kStorageApply:
    case MessageType::kStorageApplyResponse:
      return true;
    default:
      return false;
  }
}

bool is_response(MessageType type) {
  switch (type) {
    case MessageType::kAppendResponse:
    case MessageType::kVoteResponse:
    case MessageType::kHeartbeatResponse:
    case MessageType::kUnreachable:
    case MessageType::kReadIndexResponse:
    case MessageType::kPreVoteResponse:
    case MessageType::kStorageAppendResponse:
    case MessageType::kStorageApplyResponse:
      return true;
    default:
      return false;
  }
}

MessageType vote_response_of(MessageType type) {
  CHECK(type == MessageType::kVote || type == MessageType::kPreVote);
  return type == MessageType::kVote ? MessageType::kVoteResponse : MessageType::kPreVoteResponse;
}

}  // namespace cairn::raft
