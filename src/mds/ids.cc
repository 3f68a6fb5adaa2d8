#include "mds/ids.h"

#include "mds/keys.h"
#include "mds/record.h"
#include "wire/mds.pb.h"

namespace cairn::mds {

namespace {

/// Everything but chunks and operators is made seldom, and small numbers are good to read.
uint64_t bundle_of(IdKind kind) {
  if (kind == IdKind::kOperator) return 1024;
  return kind == IdKind::kChunk ? 16'384 : 1;
}

}  // namespace

std::string_view to_string(IdKind kind) {
  switch (kind) {
    case IdKind::kPool:
      return "pool";
    case IdKind::kChunkserver:
      return "chunkserver";
    case IdKind::kCopyset:
      return "copyset";
    case IdKind::kVolume:
      return "volume";
    case IdKind::kChunk:
      return "chunk";
    case IdKind::kOperator:
      return "operator";
  }
  CHECK(false, "an unknown kind of id");
}

Status IdAllocator::load(IdKind kind, std::optional<std::string> stored) {
  Counter& counter = counters_[static_cast<size_t>(kind)];
  uint64_t next = 1;
  if (stored) {
    const auto record =
        TRY(decode_record<wire::IdCounterRecord>(keys::counter(to_string(kind)), *stored));
    next = record.next();
  }
  // What was taken of a batch that failed stays taken, even if the store does not know.
  const uint64_t first = std::max(next, counter.next);
  counter = Counter{.next = first, .reserved = next, .stored = std::move(stored)};
  return ok();
}

uint64_t IdAllocator::take(IdKind kind, uint64_t count, kv::WriteBatch& batch) {
  CHECK(count > 0);
  Counter& counter = counters_[static_cast<size_t>(kind)];
  CHECK(!counter.pending, "one batch at a time takes ids of a kind");
  const uint64_t first = counter.next;
  counter.next += count;
  if (counter.next > counter.reserved) {
    counter.pending_reserved = counter.next - 1 + bundle_of(kind);
    wire::IdCounterRecord record;
    record.set_next(counter.pending_reserved);
    const std::string key = keys::counter(to_string(kind));
    counter.pending = encode_record(key, record);
    batch.preconditions.push_back({key, counter.stored});
    batch.put(key, *counter.pending);
  }
  return first;
}

void IdAllocator::settle(bool was_committed) {
  for (Counter& counter : counters_) {
    if (!counter.pending) continue;
    if (was_committed) {
      counter.stored = std::move(counter.pending);
      counter.reserved = counter.pending_reserved;
      CHECK(counter.next <= counter.reserved);
    }
    counter.pending.reset();
  }
}

}  // namespace cairn::mds
