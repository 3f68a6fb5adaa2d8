/// LocalStore: a MetaStore of this process that something replicated keeps its state in.
///
/// Next to the content stands a mark: bytes of the owner's, such as the last log entry that was
/// applied, which change in one with a batch. What apply() takes may be lost in a power loss until
/// sync(), but from the end alone: what is left is the state after some earlier batch, with its
/// mark. So the owner, who has a log of its own, applies again what is missing.
/// Threads: one reactor.
#pragma once

#include <memory>

#include "store/kv/meta_store.h"

namespace cairn::kv {

struct Content {
  std::string mark;  ///< empty: none was ever set
  std::vector<KeyValue> pairs;
};

/// The content at one moment, in order, whatever is written meanwhile.
class StoreView {
 public:
  virtual ~StoreView() = default;
  virtual const std::string& mark() const = 0;
  /// The next pairs, at most `limit`; none: that was all. Errors: kIo, kCorrupt.
  virtual Result<std::vector<KeyValue>> next(size_t limit) = 0;
};

class LocalStore : public MetaStore {
 public:
  /// commit(), with the mark. A batch whose precondition fails leaves the mark, too.
  virtual io::Task<Status> apply(WriteBatch batch, std::string mark) = 0;
  /// Errors: kIo, kCorrupt.
  virtual Result<std::string> mark() = 0;
  /// What was applied before the call is durable. Errors: kIo: the store's state is unknown.
  virtual io::Task<Status> sync() = 0;
  /// Errors: kIo.
  virtual Result<std::unique_ptr<StoreView>> view() = 0;
  /// Puts `content` in place of everything, as one, durable on return.
  /// Errors: kInvalidArgument: a key or value breaks a limit; nothing was changed. kIo, kNoSpace.
  virtual io::Task<Status> replace(Content content) = 0;
};

/// Every key and value within the limits of a MetaStore.
Status check_content(const Content& content);

}  // namespace cairn::kv
