/// For tests: a few synchronous RawNodes whose messages are delivered at once, or not.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/rng.h"
#include "raft/raw_node.h"

namespace cairn::raft {

/// As the members of a real group are configured.
inline Config careful() {
  Config config;
  config.check_quorum = config.pre_vote = true;
  return config;
}

/// From words such as "v4 l2 r1": see parse_conf_changes().
inline ConfChangeV2 change(std::string_view text) {
  ConfChangeV2 result;
  result.changes = parse_conf_changes(text).value();
  return result;
}

inline Message message_from(uint64_t from, uint64_t to, MessageType type, uint64_t term) {
  return {.type = type, .to = NodeId(to), .from = NodeId(from), .term = Term(term)};
}

class TestGroup {
 public:
  struct Node {
    std::unique_ptr<MemoryStorage> storage = std::make_unique<MemoryStorage>();
    std::unique_ptr<RawNode> raw;
    std::vector<std::string> applied;  ///< heads of normal entries that are not empty
    std::vector<ReadState> reads;
    std::vector<ConfState> configurations;
  };

  /// Nodes 1..count, all voters, whose logs start behind a snapshot at index 1.
  explicit TestGroup(size_t count, Config config = {}) : TestGroup(count, count, config) {}
  TestGroup(size_t nodes_count, size_t voters_count, Config config) : config_(config) {
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->metadata.index = LogIndex(1);
    snapshot->metadata.term = Term(1);
    for (uint64_t id = 1; id <= nodes_count; ++id) {
      auto& members = id <= voters_count ? snapshot->metadata.conf_state.voters
                                         : snapshot->metadata.conf_state.learners;
      members.push_back(NodeId(id));
    }
    for (uint64_t id = 1; id <= nodes_count; ++id) {
      Node& node = nodes_[NodeId(id)];
      CHECK(node.storage->apply_snapshot(snapshot).ok());
      node.storage->set_hard_state({.term = Term(1), .vote = {}, .commit = LogIndex(1)});
      start(NodeId(id));
    }
  }

  RawNode& operator[](uint64_t id) { return *nodes_.at(NodeId(id)).raw; }
  Node& node(uint64_t id) { return nodes_.at(NodeId(id)); }

  /// Starts a node, or starts it again from what its storage has.
  void start(NodeId id) {
    Node& node = nodes_[id];
    node.applied.clear();
    Config config = config_;
    config.id = id;
    config.storage = node.storage.get();
    config.rng = &rng_;
    node.raw = std::move(RawNode::create(config)).value();
  }

  /// Messages to and from it are lost until healed.
  void isolate(uint64_t id) { isolated_.insert(NodeId(id)); }
  void heal() { isolated_.clear(); }

  /// Handles everything until nothing is left.
  void settle() {
    for (bool busy = true; busy;) {
      busy = false;
      for (auto& [id, node] : nodes_) {
        while (node.raw->has_ready()) {
          handle_ready(node);
          busy = true;
        }
      }
      for (Message& message : std::exchange(in_flight_, {})) {
        busy = true;
        if (isolated_.contains(message.from) || isolated_.contains(message.to)) continue;
        if (!nodes_.contains(message.to)) continue;
        (void)nodes_.at(message.to).raw->step(std::move(message));
      }
      for (auto& [id, node] : nodes_) node.raw->check_invariants();
    }
  }

  void elect(uint64_t id) {
    (*this)[id].campaign();
    settle();
    CHECK((*this)[id].is_leader());
  }
  bool propose(uint64_t id, std::string_view text) {
    const bool taken = (*this)[id].propose(Buffer::copy_of(text)).ok();
    settle();
    return taken;
  }
  void tick(uint64_t id, int count = 1) {
    for (int i = 0; i < count; ++i) {
      (*this)[id].tick();
      settle();
    }
  }

  /// Does a Ready's work, in order.
  void handle_ready(Node& node) {
    Ready ready = node.raw->ready();
    if (!ready.hard_state.empty()) node.storage->set_hard_state(ready.hard_state);
    if (ready.snapshot) CHECK(node.storage->apply_snapshot(ready.snapshot).ok());
    node.storage->append(ready.entries);
    for (Message& message : ready.messages) in_flight_.push_back(std::move(message));
    for (ReadState& read : ready.read_states) node.reads.push_back(std::move(read));
    for (const Entry& entry : ready.committed_entries) {
      if (entry.type == EntryType::kNormal) {
        if (!entry.head.empty()) node.applied.emplace_back(as_text(entry.head.view()));
        continue;
      }
      auto state = node.raw->apply_conf_change(decode_conf_change(entry.head.view()).value());
      if (state) node.configurations.push_back(*state);
    }
    node.raw->advance();
  }

  /// Until the node has nothing to do of its own.
  void work_off(uint64_t id) {
    while ((*this)[id].has_ready()) handle_ready(node(id));
  }
  std::string config_of(uint64_t id) { return to_string((*this)[id].config()); }

  std::vector<Message>& in_flight() { return in_flight_; }

 private:
  Config config_;
  Rng rng_{42};
  std::map<NodeId, Node> nodes_;
  std::set<NodeId> isolated_;
  std::vector<Message> in_flight_;
};

}  // namespace cairn::raft
