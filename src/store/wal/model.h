/// A model of what the log promises, for its tests: the state of all groups as a value, and the
/// operations that lead from one state to the next.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/rng.h"
#include "store/wal/wal.h"

namespace cairn::wal {

struct ModelEntry {
  uint64_t term = 0;
  uint8_t type = 0;
  std::string head;
  uint32_t payload_bytes = 0;
  bool operator==(const ModelEntry&) const = default;
};

struct ModelGroup {
  HardState hard_state;
  std::optional<std::pair<uint64_t, uint64_t>> snapshot;  ///< index, term
  std::string snapshot_data;
  std::map<uint64_t, ModelEntry> entries;
  bool operator==(const ModelGroup&) const = default;

  uint64_t last() const {
    if (!entries.empty()) return entries.rbegin()->first;
    return snapshot ? snapshot->first : 0;
  }
};

using Model = std::map<uint64_t, ModelGroup>;

struct ModelOperation {
  enum class Kind : uint8_t { kEntry, kHardState, kSnapshot, kReset, kRemove };
  Kind kind = Kind::kEntry;
  uint64_t group = 0;
  uint64_t index = 0;
  ModelEntry entry;
  HardState hard_state;
  std::string data;
};

inline void advance(Model& model, const ModelOperation& operation) {
  using Kind = ModelOperation::Kind;
  if (operation.kind == Kind::kRemove) {
    model.erase(operation.group);
    return;
  }
  ModelGroup& group = model[operation.group];
  switch (operation.kind) {
    case Kind::kEntry:
      group.entries.erase(group.entries.lower_bound(operation.index), group.entries.end());
      group.entries[operation.index] = operation.entry;
      break;
    case Kind::kHardState:
      group.hard_state = operation.hard_state;
      break;
    case Kind::kReset:
      group.entries.clear();
      [[fallthrough]];
    case Kind::kSnapshot:
      group.entries.erase(group.entries.begin(), group.entries.upper_bound(operation.index));
      group.snapshot = {operation.index, operation.entry.term};
      group.snapshot_data = operation.data;
      break;
    case Kind::kRemove:
      break;
  }
}

/// The payload of an entry follows from its head, which is unique: so it is never another's.
inline Buffer payload_of(const ModelEntry& entry) {
  if (entry.payload_bytes == 0) return {};
  uint64_t seed = 1469598103934665603u;
  for (const char c : entry.head) seed = (seed ^ static_cast<uint8_t>(c)) * 1099511628211u;
  Buffer payload = Buffer::allocate(entry.payload_bytes);
  Rng rng(seed);
  const MutableByteView bytes = payload.mutable_view();
  std::ranges::fill(bytes, std::byte{0});
  for (size_t at = 0; at < bytes.size(); at += 512) store(bytes.subspan(at), rng.next());
  return payload;
}

inline Lsn append(Wal& wal, const ModelOperation& operation) {
  using Kind = ModelOperation::Kind;
  const GroupId group(operation.group);
  const ModelEntry& entry = operation.entry;
  switch (operation.kind) {
    case Kind::kEntry:
      return wal.append_entry(group, {.term = Term(entry.term),
                                      .index = LogIndex(operation.index),
                                      .type = entry.type,
                                      .head = Buffer::copy_of(entry.head),
                                      .payload = payload_of(entry)});
    case Kind::kHardState:
      return wal.append_hard_state(group, operation.hard_state);
    case Kind::kSnapshot:
    case Kind::kReset:
      return wal.append_snapshot(group,
                                 {.index = LogIndex(operation.index),
                                  .term = Term(entry.term),
                                  .data = Buffer::copy_of(operation.data)},
                                 operation.kind == Kind::kReset);
    case Kind::kRemove:
      return wal.append_remove_group(group);
  }
  check_failed("an operation of unknown kind", __FILE__, __LINE__);
}

inline Model model_of(const std::vector<RecoveredGroup>& groups) {
  Model model;
  for (const RecoveredGroup& recovered : groups) {
    ModelGroup& group = model[recovered.group.value()];
    group.hard_state = recovered.hard_state;
    if (recovered.snapshot) {
      group.snapshot = {recovered.snapshot->index.value(), recovered.snapshot->term.value()};
      group.snapshot_data = as_text(recovered.snapshot->data.view());
    }
    for (const RecoveredEntry& entry : recovered.entries) {
      group.entries[entry.index.value()] = {entry.term.value(), entry.type,
                                            std::string(as_text(entry.head.view())),
                                            entry.payload_bytes};
    }
  }
  return model;
}

/// Something that may follow on `model`; `stamp` makes its content unique.
inline ModelOperation random_operation(const Model& model, Rng& rng, uint64_t groups_count,
                                       uint64_t stamp) {
  using Kind = ModelOperation::Kind;
  ModelOperation operation;
  operation.group = rng.between(1, groups_count);
  const auto found = model.find(operation.group);
  const ModelGroup group = found == model.end() ? ModelGroup{} : found->second;
  const uint64_t last = group.last();
  const uint64_t floor = group.snapshot ? group.snapshot->first : 0;
  operation.entry.term = stamp / 16 + 1;
  const double draw = rng.unit();
  if (draw < 0.72 || last == 0) {
    const bool truncates = last > floor && rng.chance(0.1);
    operation.index = truncates ? rng.between(floor + 1, last) : last + 1;
    operation.entry.type = static_cast<uint8_t>(rng.below(4));
    operation.entry.head = "entry " + std::to_string(stamp);
    if (rng.chance(0.02)) operation.entry.head += std::string(rng.below(60'000), 'h');
    if (rng.chance(0.9)) {
      operation.entry.payload_bytes = static_cast<uint32_t>(kBlockBytes * rng.between(1, 8));
    }
  } else if (draw < 0.84) {
    operation.kind = Kind::kHardState;
    operation.hard_state = {Term(stamp / 16 + 1), rng.below(4), LogIndex(rng.between(0, last))};
  } else if (draw < 0.96) {
    operation.kind = Kind::kSnapshot;
    operation.index = rng.between(std::max<uint64_t>(floor, 1), last);
    operation.data = "mark " + std::to_string(stamp);
  } else if (draw < 0.98) {
    operation.kind = Kind::kReset;
    operation.index = last + rng.between(1, 5);
    operation.data = "reset " + std::to_string(stamp);
  } else {
    operation.kind = Kind::kRemove;
  }
  return operation;
}

}  // namespace cairn::wal
