#include <algorithm>

#include "mds/ops/ops.h"

namespace cairn::mds::ops {

Result<wire::ListOperatorsReply> list_operators(Context& mds,
                                                const wire::ListOperatorsRequest& request) {
  const Instant now = mds.env.clock.now();
  const auto operators = mds.state.ledger.list();
  size_t count = kOperatorsPerReplyMax;
  if (request.count_max() > 0) count = std::min<size_t>(count, request.count_max());
  wire::ListOperatorsReply reply;
  reply.set_operators_count(static_cast<uint32_t>(operators.size()));
  for (const placement::Operator* op : operators) {
    if (static_cast<size_t>(reply.operators_size()) == count) break;
    *reply.add_operators() = mds.schedule.info(*op, mds.state, now);
  }
  if (!request.with_ended()) return reply;
  for (const EndedOperator& ended : mds.schedule.ended) {
    if (static_cast<size_t>(reply.ended_size()) == count) break;
    auto* one = reply.add_ended();
    *one->mutable_info() = mds.schedule.info(ended.op, mds.state, now);
    one->set_outcome(ended.outcome);
    one->set_ended_ms_ago(to_ms(now - ended.at));
  }
  return reply;
}

}  // namespace cairn::mds::ops
