/// NodeSet: the members of a configuration, ascending, without repetition.
///
/// Groups have three to seven members, so a sorted vector beats a tree or a hash table in size,
/// speed and order of iteration (which is the order in which messages leave).
#pragma once

#include <algorithm>
#include <initializer_list>
#include <string>
#include <vector>

#include "base/ids.h"

namespace cairn::raft {

class NodeSet {
 public:
  NodeSet() = default;
  NodeSet(std::initializer_list<NodeId> ids) : NodeSet(std::vector<NodeId>(ids)) {}
  explicit NodeSet(std::vector<NodeId> ids) : ids_(std::move(ids)) {
    std::ranges::sort(ids_);
    ids_.erase(std::ranges::unique(ids_).begin(), ids_.end());
  }

  using Iterator = std::vector<NodeId>::const_iterator;
  Iterator begin() const { return ids_.begin(); }
  Iterator end() const { return ids_.end(); }

  bool contains(NodeId id) const { return std::ranges::binary_search(ids_, id); }
  void insert(NodeId id) {
    const auto at = std::ranges::lower_bound(ids_, id);
    if (at == ids_.end() || *at != id) ids_.insert(at, id);
  }
  void erase(NodeId id) {
    const auto at = std::ranges::lower_bound(ids_, id);
    if (at != ids_.end() && *at == id) ids_.erase(at);
  }
  void clear() { ids_.clear(); }
  void merge(const NodeSet& other) {
    for (NodeId id : other) insert(id);
  }

  bool empty() const { return ids_.empty(); }
  size_t count() const { return ids_.size(); }
  const std::vector<NodeId>& ids() const { return ids_; }
  bool operator==(const NodeSet&) const = default;

 private:
  std::vector<NodeId> ids_;  ///< ascending, unique
};

/// "(1 2 3)"; the empty set is "()".
std::string to_string(const NodeSet& nodes);

}  // namespace cairn::raft
