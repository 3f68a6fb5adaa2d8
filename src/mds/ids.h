/// IdAllocator: numbers that are never given twice, not even across crashes.
///
/// A counter in the store says below which number all may be in use. Chunks take their numbers in
/// bundles, so that an allocation seldom writes the counter; what a crash leaves of a bundle is
/// lost.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "store/kv/meta_store.h"

namespace cairn::mds {

enum class IdKind : uint8_t { kPool, kChunkserver, kCopyset, kVolume, kChunk, kOperator };
inline constexpr size_t kIdKindsCount = 6;
std::string_view to_string(IdKind kind);

class IdAllocator {
 public:
  /// Takes a counter's value in the store, nullopt where there is none yet.
  Status load(IdKind kind, std::optional<std::string> stored);

  /// The first of `count` consecutive numbers. Adds to `batch` what makes them taken, if anything;
  /// until that batch is settled nothing else may be taken of the kind.
  uint64_t take(IdKind kind, uint64_t count, kv::WriteBatch& batch);
  /// The number that the next take() begins with.
  uint64_t next(IdKind kind) const { return counters_[static_cast<size_t>(kind)].next; }
  /// Tells how the batch ended. After a failure the numbers taken are not used again, and the
  /// counters have to be loaded anew before the next take: the store may hold either value.
  void settle(bool was_committed);

 private:
  struct Counter {
    uint64_t next = 1;      ///< the first number not given yet
    uint64_t reserved = 1;  ///< all below belong to this process; next <= reserved once settled
    std::optional<std::string> stored;
    std::optional<std::string> pending;  ///< in a batch that is under way
    uint64_t pending_reserved = 0;
  };
  std::array<Counter, kIdKindsCount> counters_;
};

}  // namespace cairn::mds
