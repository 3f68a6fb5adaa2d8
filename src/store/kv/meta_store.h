/// MetaStore: the ordered key-value map in which a metadata server keeps its state.
///
/// Small, rarely written and never on the data path: what counts is that a batch happens wholly or
/// not at all, that it is durable when commit() returns, and that it can be made conditional, so
/// that two writers who believe in different pasts cannot both win. The interface is what RocksDB,
/// a replicated log and etcd's transactions have in common.
/// Units:   keys and values are bytes; keys are ordered byte by byte. A key is not empty and does
///          not begin with a zero byte: such keys are the stores' own.
/// Errors:  see each call; kIo and kCorrupt name the store's path.
/// Threads: one reactor.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "io/task.h"

namespace cairn::kv {

struct KeyValue {
  std::string key;
  std::string value;
  bool operator==(const KeyValue&) const = default;
};

/// What a key has to hold when the batch is applied; nullopt: it is absent.
struct Precondition {
  std::string key;
  std::optional<std::string> expected;
};

/// Applied as one. A key occurs at most once among puts and deletes together.
struct WriteBatch {
  std::vector<KeyValue> puts;
  std::vector<std::string> deletes;
  std::vector<Precondition> preconditions;

  void put(std::string key, std::string value) {
    puts.push_back({std::move(key), std::move(value)});
  }
  void remove(std::string key) { deletes.push_back(std::move(key)); }
  void require(std::string key, std::string value) {
    preconditions.push_back({std::move(key), std::move(value)});
  }
  void require_absent(std::string key) { preconditions.push_back({std::move(key), std::nullopt}); }
};

inline constexpr size_t kKeyBytesMax = 1024;
inline constexpr size_t kValueBytesMax = size_t{1} << 20;
inline constexpr size_t kBatchOperationsMax = size_t{1} << 17;
/// Fits into one entry of a replicated log.
inline constexpr size_t kBatchBytesMax = size_t{16} << 20;
inline constexpr size_t kScanLimitMax = 10'000;

class MetaStore {
 public:
  virtual ~MetaStore() = default;

  /// The value as of the last batch that returned from commit(), or a later one.
  virtual io::Task<Result<std::optional<std::string>>> get(std::string key) = 0;

  /// Up to `limit` (1 to kScanLimitMax) pairs whose keys begin with `prefix` and are greater than
  /// `after`, in order. A full answer is continued with the last key as `after`; pages are not one
  /// snapshot.
  virtual io::Task<Result<std::vector<KeyValue>>> scan(std::string prefix, size_t limit,
                                                       std::string after = {}) = 0;

  /// Applies the batch if every precondition holds; durable on return.
  /// Errors: kPreconditionFailed  names the key; nothing was written.
  ///         kInvalidArgument     a limit above is broken; nothing was written.
  ///         any other            the outcome is unknown: read again before deciding.
  virtual io::Task<Status> commit(WriteBatch batch) = 0;
};

/// The limits above, and that no key is written twice. Every implementation calls it first.
Status check_batch(const WriteBatch& batch);
Status check_key(std::string_view key);
Status check_scan_limit(size_t limit);

/// "key 'pool/1' holds something else": the error of a precondition that does not hold.
Error precondition_error(const Precondition& precondition);

}  // namespace cairn::kv
