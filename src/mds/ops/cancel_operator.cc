#include "mds/ops/ops.h"
#include "mds/store_operators.h"

namespace cairn::mds::ops {

io::Task<Result<wire::CancelOperatorReply>> cancel_operator(Context& mds,
                                                            wire::CancelOperatorRequest request) {
  const auto lock = CO_TRY(co_await mds.lock_for_mutation());
  const OperatorId id(request.id());
  for (const placement::Operator* op : mds.state.ledger.list()) {
    if (op->id != id) continue;
    const placement::Operator cancelled = *op;
    mds.state.ledger.cancel(id);
    CO_TRY(co_await store_operators(mds));
    mds.note_ended(cancelled, "cancelled", false);
    co_return wire::CancelOperatorReply();
  }
  co_return error(Errc::kNotFound, "there is no operator " + to_string(id) +
                                       " under way; `cairn operator list` shows those that are");
}

}  // namespace cairn::mds::ops
