#include "raft/scenario/group.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace cairn::raft::scenario {
namespace {

constexpr std::array<std::string_view, 6> kLevelNames = {"DEBUG", "INFO",  "WARN",
                                                         "ERROR", "FATAL", "NONE"};
// A group of a scenario's size settles in a few dozen rounds; this many means that it never will.
constexpr size_t kRoundsMax = 10'000;

// Their delivery within a node is reliable, so they are never dropped.
bool is_local_message(const Message& message) {
  return message.from == message.to || is_local_target(message.from) || is_local_target(message.to);
}

Buffer concatenated(const Buffer& first, const Buffer& second) {
  if (second.empty()) return first;
  std::string text(as_text(first.view()));
  text += as_text(second.view());
  return Buffer::copy_of(text);
}

}  // namespace

void Output::on_log(LogLevel level, std::string_view text) {
  if (level_ > static_cast<int>(level)) return;
  write(kLevelNames[static_cast<size_t>(level)]);
  write(" ");
  write_line(text);
}

void Output::append_indented(std::string& to) const {
  std::string_view rest = text_;
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    to += "  ";
    to += line;
    to += '\n';
  }
}

Status Output::set_level(std::string_view name) {
  for (size_t i = 0; i < kLevelNames.size(); ++i) {
    const bool same = std::ranges::equal(name, kLevelNames[i], [](char a, char b) {
      return std::toupper(static_cast<unsigned char>(a)) == b;
    });
    if (!same) continue;
    level_ = static_cast<int>(i);
    return ok();
  }
  return error(Errc::kInvalidArgument,
               "log levels must be either of [DEBUG INFO WARN ERROR FATAL NONE]");
}

Status Group::add_nodes(size_t count, const Config& config, const Snapshot& snapshot) {
  const bool starts_from_snapshot =
      !snapshot.empty() || !snapshot.data.empty() || snapshot.metadata.conf_state != ConfState();
  if (starts_from_snapshot && snapshot.metadata.index <= LogIndex(1)) {
    return error(Errc::kInvalidArgument, "index must be specified as > 1 due to bootstrap");
  }
  auto first = std::make_shared<Snapshot>(snapshot);
  if (starts_from_snapshot) first->metadata.term = Term(1);
  for (size_t i = 0; i < count; ++i) {
    Node node;
    node.storage = std::make_unique<Node::HistoryStorage>(first);
    if (starts_from_snapshot) TRY(node.storage->apply_snapshot(first));
    node.config = config;
    node.config.id = NodeId(nodes_.size() + 1);
    node.config.storage = node.storage.get();
    node.config.rng = &rng_;
    node.config.observer = &output_;
    node.raw = TRY(RawNode::create(node.config));
    nodes_.push_back(std::move(node));
  }
  return ok();
}

Result<Group::Node*> Group::node(NodeId id) {
  if (id.is_none() || id.value() > nodes_.size()) {
    return error(Errc::kInvalidArgument, "there is no node " + to_string(id));
  }
  return &nodes_[id.value() - 1];
}

Status Group::process_ready(Node& node) {
  Ready ready = node.raw->ready();
  output_.write(describe(ready));
  const bool async = node.config.async_storage_writes;
  if (!async) {
    TRY(append_to_storage(node, ready.hard_state, ready.entries, ready.snapshot));
    TRY(apply(node, ready.committed_entries));
  }
  for (Message& message : ready.messages) {
    if (message.to == kAppendThread) {
      node.append_work.push_back(std::move(message));
    } else if (message.to == kApplyThread) {
      node.apply_work.push_back(std::move(message));
    } else {
      messages_.push_back(std::move(message));
    }
  }
  if (!async) node.raw->advance();
  return ok();
}

Status Group::append_to_storage(Node& node, const HardState& state, std::span<const Entry> entries,
                                const SnapshotPtr& snapshot) {
  if (!state.empty()) node.storage->set_hard_state(state);
  if (snapshot && !snapshot->empty()) {
    if (!entries.empty()) {
      return error(Errc::kInternal, "can't apply snapshot and entries at the same time");
    }
    return node.storage->apply_snapshot(snapshot);
  }
  node.storage->append(entries);
  return ok();
}

Status Group::apply(Node& node, std::span<const Entry> entries) {
  for (const Entry& entry : entries) {
    const SnapshotPtr last = *node.storage->snapshot();
    auto next = std::make_shared<Snapshot>(*last);
    next->metadata.index = entry.index;
    next->metadata.term = entry.term;
    Buffer update = entry.head;
    if (entry.type != EntryType::kNormal) {
      const ConfChangeV2 change = TRY(decode_conf_change(entry.head.view()));
      next->metadata.conf_state = TRY(node.raw->apply_conf_change(change));
      update = change.context;
    }
    next->data = concatenated(last->data, update);
    node.storage->record(std::move(next));
  }
  return ok();
}

Status Group::process_append_thread(Node& node) {
  if (node.append_work.empty()) {
    output_.write("no append work to perform");
    return ok();
  }
  Message work = std::move(node.append_work.front());
  node.append_work.pop_front();
  std::vector<Message> responses = std::exchange(work.responses, {});
  output_.write_line("Processing:");
  output_.write_line(describe(work));
  const HardState state{.term = work.term, .vote = work.vote, .commit = work.commit};
  TRY(append_to_storage(node, state, work.entries, work.snapshot));
  work.responses = std::move(responses);
  finish(std::move(work));
  return ok();
}

