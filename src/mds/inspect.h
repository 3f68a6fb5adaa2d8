/// inspect_meta: a metadata store's content in a form that people and scripts read.
#pragma once

#include <functional>
#include <string>

#include "io/task.h"
#include "store/kv/meta_store.h"

namespace cairn::mds {

/// Calls `line` for each key, in order, with one JSON object and no line end:
///   {"key":"pool/0000000000000001","record":"PoolRecord","value":{...}}
/// Numbers of 64 bits are strings and bytes base64, as protobuf's JSON has it. What cannot be
/// decoded has "error" in place of "value", and the rest goes on.
/// Result: how many records could not be decoded. Errors: the store's.
io::Task<Result<uint64_t>> inspect_meta(kv::MetaStore& store,
                                        std::function<void(std::string)> line);

}  // namespace cairn::mds
