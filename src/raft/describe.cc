#include "raft/describe.h"

#include <array>
#include <cstdio>

namespace cairn::raft {
namespace {

constexpr std::array<std::string_view, kMessageTypesCount> kMessageNames = {
    "MsgHup",
    "MsgBeat",
    "MsgProp",
    "MsgApp",
    "MsgAppResp",
    "MsgVote",
    "MsgVoteResp",
    "MsgSnap",
    "MsgHeartbeat",
    "MsgHeartbeatResp",
    "MsgUnreachable",
    "MsgSnapStatus",
    "MsgCheckQuorum",
    "MsgTransferLeader",
    "MsgTimeoutNow",
    "MsgReadIndex",
    "MsgReadIndexResp",
    "MsgPreVote",
    "MsgPreVoteResp",
    "MsgStorageAppend",
    "MsgStorageAppendResp",
    "MsgStorageApply",
    "MsgStorageApplyResp",
    "MsgForgetLeader",
};

std::string format(const char* pattern, unsigned long long value) {
  char text[32];
  std::snprintf(text, sizeof text, pattern, value);
  return text;
}

std::string describe_target(NodeId id) {
  if (id.is_none()) return "None";
  if (id == kAppendThread) return "AppendThread";
  if (id == kApplyThread) return "ApplyThread";
  return format("%llx", id.value());
}

std::string quoted(ByteView bytes) {
  std::string text = "\"";
  for (std::byte byte : bytes) {
    const char c = static_cast<char>(byte);
    switch (c) {
      case '"':
        text += "\\\"";
        break;
      case '\\':
        text += "\\\\";
        break;
      case '\n':
        text += "\\n";
        break;
      case '\r':
        text += "\\r";
        break;
      case '\t':
        text += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
          text += format("\\x%02llx", static_cast<unsigned char>(c));
        } else {
          text += c;
        }
    }
  }
  return text + '"';
}

std::string bracketed(const std::vector<NodeId>& ids) {
  std::string text = "[";
  for (NodeId id : ids) {
    if (text.size() > 1) text += ' ';
    text += to_string(id);
  }
  return text + ']';
}

std::string describe_entries(std::span<const Entry> entries, const std::string& indent) {
  if (entries.size() == 1) return " Entries:[" + describe(entries[0]) + ']';
  std::string text = " Entries:[";
  for (const Entry& entry : entries) text += '\n' + indent + "  " + describe(entry);
  return text + '\n' + indent + ']';
}

std::string describe_message(const Message& message, const std::string& indent) {
  std::string text = indent + describe_target(message.from) + "->" + describe_target(message.to);
  text += ' ';
  text += to_string(message.type);
  text += " Term:" + to_string(message.term) + " Log:" + to_string(message.log_term) + '/' +
          to_string(message.index);
  if (message.reject) text += " Rejected (Hint: " + to_string(message.reject_hint) + ')';
  if (!message.commit.is_zero()) text += " Commit:" + to_string(message.commit);
  if (!message.vote.is_none()) text += " Vote:" + to_string(message.vote);
  if (!message.entries.empty()) text += describe_entries(message.entries, indent);
  if (message.snapshot && !message.snapshot->empty()) {
    text += '\n' + indent + "  Snapshot: " + describe(*message.snapshot);
  }
  if (!message.responses.empty()) {
    text += " Responses:[";
    for (const Message& response : message.responses) {
      text += '\n' + describe_message(response, indent + "  ");
    }
    text += '\n' + indent + ']';
  }
  return text;
}

std::string describe_read_states(const std::vector<ReadState>& states) {
  std::string text = "[";
  for (const ReadState& state : states) {
    if (text.size() > 1) text += ' ';
    text += '{' + to_string(state.index) + " [";
    bool first = true;
    for (std::byte byte : state.context.view()) {
      if (!std::exchange(first, false)) text += ' ';
      text += std::to_string(static_cast<unsigned>(byte));
    }
    text += "]}";
  }
  return text + ']';
}

}  // namespace

std::string_view to_string(MessageType type) {
  CHECK(static_cast<size_t>(type) < kMessageNames.size());
  return kMessageNames[static_cast<size_t>(type)];
}

std::optional<MessageType> message_type_of(std::string_view name) {
  for (size_t i = 0; i < kMessageNames.size(); ++i) {
    if (kMessageNames[i] == name) return static_cast<MessageType>(i);
  }
  return std::nullopt;
}

std::string_view to_string(EntryType type) {
  switch (type) {
    case EntryType::kNormal:
      return "EntryNormal";
    case EntryType::kConfChange:
      return "EntryConfChange";
    case EntryType::kConfChangeV2:
      return "EntryConfChangeV2";
  }
  check_failed("entry type", __FILE__, __LINE__);
}

std::string describe(const HardState& state) {
  std::string text = "Term:" + to_string(state.term);
  if (!state.vote.is_none()) text += " Vote:" + to_string(state.vote);
  return text + " Commit:" + to_string(state.commit);
}

std::string describe(const SoftState& state) {
  return "Lead:" + to_string(state.leader) + " State:" + std::string(to_string(state.role));
}

std::string describe(const ConfState& state) {
  return "Voters:" + bracketed(state.voters) +
         " VotersOutgoing:" + bracketed(state.voters_outgoing) +
         " Learners:" + bracketed(state.learners) +
         " LearnersNext:" + bracketed(state.learners_next) +
         " AutoLeave:" + (state.auto_leave ? "true" : "false");
}

std::string describe(const Snapshot& snapshot) {
  return "Index:" + to_string(snapshot.metadata.index) +
         " Term:" + to_string(snapshot.metadata.term) +
         " ConfState:" + describe(snapshot.metadata.conf_state);
}

std::string describe(const Entry& entry) {
  std::string text = to_string(entry.term) + '/' + to_string(entry.index) + ' ';
  text += to_string(entry.type);
  std::string data;
  if (entry.type == EntryType::kNormal) {
    data = quoted(entry.head.view());
  } else {
    const auto change = decode_conf_change(entry.head.view());
    data = change ? to_string(change->changes) : change.error().message();
    if (change && change->resets()) data = "reset " + data;
  }
  if (!data.empty()) text += ' ' + data;
  if (entry.payload.size_bytes > 0) {
    text += " +" + std::to_string(entry.payload.size_bytes) + " bytes";
  }
  return text;
}

std::string describe(std::span<const Entry> entries) {
  std::string text;
  for (const Entry& entry : entries) text += describe(entry) + '\n';
  return text;
}

std::string describe(const Message& message) {
  return describe_message(message, "");
}

std::string describe(const Ready& ready) {
  std::string text;
  if (ready.soft_state) text += describe(*ready.soft_state) + '\n';
  if (!ready.hard_state.empty()) text += "HardState " + describe(ready.hard_state) + '\n';
  if (!ready.read_states.empty()) {
    text += "ReadStates " + describe_read_states(ready.read_states) + '\n';
  }
  if (!ready.entries.empty()) text += "Entries:\n" + describe(ready.entries);
  if (ready.snapshot) text += "Snapshot " + describe(*ready.snapshot) + '\n';
  if (!ready.committed_entries.empty()) {
    text += "CommittedEntries:\n" + describe(ready.committed_entries);
  }
  if (!ready.messages.empty()) {
    text += "Messages:\n";
    for (const Message& message : ready.messages) text += describe(message) + '\n';
  }
  if (text.empty()) return "<empty Ready>";
  return std::string("Ready MustSync=") + (ready.must_sync ? "true" : "false") + ":\n" + text;
}

}  // namespace cairn::raft
