/// compare_tables: what is wrong with which replica of a chunk, from the marks that all of them had
/// at one place of the log. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "base/ids.h"

namespace cairn::chunkserver {

struct ScanTable {
  NodeId node;
  std::vector<uint32_t> marks;   ///< one a block; 1: its checksum is lost
  std::vector<uint32_t> rotten;  ///< blocks whose bytes are not what their mark says; ascending
};

/// Blocks of one replica to be replaced by those of another one.
struct ScanFinding {
  NodeId node;
  NodeId source;
  std::vector<uint32_t> blocks;  ///< ascending
  bool operator==(const ScanFinding&) const = default;
};

struct ScanVerdict {
  std::vector<ScanFinding> findings;
  uint64_t rotten_count = 0;
  uint64_t differing_count = 0;
  uint64_t undecided_count = 0;  ///< blocks without a majority, or without a sound copy
};

/// A block's content is the mark that more than half of `voters_count` replicas have; a replica
/// that is not among the tables has no say. All tables have the same number of marks.
ScanVerdict compare_tables(const std::vector<ScanTable>& tables, size_t voters_count);

}  // namespace cairn::chunkserver
