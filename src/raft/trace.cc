#include "raft/trace.h"

#include "raft/describe.h"
#include "raft/raft.h"

namespace cairn::raft {
namespace {

// Numbers and words of our own: nothing needs escaping.
class JsonObject {
 public:
  void number(std::string_view key, uint64_t value) { put(key, std::to_string(value)); }
  void word(std::string_view key, std::string_view value) {
    put(key, '"' + std::string(value) + '"');
  }
  void flag(std::string_view key, bool value) { put(key, value ? "true" : "false"); }
  void raw(std::string_view key, const std::string& json) { put(key, json); }
  std::string close() && { return std::move(text_) + '}'; }

 private:
  void put(std::string_view key, const std::string& value) {
    if (text_.size() > 1) text_ += ',';
    text_ += '"';
    text_ += key;
    text_ += "\":";
    text_ += value;
  }
  std::string text_ = "{";
};

template <typename Range, typename Render>
std::string array(const Range& range, Render render) {
  std::string text = "[";
  for (const auto& item : range) {
    if (text.size() > 1) text += ',';
    text += render(item);
  }
  return text + ']';
}

std::string ids(const NodeSet& nodes) {
  return array(nodes, [](NodeId id) { return to_string(id); });
}

std::string_view role_name(Role role) {
  switch (role) {
    case Role::kFollower:
      return "follower";
    case Role::kPreCandidate:
      return "pre-candidate";
    case Role::kCandidate:
      return "candidate";
    case Role::kLeader:
      return "leader";
  }
  check_failed("role", __FILE__, __LINE__);
}

std::string configuration(const TrackerConfig& config) {
  JsonObject json;
  json.raw("voters", ids(config.voters.incoming));
  json.raw("outgoing", ids(config.voters.outgoing));
  json.raw("learners", ids(config.learners));
  json.raw("learners_next", ids(config.learners_next));
  json.flag("auto_leave", config.auto_leave);
  return std::move(json).close();
}

std::string entry(const Entry& entry) {
  JsonObject json;
  json.number("term", entry.term.value());
  json.number("index", entry.index.value());
  json.word("type", to_string(entry.type));
  json.number("bytes", payload_bytes(entry));
  return std::move(json).close();
}

std::string message_json(const Message& message) {
  JsonObject json;
  json.word("type", to_string(message.type));
  json.number("from", message.from.value());
  json.number("to", message.to.value());
  json.number("term", message.term.value());
  json.number("log_term", message.log_term.value());
  json.number("index", message.index.value());
  json.number("commit", message.commit.value());
  json.flag("reject", message.reject);
  json.number("reject_hint", message.reject_hint.value());
  if (!message.entries.empty()) json.raw("entries", array(message.entries, entry));
  if (message.snapshot) {
    JsonObject snapshot;
    snapshot.number("term", message.snapshot->metadata.term.value());
    snapshot.number("index", message.snapshot->metadata.index.value());
    json.raw("snapshot", std::move(snapshot).close());
  }
  return std::move(json).close();
}

}  // namespace

std::string trace_line(std::string_view name, const Raft& raft, const Message* message) {
  const HardState hard = raft.hard_state();
  JsonObject json;
  json.word("name", name);
  json.number("node", raft.id().value());
  json.number("term", hard.term.value());
  json.number("vote", hard.vote.value());
  json.number("commit", hard.commit.value());
  json.word("role", role_name(raft.role()));
  json.number("leader", raft.leader().value());
  json.number("log", raft.log().last_index().value());
  json.number("log_term", raft.log().last_entry_id().term.value());
  json.number("applied", raft.log().applied().value());
  json.raw("config", configuration(raft.tracker().config));
  if (message) json.raw("message", message_json(*message));
  return std::move(json).close();
}

}  // namespace cairn::raft
