#include "mds/store_operators.h"

#include "mds/keys.h"
#include "mds/operators.h"
#include "mds/record.h"

namespace cairn::mds {

namespace {

std::vector<wire::OperatorRecord> not_stored(const Context& mds) {
  std::vector<wire::OperatorRecord> records;
  for (const placement::Operator* op : mds.state.ledger.list()) {
    if (records.size() == kOperatorsPerBatchMax) break;
    if (mds.state.operators.contains(op->id)) continue;
    records.push_back(to_record(*op, mds.env.clock.wall_time_ns()));
  }
  return records;
}

std::vector<OperatorId> over(const ClusterState& state) {
  std::vector<OperatorId> ids;
  for (const auto& [id, record] : state.operators) {
    if (ids.size() == kOperatorsPerBatchMax) break;
    const placement::Operator* op = state.ledger.find(CopysetId(record.copyset()));
    if (op == nullptr || op->id != id) ids.push_back(id);
  }
  return ids;
}

}  // namespace

io::Task<Status> store_operators(Context& mds) {
  const auto gone = over(mds.state);
  // Those that are over go first: a copyset has one operator in the store, as in the ledger.
  const bool is_cut = gone.size() == kOperatorsPerBatchMax;
  auto added = is_cut ? std::vector<wire::OperatorRecord>() : not_stored(mds);
  if (gone.empty() && added.empty()) co_return ok();
  kv::WriteBatch batch;
  for (OperatorId id : gone) {
    const std::string key = keys::operator_key(id.value());
    batch.require(key, encode_record(key, mds.state.operators.at(id)));
    batch.remove(key);
  }
  for (const auto& record : added) create_record(batch, keys::operator_key(record.id()), record);
  if (!added.empty() && added.back().id() >= mds.ids.next(IdKind::kOperator)) {
    const uint64_t count = added.back().id() - mds.ids.next(IdKind::kOperator) + 1;
    mds.ids.take(IdKind::kOperator, count, batch);
  }
  CO_TRY(co_await mds.commit(std::move(batch)));
  for (OperatorId id : gone) mds.state.operators.erase(id);
  for (auto& record : added) {
    const OperatorId id(record.id());
    mds.state.operators[id] = std::move(record);
  }
  co_return ok();
}

}  // namespace cairn::mds
