/// Backup: the metadata in etcd read out as of one moment, and put into an etcd that has none.
///
/// A load that has not ended keeps every MDS from becoming active (PREFIX/loading); the next load
/// begins it anew.
/// Threads:  one reactor.
/// Lifetime: the Etcd outlives both.
/// Source:   docs/adr/0014-etcd.md, docs/formats/meta.md.
#pragma once

#include <vector>

#include "store/etcd/etcd.h"
#include "store/etcd/layout.h"
#include "store/kv/meta_store.h"

namespace cairn::etcd {

/// The MDS may run meanwhile.
class ContentReader {
 public:
  ContentReader(Etcd& etcd, Layout layout, Duration timeout);
  /// The next pairs, ascending; none: that was all.
  /// Errors: kPreconditionFailed: etcd has compacted the moment away; read anew. Those of a call.
  io::Task<Result<std::vector<kv::KeyValue>>> next();

 private:
  Etcd& etcd_;
  const Layout layout_;
  const Duration timeout_;
  Range range_;  ///< what is left
  bool is_at_end_ = false;
};

/// Errors: kAlreadyExists: there is metadata already, nothing was loaded; kUnavailable: an MDS is
/// active, or another load has begun; those of a call: the load has not ended.
io::Task<Status> load(Etcd& etcd, Layout layout, std::vector<kv::KeyValue> pairs, Duration timeout);

/// Takes a page of the content out of `page`, and moves `range` behind it, as of `at`.
std::vector<kv::KeyValue> take_page(const Layout& layout, RangeResult page, Revision at,
                                    Range& range);

}  // namespace cairn::etcd
