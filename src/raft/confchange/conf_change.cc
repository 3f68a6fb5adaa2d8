#include "raft/confchange/conf_change.h"

#include <charconv>

namespace cairn::raft {
namespace {

constexpr uint8_t kVersion = 1;
constexpr size_t kHeaderBytes = 4;
constexpr size_t kChangeBytes = 9;

char letter_of(ConfChangeType type) {
  switch (type) {
    case ConfChangeType::kAddVoter:
      return 'v';
    case ConfChangeType::kAddLearner:
      return 'l';
    case ConfChangeType::kRemove:
      return 'r';
    case ConfChangeType::kUpdate:
      return 'u';
  }
  check_failed("conf change type", __FILE__, __LINE__);
}

}  // namespace

Buffer encode(const ConfChangeV2& change) {
  if (change.leaves_joint() && change.context.empty()) return {};
  CHECK(change.changes.size() <= kConfChangesMax);
  const size_t changes_bytes = change.changes.size() * kChangeBytes;
  Buffer bytes = Buffer::allocate(kHeaderBytes + changes_bytes + change.context.size_bytes());
  MutableByteView out = bytes.mutable_view();
  store(out, kVersion);
  store(out.subspan(1), static_cast<uint8_t>(change.transition));
  store(out.subspan(2), static_cast<uint16_t>(change.changes.size()));
  out = out.subspan(kHeaderBytes);
  for (const ConfChangeSingle& single : change.changes) {
    store(out, static_cast<uint8_t>(single.type));
    store(out.subspan(1), single.node.value());
    out = out.subspan(kChangeBytes);
  }
  if (!change.context.empty()) {
    std::memcpy(out.data(), change.context.data(), change.context.size_bytes());
  }
  return bytes;
}

Result<ConfChangeV2> decode_conf_change(ByteView bytes) {
  if (bytes.empty()) return ConfChangeV2{};
  if (bytes.size() < kHeaderBytes || load<uint8_t>(bytes) != kVersion) {
    return error(Errc::kCorrupt, "configuration change: unknown version");
  }
  const auto transition = load<uint8_t>(bytes.subspan(1));
  const auto count = load<uint16_t>(bytes.subspan(2));
  bytes = bytes.subspan(kHeaderBytes);
  if (transition > static_cast<uint8_t>(ConfChangeTransition::kReset) || count > kConfChangesMax ||
      bytes.size() < count * kChangeBytes) {
    return error(Errc::kCorrupt, "configuration change: bad header");
  }
  ConfChangeV2 change;
  change.transition = static_cast<ConfChangeTransition>(transition);
  for (size_t i = 0; i < count; ++i) {
    const auto type = load<uint8_t>(bytes);
    if (type > static_cast<uint8_t>(ConfChangeType::kAddLearner)) {
      return error(Errc::kCorrupt, "configuration change: unknown type");
    }
    change.changes.push_back({.type = static_cast<ConfChangeType>(type),
                              .node = NodeId(load<uint64_t>(bytes.subspan(1)))});
    bytes = bytes.subspan(kChangeBytes);
  }
  if (!bytes.empty()) change.context = Buffer::copy_of(bytes);
  return change;
}

std::string to_string(const std::vector<ConfChangeSingle>& changes) {
  std::string text;
  for (const ConfChangeSingle& single : changes) {
    if (!text.empty()) text += ' ';
    text += letter_of(single.type);
    text += to_string(single.node);
  }
  return text;
}

Result<std::vector<ConfChangeSingle>> parse_conf_changes(std::string_view text) {
  std::vector<ConfChangeSingle> changes;
  constexpr std::string_view kSpace = " \t\r\n";
  while (true) {
    const size_t start = text.find_first_not_of(kSpace);
    if (start == std::string_view::npos) return changes;
    text.remove_prefix(start);
    const std::string_view token = text.substr(0, text.find_first_of(kSpace));
    text.remove_prefix(token.size());
    if (token.size() < 2) {
      return error(Errc::kInvalidArgument, "unknown token " + std::string(token));
    }
    ConfChangeSingle single;
    switch (token[0]) {
      case 'v':
        single.type = ConfChangeType::kAddVoter;
        break;
      case 'l':
        single.type = ConfChangeType::kAddLearner;
        break;
      case 'r':
        single.type = ConfChangeType::kRemove;
        break;
      case 'u':
        single.type = ConfChangeType::kUpdate;
        break;
      default:
        return error(Errc::kInvalidArgument, "unknown input: " + std::string(token));
    }
    uint64_t id = 0;
    const auto [end, failure] = std::from_chars(token.data() + 1, token.data() + token.size(), id);
    if (failure != std::errc() || end != token.data() + token.size()) {
      return error(Errc::kInvalidArgument, "not a member's number: " + std::string(token));
    }
    single.node = NodeId(id);
    changes.push_back(single);
    if (changes.size() > kConfChangesMax) {
      return error(Errc::kInvalidArgument, "too many changes at once");
    }
  }
}

bool equivalent(const ConfState& a, const ConfState& b) {
  return NodeSet(a.voters) == NodeSet(b.voters) && NodeSet(a.learners) == NodeSet(b.learners) &&
         NodeSet(a.voters_outgoing) == NodeSet(b.voters_outgoing) &&
         NodeSet(a.learners_next) == NodeSet(b.learners_next) && a.auto_leave == b.auto_leave;
}

}  // namespace cairn::raft
