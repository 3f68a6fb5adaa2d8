/// Entry: one record of a group's log.
#pragma once

#include <cstdint>
#include <span>

#include "base/buffer.h"
#include "base/ids.h"

namespace cairn::raft {

/// Stored in the log: append, never renumber.
enum class EntryType : uint8_t {
  kNormal = 0,
  kConfChange = 1,    ///< head: one change, of the older kind
  kConfChangeV2 = 2,  ///< head: any number of changes
};

/// A large part of an entry, aligned to blocks. The core counts its size and never looks inside.
struct Payload {
  Buffer bytes;  ///< empty while size_bytes > 0: the host has put it out of memory
  uint32_t size_bytes = 0;
};

struct Entry {
  Term term;
  LogIndex index;
  EntryType type = EntryType::kNormal;
  Buffer head;  ///< small and opaque; a configuration change stands here, encoded
  Payload payload;
};

/// What an entry weighs against the limits for uncommitted and for unacknowledged entries: zero for
/// the empty entries that the core itself proposes, so that they are never refused.
inline uint64_t payload_bytes(const Entry& entry) {
  return entry.head.size_bytes() + entry.payload.size_bytes;
}
uint64_t payload_bytes(std::span<const Entry> entries);
/// What an entry weighs against the limits of a message and of a batch to apply: with its fields.
uint64_t encoded_bytes(const Entry& entry);
uint64_t encoded_bytes(std::span<const Entry> entries);
/// The longest prefix of `entries` within `bytes_max`, but at least one entry.
std::span<const Entry> limit_bytes(std::span<const Entry> entries, uint64_t bytes_max);

/// Names a place in a log: two logs that agree on one agree on everything before it.
struct EntryId {
  Term term;
  LogIndex index;
  bool operator==(const EntryId&) const = default;
};

}  // namespace cairn::raft
