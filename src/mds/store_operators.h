/// store_operators: the store follows the ledger.
#pragma once

#include "mds/context.h"

namespace cairn::mds {

/// Stores operators of the ledger that are not stored yet and deletes those that are over, in one
/// batch; call it under the mutation lock. No operator is acted on before it is stored, so what
/// exceeds kOperatorsPerBatchMax waits for the next call.
/// Errors: the store's; the ledger is then what the store holds.
io::Task<Status> store_operators(Context& mds);

inline constexpr size_t kOperatorsPerBatchMax = 10'000;

}  // namespace cairn::mds
