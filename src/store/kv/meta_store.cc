#include "store/kv/meta_store.h"

#include <set>

#include "store/kv/local_store.h"

namespace cairn::kv {

Status check_key(std::string_view key) {
  if (key.empty()) return error(Errc::kInvalidArgument, "the empty key; nothing was done");
  if (key.front() == '\0') {
    return error(Errc::kInvalidArgument,
                 "keys that begin with a zero byte are the store's own; nothing was done");
  }
  if (key.size() > kKeyBytesMax) {
    return error(Errc::kInvalidArgument, "a key of " + std::to_string(key.size()) +
                                             " bytes; at most " + std::to_string(kKeyBytesMax) +
                                             " are allowed; nothing was done");
  }
  return ok();
}

Status check_scan_limit(size_t limit) {
  if (limit >= 1 && limit <= kScanLimitMax) return ok();
  return error(Errc::kInvalidArgument, "a scan's limit is between 1 and " +
                                           std::to_string(kScanLimitMax) + ", not " +
                                           std::to_string(limit));
}

Status check_batch(const WriteBatch& batch) {
  const size_t operations = batch.puts.size() + batch.deletes.size() + batch.preconditions.size();
  if (operations > kBatchOperationsMax) {
    return error(Errc::kInvalidArgument,
                 "a batch of " + std::to_string(operations) + " operations; at most " +
                     std::to_string(kBatchOperationsMax) + " are allowed; nothing was written");
  }
  size_t bytes = 0;
  std::set<std::string_view> written;
  for (const auto& put : batch.puts) {
    TRY(check_key(put.key));
    if (put.value.size() > kValueBytesMax) {
      return error(Errc::kInvalidArgument, "the value of key '" + put.key + "' has " +
                                               std::to_string(put.value.size()) +
                                               " bytes, too many; nothing was written");
    }
    bytes += put.key.size() + put.value.size();
    if (!written.insert(put.key).second) {
      return error(Errc::kInvalidArgument, "key '" + put.key + "' is written twice in a batch");
    }
  }
  for (const auto& key : batch.deletes) {
    TRY(check_key(key));
    bytes += key.size();
    if (!written.insert(key).second) {
      return error(Errc::kInvalidArgument, "key '" + key + "' is written twice in a batch");
    }
  }
  for (const auto& precondition : batch.preconditions) {
    TRY(check_key(precondition.key));
    bytes += precondition.key.size() + precondition.expected.value_or("").size();
  }
  if (bytes > kBatchBytesMax) {
    return error(Errc::kInvalidArgument, "a batch of " + std::to_string(bytes) +
                                             " bytes; at most " + std::to_string(kBatchBytesMax) +
                                             " are allowed; nothing was written");
  }
  return ok();
}

Status check_content(const Content& content) {
  for (const auto& pair : content.pairs) {
    TRY(check_key(pair.key));
    if (pair.value.size() > kValueBytesMax) {
      return error(Errc::kInvalidArgument,
                   "the value of key '" + pair.key + "' is too large; nothing was written");
    }
  }
  return ok();
}

Error precondition_error(const Precondition& precondition) {
  return error(
      Errc::kPreconditionFailed,
      "key '" + precondition.key + "' " +
          (precondition.expected ? "holds something else than expected" : "exists already") +
          "; nothing was written");
}

}  // namespace cairn::kv
