#include "mds/ops/ops.h"
#include "mds/store_operators.h"

namespace cairn::mds::ops {

io::Task<Result<wire::BalanceLeadersReply>> balance_leaders(Context& mds,
                                                            wire::BalanceLeadersRequest request) {
  const auto lock = CO_TRY(co_await mds.lock_for_mutation());
  const wire::PoolRecord* pool = mds.state.find_pool(request.pool());
  if (!pool) {
    co_return error(Errc::kNotFound, "there is no pool '" + request.pool() +
                                         "'; `cairn pool list` shows those that are");
  }
  mds.place_chunkservers();
  const auto planned =
      CO_TRY(placement::plan_rapid_leaders(mds.state.placed, mds.state.ledger, mds.planner_limits(),
                                           PoolId(pool->id()), planners_ms(mds.env.clock.now())));
  CO_TRY(co_await store_operators(mds));
  wire::BalanceLeadersReply reply;
  reply.set_transfers_count(static_cast<uint32_t>(planned.planned.size()));
  co_return reply;
}

}  // namespace cairn::mds::ops
