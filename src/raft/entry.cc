#include "raft/entry.h"

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

}  // namespace cairn::raft
