#include "kv/store_machine.h"

#include "kv/command.h"
#include "store/kv/dump.h"

namespace cairn::kv {

namespace {

constexpr size_t kPairsPerPiece = 1000;
/// Between two pieces of a dump, so that the reactor serves others meanwhile.
constexpr Duration kPieceInterval = 1ms;

/// What the local store could not do leaves this member behind its log for good.
Error local_failure(const Error& failure) {
  return error(Errc::kIo, "the member's own store: " + failure.message());
}

}  // namespace

StoreMachine::StoreMachine(io::Env env, LocalStore& store, Events events)
    : env_(std::move(env)), store_(store), events_(std::move(events)) {}

io::Task<Status> StoreMachine::on_apply(std::span<multiraft::Command> commands) {
  for (multiraft::Command& command : commands) {
    if (command.index <= applied_) continue;  // of an earlier life, and in the store since
    CO_TRY(co_await apply(&command));
    command.is_done = true;
  }
  co_return ok();
}

io::Task<Status> StoreMachine::apply(multiraft::Command* command) {
  auto batch = CO_TRY(decode_command(command->head.view(), command->payload.view()));
  if (batch.puts.empty() && batch.deletes.empty() && batch.preconditions.empty()) co_return ok();
  const Status status =
      co_await store_.apply(std::move(batch), encode_applied(command->index.value()));
  if (status.ok()) {
    applied_ = command->index;
  } else if (status.code() == Errc::kPreconditionFailed ||
             status.code() == Errc::kInvalidArgument) {
    command->outcome = status;  // every member comes to the same
  } else {
    co_return local_failure(status.error());
  }
  co_return ok();
}

io::Task<Result<multiraft::SavedState>> StoreMachine::on_snapshot_save() {
  auto view = store_.view();  // before anything is waited for
  if (!view.ok()) co_return local_failure(view.error());
  const Status synced = co_await store_.sync();
  if (!synced.ok()) co_return local_failure(synced.error());
  std::string bytes;
  DumpWriter writer((*view)->mark(), [&](ByteView piece) { bytes += as_text(piece); });
  for (;;) {
    const auto pairs = (*view)->next(kPairsPerPiece);
    if (!pairs.ok()) co_return local_failure(pairs.error());
    for (const auto& pair : *pairs) writer.add(pair);
    if (pairs->size() < kPairsPerPiece) break;
    co_await env_.clock.sleep(kPieceInterval);
  }
  writer.finish();
  co_return multiraft::SavedState{.data = Buffer::copy_of(bytes)};
}

io::Task<Status> StoreMachine::on_recover(Buffer data) {
  const std::string mark = CO_TRY(store_.mark());
  applied_ = LogIndex(CO_TRY(decode_applied(mark)));
  if (data.empty()) co_return ok();
  const Content content = CO_TRY(decode_dump(data.view()));
  const auto saved = CO_TRY(decode_applied(content.mark));
  if (applied_.value() >= saved) co_return ok();
  co_return error(Errc::kCorrupt, "the store has entries up to " + to_string(applied_) +
                                      " and the log begins behind " + std::to_string(saved) +
                                      ": the store is not the one that belongs to this log");
}

io::Task<Status> StoreMachine::on_snapshot_load(Buffer data, NodeId) {
  Content content = CO_TRY(decode_dump(data.view()));
  const LogIndex applied(CO_TRY(decode_applied(content.mark)));
  const Status replaced = co_await store_.replace(std::move(content));
  if (!replaced.ok()) co_return local_failure(replaced.error());
  applied_ = applied;
  co_return ok();
}

}  // namespace cairn::kv
