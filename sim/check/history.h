/// History: what clients wrote to and read from volumes, and whether it is linearizable.
///
/// The register is a cell of 512 bytes; a write stamps each cell that it covers with its own
/// (client, sequence) and the cell's address, all over the cell, so that a torn, misplaced or
/// invented cell is recognised as such. Volumes written only in whole blocks are checked by block:
/// a block that mixes two writes is then found as well.
/// Threads: one.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/units.h"
#include "sim/check/register_check.h"

namespace cairn::sim {

inline constexpr uint64_t kCellBytes = 512;

/// Identifies a write by its client (at least 1) and sequence.
struct WriteStamp {
  uint32_t client = 0;
  uint32_t sequence = 0;
  uint64_t value() const { return (static_cast<uint64_t>(client) << 32) | sequence; }
};

/// Fills whole cells of a volume with a write's stamp.
void stamp_cells(uint64_t volume, uint64_t offset_bytes, WriteStamp stamp, MutableByteView bytes);
/// The value that a cell holds: kZeroValue, a stamp's, or nothing if the cell is not sound. `why`
/// then says what is wrong with it.
std::optional<uint64_t> value_of_cell(uint64_t volume, uint64_t offset_bytes, ByteView cell,
                                      std::string* why);

class History {
 public:
  using OpNumber = size_t;

  /// By what unit a volume is checked: kBlockBytes or kCellBytes. Before its first operation.
  void add_volume(uint64_t volume, uint64_t unit_bytes);

  /// A write of cells; zeroes and discards have `is_zeroes`.
  OpNumber begin_write(uint64_t volume, uint64_t offset_bytes, uint64_t size_bytes,
                       WriteStamp stamp, bool is_zeroes);
  OpNumber begin_read(uint64_t volume, uint64_t offset_bytes, uint64_t size_bytes, uint32_t client);
  /// The write is acknowledged. One that never is has an unknown outcome.
  void end_write(OpNumber op);
  /// The read returned these bytes. One that never ends, or fails, says nothing.
  void end_read(OpNumber op, ByteView bytes);

  /// The first violation, with volume and offset; nothing if there is none.
  std::optional<std::string> check() const;

  size_t ops_count() const { return ops_.size(); }
  size_t registers_count() const { return registers_.size(); }
  uint64_t acknowledged_writes_count() const { return acknowledged_writes_count_; }
  uint64_t reads_count() const { return reads_count_; }

 private:
  struct Op {
    bool is_write;
    bool is_zeroes;
    uint64_t volume;
    uint64_t offset_bytes;
    uint64_t size_bytes;
    WriteStamp stamp;
    Moment invoked;
    std::vector<size_t> entries;  ///< of a write: its place in each register's history
  };
  struct Register {
    std::vector<RegisterOp> history;
  };
  uint64_t unit_of(uint64_t volume) const;
  std::optional<uint64_t> value_of_unit(uint64_t volume, uint64_t offset_bytes, ByteView unit);
  void blame(uint64_t volume, uint64_t offset_bytes, const std::string& what);

  std::map<uint64_t, uint64_t> unit_bytes_;                      ///< by volume
  std::map<std::pair<uint64_t, uint64_t>, Register> registers_;  ///< by volume and offset
  std::vector<Op> ops_;
  Moment now_ = 0;
  uint64_t acknowledged_writes_count_ = 0;
  uint64_t reads_count_ = 0;
  std::string unsound_;  ///< the first cell that no write can explain
};

}  // namespace cairn::sim
