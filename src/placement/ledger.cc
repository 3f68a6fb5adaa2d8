#include "placement/ledger.h"

#include <algorithm>

namespace cairn::placement {

namespace {

ServerId server_of(const Cluster& cluster, ChunkserverId id) {
  const Slot slot = cluster.find_chunkserver(id);
  return slot == kNoSlot ? ServerId() : cluster.chunkserver(slot).server;
}

template <typename Counts, typename Key>
void bump(Counts& counts, Key key, int32_t by) {
  if (key.is_none()) return;
  auto& value = counts[key];
  CHECK(by > 0 || value > 0);
  value += static_cast<uint32_t>(by);
  if (value == 0) counts.erase(key);
}

}  // namespace

void Ledger::restore(const std::vector<Operator>& operators, const Cluster& cluster,
                     OperatorId last) {
  last_ = std::max(last_, last);
  for (const auto& op : operators) {
    CHECK(!op.id.is_none() && by_id_.count(op.id) == 0, "an operator was stored twice");
    CHECK(by_copyset_.count(op.copyset) == 0, "two operators of one copyset were stored");
    insert(op, cluster);
    last_ = std::max(last_, op.id);
  }
}

bool Ledger::has_room_for_copies(Priority priority) const {
  if (copies_ >= limits_.copies_in_cluster) return false;
  if (priority != Priority::kLow) return true;
  const double low_max = limits_.low_priority_part * limits_.copies_in_cluster;
  return copies_low_ < std::max<uint32_t>(1, static_cast<uint32_t>(low_max));
}

bool Ledger::admits_copy(Priority priority, ChunkserverId sender, ChunkserverId target,
                         const Cluster& cluster) const {
  if (!has_room_for_copies(priority)) return false;
  const ServerId from = server_of(cluster, sender);
  const ServerId to = server_of(cluster, target);
  for (ChunkserverId id : {sender, target}) {
    if (!id.is_none() && count_of(copies_by_chunkserver_, id) >= limits_.copies_per_chunkserver) {
      return false;
    }
  }
  // A copy within one server counts twice on it: it reads and writes there. One is always let in.
  if (from == to) {
    const uint32_t running = count_of(copies_by_server_, to);
    return running == 0 || running + 2 <= limits_.copies_per_server;
  }
  return (from.is_none() || count_of(copies_by_server_, from) < limits_.copies_per_server) &&
         count_of(copies_by_server_, to) < limits_.copies_per_server;
}

bool Ledger::admits_transfer(ChunkserverId target) const {
  return transfers_ < limits_.transfers_in_cluster &&
         count_of(transfers_by_chunkserver_, target) < limits_.transfers_per_chunkserver;
}

bool Ledger::admits_endpoint(ChunkserverId endpoint, const Cluster& cluster) const {
  if (endpoint.is_none()) return true;
  const ServerId from = server_of(cluster, endpoint);
  return count_of(copies_by_chunkserver_, endpoint) < limits_.copies_per_chunkserver &&
         count_of(copies_by_server_, from) < limits_.copies_per_server;
}

uint32_t Ledger::transfers_left() const {
  return limits_.transfers_in_cluster - std::min(limits_.transfers_in_cluster, transfers_);
}

bool Ledger::admits_removal() const {
  return removals_ < limits_.copies_in_cluster;
}

Result<OperatorId> Ledger::add(Operator op, const Cluster& cluster, Admission admission) {
  CHECK(op.deadline_ms > op.created_ms && !op.voters.empty());
  CHECK(op.voters.size() <= kReplicasMax);
  if (find(op.copyset) != nullptr) {
    return error(Errc::kAlreadyExists,
                 "copyset " + to_string(op.copyset) + " has an operator; nothing was added");
  }
  if (admission == Admission::kLimited) {
    const bool is_admitted = op.copies_data()
                                 ? admits_copy(op.priority, op.sender, op.target, cluster)
                             : op.kind == OperatorKind::kTransferLeader ? admits_transfer(op.target)
                                                                        : admits_removal();
    if (!is_admitted) {
      return error(Errc::kOverloaded, "too many operators run already; nothing was added");
    }
  }
  op.id = last_ = OperatorId(last_.value() + 1);
  insert(std::move(op), cluster);
  return last_;
}

void Ledger::insert(Operator op, const Cluster& cluster) {
  Held held{.target_server = server_of(cluster, op.target),
            .sender_server = server_of(cluster, op.sender)};
  held.op = std::move(op);
  occupy(held, 1);
  by_id_[held.op.id] = held.op.copyset;
  const CopysetId copyset = held.op.copyset;
  by_copyset_.emplace(copyset, std::move(held));
}

void Ledger::occupy(const Held& held, int32_t by) {
  const auto change = static_cast<uint32_t>(by);
  if (held.op.kind == OperatorKind::kTransferLeader) {
    transfers_ += change;
    bump(transfers_by_chunkserver_, held.op.target, by);
  } else if (held.op.kind == OperatorKind::kRemoveReplica) {
    removals_ += change;
  } else {
    copies_ += change;
    if (held.op.priority == Priority::kLow) copies_low_ += change;
    bump(copies_by_chunkserver_, held.op.target, by);
    bump(copies_by_chunkserver_, held.op.sender, by);
    bump(copies_by_server_, held.target_server, by);
    bump(copies_by_server_, held.sender_server, by);
  }
}

void Ledger::erase(CopysetId copyset) {
  const auto found = by_copyset_.find(copyset);
  CHECK(found != by_copyset_.end());
  occupy(found->second, -1);
  by_id_.erase(found->second.op.id);
  by_copyset_.erase(found);
}

std::optional<Step> Ledger::advance(CopysetId copyset, const Cluster& cluster, uint64_t now_ms) {
  const Operator* op = find(copyset);
  if (op == nullptr) return std::nullopt;
  Step step = next_step(*op, cluster, now_ms);
  if (step.is_over()) erase(copyset);
  return step;
}

std::vector<std::pair<Operator, Step>> Ledger::sweep(const Cluster& cluster, uint64_t now_ms) {
  std::vector<std::pair<Operator, Step>> over;
  for (const Operator* op : list()) {
    Step step = next_step(*op, cluster, now_ms);
    if (step.is_over()) over.emplace_back(*op, std::move(step));
  }
  for (const auto& [op, step] : over) erase(op.copyset);
  return over;
}

bool Ledger::cancel(OperatorId id) {
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return false;
  erase(CopysetId(found->second));
  return true;
}

const Operator* Ledger::find(CopysetId copyset) const {
  const auto found = by_copyset_.find(copyset);
  return found == by_copyset_.end() ? nullptr : &found->second.op;
}

std::vector<const Operator*> Ledger::list() const {
  std::vector<const Operator*> operators;
  operators.reserve(by_id_.size());
  for (const auto& [id, copyset] : by_id_) operators.push_back(find(copyset));
  return operators;
}

void Ledger::check_invariants() const {
  CHECK(by_id_.size() == by_copyset_.size());
  uint32_t copies = 0, copies_low = 0, transfers = 0;
  for (const auto& [copyset, held] : by_copyset_) {
    CHECK(held.op.copyset == copyset && held.op.id <= last_);
    copies += held.op.copies_data() ? 1 : 0;
    copies_low += held.op.copies_data() && held.op.priority == Priority::kLow ? 1 : 0;
    transfers += held.op.kind == OperatorKind::kTransferLeader ? 1 : 0;
  }
  CHECK(copies == copies_ && copies_low == copies_low_ && transfers == transfers_);
  CHECK(copies + transfers + removals_ == by_copyset_.size());
}

bool is_stray(const Cluster& cluster, const Ledger& ledger, CopysetId copyset,
              ChunkserverId chunkserver, Epoch replica_epoch) {
  const Slot slot = cluster.find_copyset(copyset);
  const Slot holder = cluster.find_chunkserver(chunkserver);
  if (slot == kNoSlot || holder == kNoSlot) return false;  // nothing is known: nothing is deleted
  const Copyset& known = cluster.copyset(slot);
  if (known.reported_ms == 0 || replica_epoch > known.epoch) return false;
  if (known.has_replica(holder) || known.change_target == holder) return false;
  const Operator* op = ledger.find(copyset);
  return op == nullptr || op->target != chunkserver;
}

}  // namespace cairn::placement
