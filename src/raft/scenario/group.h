/// Group: the members of a Raft group, their storage and state machines, and the messages between
/// them; each moves only when it is told to, and writes down what it does.
///
/// The state machine appends what it applies, and keeps a snapshot after every entry.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/rng.h"
#include "raft/describe.h"
#include "raft/raw_node.h"

namespace cairn::raft::scenario {

/// The text that a directive prints, in which the nodes' log lines stand where they happen.
class Output : public Observer {
 public:
  static constexpr int kQuiet = 5;  ///< the level at which nothing is written at all

  void on_log(LogLevel level, std::string_view text) override;
  void write(std::string_view text) {
    if (!quiet()) text_ += text;
  }
  void write_line(std::string_view text) {
    write(text);
    write("\n");
  }
  /// What `part` writes, moved to the right.
  template <typename F>
  auto indented(F&& part) {
    std::string outer = std::exchange(text_, {});
    auto result = part();
    append_indented(outer);
    text_ = std::move(outer);
    return result;
  }
  bool quiet() const { return level_ == kQuiet; }
  int level() const { return level_; }
  void set_level(int level) { level_ = level; }
  /// Errors: kInvalidArgument.
  Status set_level(std::string_view name);
  const std::string& text() const { return text_; }
  void clear() { text_.clear(); }

 private:
  void append_indented(std::string& to) const;

  std::string text_;
  int level_ = 0;  ///< lines below it are dropped: DEBUG INFO WARN ERROR FATAL NONE
};

class Group {
 public:
  explicit Group(Output& output) : output_(output), rng_(1) {}

  struct Node {
    class HistoryStorage;
    std::unique_ptr<HistoryStorage> storage;
    Config config;
    std::unique_ptr<RawNode> raw;
    std::deque<Message> append_work;
    std::deque<Message> apply_work;
  };
  struct Recipient {
    NodeId id;
    bool drop = false;
  };

  /// Adds nodes that start from `snapshot` (which may be empty), with the next ids.
  Status add_nodes(size_t count, const Config& config, const Snapshot& snapshot);
  /// Errors: kInvalidArgument if there is no such node.
  Result<Node*> node(NodeId id);
  const std::vector<Node>& nodes() const { return nodes_; }

  Status process_ready(Node& node);
  Status process_append_thread(Node& node);
  Status process_apply_thread(Node& node);
  /// Delivers or drops the messages on their way to each recipient (of one type, if given).
  /// Returns how many there were.
  size_t deliver(std::optional<MessageType> type, const std::vector<Recipient>& recipients);
  /// Everything that the given nodes (none: all) can do among themselves, until nothing is left.
  /// Errors: kOverloaded if it never ends.
  Status stabilize(const std::vector<NodeId>& ids);
  Status send_snapshot(NodeId from, NodeId to);
  Status print_log(Node& node);
  Status compact(Node& node, LogIndex index);

 private:
  Status append_to_storage(Node& node, const HardState& state, std::span<const Entry> entries,
                           const SnapshotPtr& snapshot);
  Status apply(Node& node, std::span<const Entry> entries);
  void finish(Message work);
  std::vector<Message> take_messages(const Recipient& recipient, std::optional<MessageType> type);
  bool has_messages(NodeId to) const;
  Result<bool> stabilize_once(const std::vector<NodeId>& ids);

  Output& output_;
  Rng rng_;
  std::vector<Node> nodes_;
  std::vector<Message> messages_;  ///< on their way, in the order in which they were sent
};

/// The storage of a node, with its state machine's snapshots.
class Group::Node::HistoryStorage : public MemoryStorage {
 public:
  explicit HistoryStorage(SnapshotPtr first) : history_{std::move(first)} {}
  Result<SnapshotPtr> snapshot() const override { return history_.back(); }
  void record(SnapshotPtr snapshot) { history_.push_back(std::move(snapshot)); }

 private:
  std::vector<SnapshotPtr> history_;  ///< never empty
};

}  // namespace cairn::raft::scenario