Status Group::process_apply_thread(Node& node) {
  if (node.apply_work.empty()) {
    output_.write("no apply work to perform");
    return ok();
  }
  Message work = std::move(node.apply_work.front());
  node.apply_work.pop_front();
  std::vector<Message> responses = std::exchange(work.responses, {});
  output_.write_line("Processing:");
  output_.write_line(describe(work));
  TRY(apply(node, work.entries));
  work.responses = std::move(responses);
  finish(std::move(work));
  return ok();
}

void Group::finish(Message work) {
  output_.write_line("Responses:");
  for (Message& response : work.responses) {
    output_.write_line(describe(response));
    messages_.push_back(std::move(response));
  }
}

std::vector<Message> Group::take_messages(const Recipient& recipient,
                                          std::optional<MessageType> type) {
  std::vector<Message> taken;
  std::vector<Message> rest;
  for (Message& message : messages_) {
    const bool wanted = message.to == recipient.id && (!type || message.type == *type) &&
                        !(recipient.drop && is_local_message(message));
    (wanted ? taken : rest).push_back(std::move(message));
  }
  messages_ = std::move(rest);
  return taken;
}

size_t Group::deliver(std::optional<MessageType> type, const std::vector<Recipient>& recipients) {
  size_t count = 0;
  for (const Recipient& recipient : recipients) {
    for (Message& message : take_messages(recipient, type)) {
      ++count;
      if (recipient.drop) output_.write("dropped: ");
      output_.write_line(describe(message));
      // Messages to nodes that do not exist yet may be dropped.
      if (recipient.drop) continue;
      auto to = node(message.to);
      const Status result = to ? (*to)->raw->step(std::move(message)) : Status(to.error());
      if (!result) output_.write_line(result.error().message());
    }
  }
  return count;
}

bool Group::has_messages(NodeId to) const {
  return std::ranges::any_of(messages_, [to](const Message& m) { return m.to == to; });
}

// One round; false if there was nothing to do. `ids` exist.
Result<bool> Group::stabilize_once(const std::vector<NodeId>& ids) {
  bool busy = false;
  for (NodeId id : ids) {
    Node& member = *TRY(node(id));
    if (!member.raw->has_ready()) continue;
    busy = true;
    output_.write_line("> " + to_string(id) + " handling Ready");
    TRY(output_.indented([&] { return process_ready(member); }));
  }
  for (NodeId id : ids) {
    if (!has_messages(id)) continue;
    busy = true;
    output_.write_line("> " + to_string(id) + " receiving messages");
    output_.indented([&] { return deliver(std::nullopt, {{.id = id}}); });
  }
  for (NodeId id : ids) {
    Node& member = *TRY(node(id));
    if (member.append_work.empty()) continue;
    busy = true;
    output_.write_line("> " + to_string(id) + " processing append thread");
    while (!member.append_work.empty()) {
      TRY(output_.indented([&] { return process_append_thread(member); }));
    }
  }
  for (NodeId id : ids) {
    Node& member = *TRY(node(id));
    if (member.apply_work.empty()) continue;
    busy = true;
    output_.write_line("> " + to_string(id) + " processing apply thread");
    while (!member.apply_work.empty()) {
      TRY(output_.indented([&] { return process_apply_thread(member); }));
    }
  }
  return busy;
}

Status Group::stabilize(const std::vector<NodeId>& ids) {
  std::vector<NodeId> chosen = ids;
  if (chosen.empty()) {
    for (const Node& member : nodes_) chosen.push_back(member.config.id);
  }
  for (size_t round = 0; round < kRoundsMax; ++round) {
    if (!TRY(stabilize_once(chosen))) return ok();
    for (const Node& member : nodes_) member.raw->check_invariants();
  }
  return error(Errc::kOverloaded, "the group does not settle");
}

Status Group::send_snapshot(NodeId from, NodeId to) {
  Node& sender = *TRY(node(from));
  if (from == to) return error(Errc::kInvalidArgument, "a node sends itself no snapshot");
  Message message{.type = MessageType::kSnapshot, .to = to, .from = from};
  message.term = sender.raw->term();
  message.snapshot = TRY(sender.storage->snapshot());
  output_.write(describe(message));
  messages_.push_back(std::move(message));
  return ok();
}

Status Group::print_log(Node& node) {
  const LogIndex first = node.storage->first_index();
  const LogIndex last = node.storage->last_index();
  if (last < first) {
    output_.write("log is empty: first index=" + to_string(first) +
                  ", last index=" + to_string(last));
    return ok();
  }
  const auto entries =
      TRY(node.storage->entries(first, last + 1, std::numeric_limits<uint64_t>::max()));
  output_.write(describe(entries));
  return ok();
}

Status Group::compact(Node& node, LogIndex index) {
  if (index > node.raw->applied()) {
    return error(Errc::kInvalidArgument, "only what is applied may be compacted");
  }
  TRY(node.storage->compact(index));
  return print_log(node);
}

}  // namespace cairn::raft::scenario
