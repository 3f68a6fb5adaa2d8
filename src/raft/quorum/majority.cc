#include "raft/quorum/majority.h"

#include <cstdio>
#include <vector>

namespace cairn::raft {

std::string to_string(const NodeSet& nodes) {
  std::string text = "(";
  for (NodeId id : nodes) {
    if (text.size() > 1) text += ' ';
    text += to_string(id);
  }
  return text + ')';
}

std::string_view to_string(VoteResult result) {
  switch (result) {
    case VoteResult::kPending:
      return "VotePending";
    case VoteResult::kLost:
      return "VoteLost";
    case VoteResult::kWon:
      return "VoteWon";
  }
  check_failed("vote result", __FILE__, __LINE__);
}

std::string describe_index(LogIndex index) {
  return index == kEverything ? "∞" : to_string(index);
}

std::string describe_quorum(const NodeSet& voters,
                            const std::function<std::optional<LogIndex>(NodeId)>& acked) {
  if (voters.empty()) return "<empty majority quorum>";
  struct Row {
    NodeId id;
    LogIndex index;
    bool known = false;
    size_t bar = 0;
  };
  std::vector<Row> rows;
  for (NodeId id : voters) {
    const auto index = acked(id);
    rows.push_back({.id = id, .index = index.value_or(LogIndex(0)), .known = index.has_value()});
  }
  std::ranges::sort(rows, {}, [](const Row& row) { return std::pair(row.index, row.id); });
  // Equal indexes get equal bars, so a bar counts the voters that are strictly below.
  for (size_t i = 1; i < rows.size(); ++i) {
    rows[i].bar = rows[i - 1].index < rows[i].index ? i : rows[i - 1].bar;
  }
  std::ranges::sort(rows, {}, &Row::id);

  const size_t width = rows.size();
  std::string text = std::string(width, ' ') + "    idx\n";
  for (const Row& row : rows) {
    text += row.known ? std::string(row.bar, 'x') + '>' + std::string(width - row.bar, ' ')
                      : '?' + std::string(width, ' ');
    char line[80];
    std::snprintf(line, sizeof line, " %5llu    (id=%llu)\n",
                  static_cast<unsigned long long>(row.index.value()),
                  static_cast<unsigned long long>(row.id.value()));
    text += line;
  }
  return text;
}

}  // namespace cairn::raft
