#include "mds/background/jobs.h"
#include "mds/store_operators.h"

namespace cairn::mds {

namespace {

io::Task<Status> run_round(Context& mds) {
  const auto lock = CO_TRY(co_await mds.lock_for_mutation());
  const Instant now = mds.env.clock.now();
  mds.place_chunkservers();
  for (auto& [op, step] : mds.state.ledger.sweep(mds.state.placed, planners_ms(now))) {
    mds.note_ended(std::move(op), step);
  }
  auto result = placement::plan_round(mds.state.placed, mds.state.ledger, mds.planner_limits(),
                                      planners_ms(now));
  mds.schedule.take_round(std::move(result), mds.state.ledger, now);
  co_return co_await store_operators(mds);
}

}  // namespace

io::Task<void> run_schedule(Context& mds) {
  const auto running = mds.jobs.enter();
  if (!running) co_return;
  while (true) {
    co_await mds.schedule_tick.wait(mds.options.schedule.interval);
    if (mds.is_stopping()) break;
    // Without copysets there is nothing to plan, and nothing that has leaders.
    if (mds.state.copysets.empty()) continue;
    if (const Status ran = co_await run_round(mds); !ran.ok()) {
      mds.env.logger.warn("a round of scheduling failed; the next one goes on",
                          {{"error", ran.error().describe()}});
    }
  }
}

}  // namespace cairn::mds
