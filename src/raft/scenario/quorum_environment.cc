#include <map>
#include <optional>

#include "raft/quorum/joint.h"
#include "raft/scenario/environment.h"

namespace cairn::raft::scenario {
namespace {

using Indexes = std::map<NodeId, LogIndex>;

struct Input {
  std::vector<NodeId> voters;
  std::vector<NodeId> voters_joint;
  bool joint = false;
  /// In order of the voters, without repetition; 0 where nothing is known. For a vote: 1 no, 2 yes.
  std::vector<uint64_t> values;
};

constexpr uint64_t kNo = 1;
constexpr uint64_t kYes = 2;

Error unknown(const std::string& what) {
  return error(Errc::kInvalidArgument, "unknown " + what);
}

Result<uint64_t> parse_vote(const std::string& text) {
  if (text == "_") return uint64_t{0};
  if (text == "y") return kYes;
  if (text == "n") return kNo;
  return unknown("vote: " + text);
}

Result<uint64_t> parse_index(const std::string& text) {
  if (text == "_") return uint64_t{0};
  const uint64_t index = TRY(parse_number(text));
  // 0 would mean the same as _, and is not the same.
  if (index == 0) return error(Errc::kInvalidArgument, "cannot use 0 as idx");
  return index;
}

Result<Input> parse_input(const Command& command) {
  Input input;
  for (const Argument& argument : command.arguments) {
    for (const std::string& value : argument.values) {
      if (argument.key == "cfg") {
        input.voters.push_back(NodeId(TRY(parse_number(value))));
      } else if (argument.key == "cfgj") {
        input.joint = true;
        if (value != "zero") input.voters_joint.push_back(NodeId(TRY(parse_number(value))));
      } else if (argument.key == "idx") {
        input.values.push_back(TRY(parse_index(value)));
      } else if (argument.key == "votes") {
        input.values.push_back(TRY(parse_vote(value)));
      } else {
        return unknown("argument " + argument.key);
      }
    }
  }
  return input;
}

std::string describe_mismatch(const NodeSet& voters, const std::vector<uint64_t>& values) {
  std::string text = "error: mismatched input (explicit or _) for voters map[";
  for (NodeId id : voters) text += (text.ends_with('[') ? "" : " ") + to_string(id) + ":{}";
  text += "]: [";
  for (uint64_t value : values) text += (text.ends_with('[') ? "" : " ") + std::to_string(value);
  return text + ']';
}

// Hands the values out to the voters in the order in which they are first named.
Indexes assign(const Input& input) {
  Indexes known;
  std::map<NodeId, bool> seen;
  size_t next = 0;
  for (const auto* half : {&input.voters, &input.voters_joint}) {
    for (NodeId id : *half) {
      if (seen[id] || next >= input.values.size()) continue;
      seen[id] = true;
      if (const uint64_t value = input.values[next++]; value != 0) known[id] = LogIndex(value);
    }
  }
  return known;
}

auto lookup_in(const Indexes& known) {
  return [&known](NodeId id) -> std::optional<LogIndex> {
    const auto found = known.find(id);
    return found == known.end() ? std::nullopt : std::optional(found->second);
  };
}

// The same by definition instead of by sorting: the highest index that enough voters have reached.
LogIndex committed_by_counting(const NodeSet& voters, const Indexes& known) {
  if (voters.empty()) return kEverything;
  LogIndex best;
  for (const auto& [candidate, index] : known) {
    size_t reached_count = 0;
    for (NodeId id : voters) {
      const auto own = known.find(id);
      if (own != known.end() && own->second >= index) ++reached_count;
    }
    if (voters.contains(candidate) && reached_count >= majority_count(voters)) {
      best = std::max(best, index);
    }
  }
  return best;
}

// Says what contradicts `index`: other ways to compute it, and lower indexes that must not matter.
std::string cross_check(const NodeSet& voters, const Indexes& known, LogIndex index) {
  std::string text;
  const auto expect = [&](LogIndex other, const std::string& how) {
    if (other != index) text += describe_index(other) + " <-- " + how + '\n';
  };
  expect(committed_by_counting(voters, known), "via alternative computation");
  expect(JointConfig{voters, {}}.committed_index(lookup_in(known)), "via zero-joint quorum");
  expect(JointConfig{voters, voters}.committed_index(lookup_in(known)), "via self-joint quorum");
  for (NodeId id : voters) {
    const auto own = known.find(id);
    if (own == known.end() || own->second >= index) continue;
    for (const LogIndex lowered : {own->second - 1, LogIndex(0)}) {
      Indexes overlaid = known;
      overlaid[id] = lowered;
      expect(majority_committed(voters, lookup_in(overlaid)),
             "overlaying " + to_string(id) + "->" + to_string(lowered));
    }
  }
  return text;
}

std::string run_committed(const Input& input) {
  const Indexes known = assign(input);
  const auto acked = lookup_in(known);
  const NodeSet voters(input.voters);
  if (!input.joint) {
    const LogIndex index = majority_committed(voters, acked);
    return describe_quorum(voters, acked) + cross_check(voters, known, index) +
           describe_index(index) + '\n';
  }
  const JointConfig config{voters, NodeSet(input.voters_joint)};
  const LogIndex index = config.committed_index(acked);
  std::string text = describe_quorum(config.ids(), acked);
  const LogIndex mirrored = JointConfig{config.outgoing, config.incoming}.committed_index(acked);
  if (mirrored != index) text += describe_index(mirrored) + " <-- via symmetry\n";
  return text + describe_index(index) + '\n';
}

std::string run_vote(const Input& input) {
  const Indexes known = assign(input);
  const auto vote = [&known](NodeId id) -> std::optional<bool> {
    const auto found = known.find(id);
    if (found == known.end()) return std::nullopt;
    return found->second == LogIndex(kYes);
  };
  const NodeSet voters(input.voters);
  if (!input.joint) return std::string(to_string(majority_vote(voters, vote))) + '\n';
  const JointConfig config{voters, NodeSet(input.voters_joint)};
  const VoteResult result = config.vote_result(vote);
  const VoteResult mirrored = JointConfig{config.outgoing, config.incoming}.vote_result(vote);
  std::string text;
  if (mirrored != result) text += std::string(to_string(mirrored)) + " <-- via symmetry\n";
  return text + std::string(to_string(result)) + '\n';
}

class QuorumEnvironment : public Environment {
 public:
  Result<std::string> run(const Directive& directive) override {
    const std::string& name = directive.command.name;
    if (name != "committed" && name != "vote") return unknown("command: " + name);
    const Input input = TRY(parse_input(directive.command));
    NodeSet all(input.voters);
    all.merge(NodeSet(input.voters_joint));
    if (all.count() != input.values.size()) return describe_mismatch(all, input.values);
    return name == "committed" ? run_committed(input) : run_vote(input);
  }
};

}  // namespace

std::unique_ptr<Environment> make_quorum_environment() {
  return std::make_unique<QuorumEnvironment>();
}

}  // namespace cairn::raft::scenario
