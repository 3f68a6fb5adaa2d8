/// A batch as an entry of the replicated store's log, and back. Pure.
/// Errors: kCorrupt, kUnsupported (written by a newer version).
/// Source: docs/formats/meta.md.
#pragma once

#include "base/buffer.h"
#include "store/kv/meta_store.h"

namespace cairn::kv {

struct EncodedBatch {
  Buffer head;
  Buffer payload;  ///< empty, or whole blocks from the pool
};

/// Of a batch that check_batch() has passed.
EncodedBatch encode_command(const WriteBatch& batch, BufferPool& buffers);
Result<WriteBatch> decode_command(ByteView head, ByteView payload);

/// The mark of a local store: the last log entry that wrote to it.
std::string encode_applied(uint64_t index);
/// Of an empty mark it is 0.
Result<uint64_t> decode_applied(std::string_view mark);

}  // namespace cairn::kv
