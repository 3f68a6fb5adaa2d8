#include "sim/check/history.h"

#include "base/check.h"

namespace cairn::sim {

namespace {
/// A cell is this, repeated.
struct CellWord {
  uint64_t value;
  uint64_t place;
};
uint64_t place_of(uint64_t volume, uint64_t offset_bytes) {
  return (volume << 48) ^ (offset_bytes / kCellBytes) ^ 0x5ca1ab1e00000000;
}
std::string at(uint64_t volume, uint64_t offset_bytes) {
  return "volume " + std::to_string(volume) + " at " + std::to_string(offset_bytes);
}
}  // namespace

void stamp_cells(uint64_t volume, uint64_t offset_bytes, WriteStamp stamp, MutableByteView bytes) {
  CHECK(offset_bytes % kCellBytes == 0 && bytes.size() % kCellBytes == 0);
  CHECK(stamp.client > 0, "a stamp differs from zeros");
  for (size_t done = 0; done < bytes.size(); done += sizeof(CellWord)) {
    const CellWord word{stamp.value(), place_of(volume, offset_bytes + done)};
    store(bytes.subspan(done), word);
  }
}

std::optional<uint64_t> value_of_cell(uint64_t volume, uint64_t offset_bytes, ByteView cell,
                                      std::string* why) {
  CHECK(cell.size() == kCellBytes);
  const auto first = load<CellWord>(cell);
  for (size_t done = 0; done < kCellBytes; done += sizeof(CellWord)) {
    const auto word = load<CellWord>(cell.subspan(done));
    if (word.value != first.value || word.place != first.place) {
      *why = "holds two values: " + std::to_string(first.value) + " and, from its byte " +
             std::to_string(done) + ", " + std::to_string(word.value);
      return std::nullopt;
    }
  }
  if (first.value == kZeroValue && first.place == 0) return kZeroValue;
  if (first.place != place_of(volume, offset_bytes)) {
    *why = "holds what was written elsewhere: " + std::to_string(first.value);
    return std::nullopt;
  }
  return first.value;
}

void History::add_volume(uint64_t volume, uint64_t unit_bytes) {
  CHECK(unit_bytes == kBlockBytes || unit_bytes == kCellBytes);
  unit_bytes_[volume] = unit_bytes;
}

uint64_t History::unit_of(uint64_t volume) const {
  const auto found = unit_bytes_.find(volume);
  CHECK(found != unit_bytes_.end(), "a volume is added before its first operation");
  return found->second;
}

History::OpNumber History::begin_write(uint64_t volume, uint64_t offset_bytes, uint64_t size_bytes,
                                       WriteStamp stamp, bool is_zeroes) {
  const uint64_t unit = unit_of(volume);
  CHECK(offset_bytes % unit == 0 && size_bytes % unit == 0);
  Op op{true, is_zeroes, volume, offset_bytes, size_bytes, stamp, ++now_, {}};
  for (uint64_t offset = offset_bytes; offset < offset_bytes + size_bytes; offset += unit) {
    auto& history = registers_[{volume, offset}].history;
    op.entries.push_back(history.size());
    history.push_back(
        {true, is_zeroes ? kZeroValue : stamp.value(), op.invoked, kNever, stamp.client});
  }
  ops_.push_back(std::move(op));
  return ops_.size() - 1;
}

History::OpNumber History::begin_read(uint64_t volume, uint64_t offset_bytes, uint64_t size_bytes,
                                      uint32_t client) {
  const uint64_t unit = unit_of(volume);
  CHECK(offset_bytes % unit == 0 && size_bytes % unit == 0);
  ops_.push_back({false, false, volume, offset_bytes, size_bytes, {client, 0}, ++now_, {}});
  return ops_.size() - 1;
}

void History::end_write(OpNumber number) {
  const Op& op = ops_.at(number);
  CHECK(op.is_write);
  const Moment returned = ++now_;
  const uint64_t unit = unit_of(op.volume);
  for (size_t i = 0; i < op.entries.size(); ++i) {
    RegisterOp& entry =
        registers_.at({op.volume, op.offset_bytes + i * unit}).history[op.entries[i]];
    CHECK(entry.returned == kNever, "an operation ends once");
    entry.returned = returned;
  }
  ++acknowledged_writes_count_;
}

void History::blame(uint64_t volume, uint64_t offset_bytes, const std::string& what) {
  if (unsound_.empty()) unsound_ = at(volume, offset_bytes) + " " + what;
}

std::optional<uint64_t> History::value_of_unit(uint64_t volume, uint64_t offset_bytes,
                                               ByteView unit) {
  std::optional<uint64_t> value;
  for (size_t done = 0; done < unit.size(); done += kCellBytes) {
    std::string why;
    const auto cell =
        value_of_cell(volume, offset_bytes + done, unit.subspan(done, kCellBytes), &why);
    if (!cell) {
      blame(volume, offset_bytes + done, why);
      return std::nullopt;
    }
    if (value && *value != *cell) {
      blame(
          volume, offset_bytes,
          "is a block of two writes: " + std::to_string(*value) + " and " + std::to_string(*cell));
      return std::nullopt;
    }
    value = cell;
  }
  return value;
}

void History::end_read(OpNumber number, ByteView bytes) {
  const Op& op = ops_.at(number);
  CHECK(!op.is_write);
  const Moment returned = ++now_;
  if (bytes.size() != op.size_bytes) {
    blame(op.volume, op.offset_bytes,
          "read gave " + std::to_string(bytes.size()) + " of " + std::to_string(op.size_bytes) +
              " bytes");
    return;
  }
  const uint64_t unit = unit_of(op.volume);
  for (uint64_t done = 0; done < op.size_bytes; done += unit) {
    const uint64_t offset = op.offset_bytes + done;
    const auto value = value_of_unit(op.volume, offset, bytes.subspan(done, unit));
    if (!value) return;
    registers_[{op.volume, offset}].history.push_back(
        {false, *value, op.invoked, returned, op.stamp.client});
  }
  ++reads_count_;
}

std::optional<std::string> History::check() const {
  if (!unsound_.empty()) return unsound_;
  for (const auto& [place, reg] : registers_) {
    if (auto violation = check_register(reg.history)) {
      return at(place.first, place.second) + " is not linearizable: " + violation->text;
    }
  }
  return std::nullopt;
}

}  // namespace cairn::sim
