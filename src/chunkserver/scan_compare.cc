#include "chunkserver/scan_compare.h"

#include <algorithm>

#include "base/check.h"

namespace cairn::chunkserver {

namespace {

constexpr uint32_t kLost = 1;

/// One block on all replicas.
class BlockView {
 public:
  BlockView(const std::vector<ScanTable>& tables, uint32_t block)
      : tables_(tables), block_(block) {}

  uint32_t mark(const ScanTable& table) const { return table.marks[block_]; }
  bool is_rotten(const ScanTable& table) const {
    return mark(table) == kLost || std::ranges::binary_search(table.rotten, block_);
  }
  bool is_same_and_sound() const {
    return std::ranges::all_of(tables_, [&](const ScanTable& table) {
      return mark(table) == mark(tables_.front()) && !is_rotten(table);
    });
  }
  /// A sound replica with the mark of the majority; null: there is none.
  const ScanTable* source(size_t voters_count) const {
    for (const ScanTable& candidate : tables_) {
      if (is_rotten(candidate)) continue;
      const auto agreeing = static_cast<size_t>(std::ranges::count_if(
          tables_, [&](const ScanTable& other) { return mark(other) == mark(candidate); }));
      if (agreeing * 2 > voters_count) return &candidate;
    }
    return nullptr;
  }

 private:
  const std::vector<ScanTable>& tables_;
  const uint32_t block_;
};

}  // namespace

ScanVerdict compare_tables(const std::vector<ScanTable>& tables, size_t voters_count) {
  ScanVerdict verdict;
  if (tables.empty()) return verdict;
  for (const ScanTable& table : tables) CHECK(table.marks.size() == tables[0].marks.size());
  std::map<std::pair<NodeId, NodeId>, std::vector<uint32_t>> found;
  for (uint32_t block = 0; block < tables[0].marks.size(); ++block) {
    const BlockView view(tables, block);
    if (view.is_same_and_sound()) continue;
    const ScanTable* source = view.source(voters_count);
    for (const ScanTable& table : tables) {
      const bool is_rotten = view.is_rotten(table);
      verdict.rotten_count += is_rotten ? 1 : 0;
      if (!source) continue;
      const bool differs = view.mark(table) != view.mark(*source);
      if (differs && !is_rotten) ++verdict.differing_count;
      if (differs || is_rotten) found[{table.node, source->node}].push_back(block);
    }
    verdict.undecided_count += source ? 0 : 1;
  }
  for (auto& [nodes, blocks] : found) {
    verdict.findings.push_back(
        {.node = nodes.first, .source = nodes.second, .blocks = std::move(blocks)});
  }
  return verdict;
}

}  // namespace cairn::chunkserver
