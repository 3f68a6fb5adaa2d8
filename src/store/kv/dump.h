/// The content of a MetaStore as one string of bytes: what `cairn meta dump` writes, and what a
/// replicated store hands to a member that lags.
///
/// Pure. Errors: kCorrupt: shortened, rotten, out of order, over a limit; kUnsupported: a newer
/// version. Source: docs/formats/meta.md.
#pragma once

#include <functional>

#include "base/bytes.h"
#include "store/kv/local_store.h"

namespace cairn::kv {

inline constexpr char kDumpMagic[8] = {'C', 'R', 'N', 'D', 'U', 'M', 'P', '\n'};
inline constexpr uint32_t kDumpVersion = 1;
inline constexpr size_t kMarkBytesMax = 4096;

struct DumpHead {
  char magic[8];
  uint32_t version;
  uint32_t mark_bytes;  ///< that follow
};
static_assert(sizeof(DumpHead) == 16);

struct DumpPairHead {
  uint32_t key_bytes;  ///< 0: no pair, the end
  uint32_t value_bytes;
};
static_assert(sizeof(DumpPairHead) == 8);

/// Behind a DumpPairHead of zeros.
struct DumpEnd {
  uint64_t pairs_count;
  uint32_t reserved;
  uint32_t crc32c;  ///< of all bytes before it
};
static_assert(sizeof(DumpEnd) == 16);

/// Hands the bytes to `sink` piece by piece, so that a dump need not fit into memory.
class DumpWriter {
 public:
  DumpWriter(std::string_view mark, std::function<void(ByteView)> sink);
  /// Keys ascend.
  void add(const KeyValue& pair);
  void finish();
  uint64_t pairs_count() const { return pairs_count_; }

 private:
  void write(ByteView bytes);

  std::function<void(ByteView)> sink_;
  std::string last_key_;
  uint64_t pairs_count_ = 0;
  uint32_t crc_ = 0;
};

Result<Content> decode_dump(ByteView bytes);

}  // namespace cairn::kv
