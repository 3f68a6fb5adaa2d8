#include <map>

#include "raft/scenario/environment.h"
#include "raft/scenario/group.h"

namespace cairn::raft::scenario {
namespace {

constexpr uint64_t kTicksMax = 1'000'000;

Error invalid(std::string why) {
  return error(Errc::kInvalidArgument, std::move(why));
}

// No limits, and timeouts of a few ticks.
Config default_config() {
  Config config;
  config.election_tick = 3;
  config.heartbeat_tick = 1;
  config.size_per_message_max = std::numeric_limits<uint64_t>::max();
  config.inflight_messages_max = std::numeric_limits<int32_t>::max();
  return config;
}

class InteractionEnvironment : public Environment {
 public:
  Result<std::string> run(const Directive& directive) override {
    output_.clear();
    const Status outcome = run_lines(directive);
    if (!outcome && output_.quiet()) return outcome.error().message();
    if (!outcome) output_.write(outcome.error().message());
    return output_.text().empty() ? "ok" : output_.text();
  }

 private:
  using Handler = Status (InteractionEnvironment::*)(const Command&);
  static const std::map<std::string_view, Handler>& handlers();

  // The input of most directives is more commands, whose output joins that of the first.
  Status run_lines(const Directive& directive) {
    if (directive.command.name == "propose-conf-change") {
      return propose_conf_change(directive.command, directive.input);
    }
    if (directive.command.name == "reset-configuration") {
      return reset_configuration(directive.command, directive.input);
    }
    TRY(run_command(directive.command));
    std::string_view rest = directive.input;
    while (!rest.empty()) {
      const std::string_view line = rest.substr(0, rest.find('\n'));
      rest.remove_prefix(std::min(rest.size(), line.size() + 1));
      const Status outcome = run_command(TRY(parse_command(line)));
      if (outcome) continue;
      if (output_.quiet()) return outcome;
      output_.write(outcome.error().message());
    }
    return ok();
  }

  Status run_command(const Command& command) {
    const auto found = handlers().find(command.name);
    if (found == handlers().end()) return invalid("unknown command: " + command.name);
    return (this->*found->second)(command);
  }

  // Arguments.
  static Result<std::vector<NodeId>> ids_of(const Command& command) {
    std::vector<NodeId> ids;
    for (const std::string& word : command.words()) ids.push_back(NodeId(TRY(parse_number(word))));
    return ids;
  }
  static Result<NodeId> first_id(const Command& command) {
    if (command.arguments.empty()) return invalid("which node?");
    return NodeId(TRY(parse_number(command.arguments[0].key)));
  }
  Result<Group::Node*> first_node(const Command& command) {
    const NodeId id = TRY(first_id(command));
    return group_.node(id);
  }
  static Result<uint64_t> number_named(const Command& command, std::string_view key) {
    const Argument* argument = command.find(key);
    if (!argument) return invalid("missing " + std::string(key));
    return parse_number(argument->values[0]);
  }

  // Commands.
  Status breakpoint(const Command&) { return ok(); }
  Status add_nodes(const Command& command);
  Status campaign(const Command& command) {
    TRY(first_node(command))->raw->campaign();
    return ok();
  }
  Status compact(const Command& command) {
    Group::Node& node = *TRY(first_node(command));
    if (command.arguments.size() != 2) return invalid("compact takes a node and an index");
    return group_.compact(node, LogIndex(TRY(parse_number(command.arguments[1].key))));
  }
  Status deliver_msgs(const Command& command);
  Status process_ready(const Command& command) {
    return for_each_node(command, "handling Ready", &Group::process_ready);
  }
  Status process_append_thread(const Command& command) {
    return for_each_node(command, "processing append thread", &Group::process_append_thread);
  }
  Status process_apply_thread(const Command& command) {
    return for_each_node(command, "processing apply thread", &Group::process_apply_thread);
  }
  Status for_each_node(const Command& command, std::string_view title,
                       Status (Group::*action)(Group::Node&));
  Status log_level(const Command& command) {
    if (command.arguments.size() != 1) return invalid("log-level takes a level");
    return output_.set_level(command.arguments[0].key);
  }
  Status raft_log(const Command& command) { return group_.print_log(*TRY(first_node(command))); }
  Status raft_state(const Command& command);
  Status set_randomized_election_timeout(const Command& command) {
    Group::Node& node = *TRY(first_node(command));
    const uint64_t ticks = TRY(number_named(command, "timeout"));
    if (ticks == 0) return invalid("the timeout must not be 0");
    node.raw->set_randomized_election_timeout(static_cast<uint32_t>(ticks));
    return ok();
  }
  Status stabilize(const Command& command);
  Status status(const Command& command) {
    output_.write(to_string(TRY(first_node(command))->raw->status().progress));
    return ok();
  }
  Status tick_election(const Command& command) {
    Group::Node& node = *TRY(first_node(command));
    return tick_times(node, node.config.election_tick);
  }
  Status tick_heartbeat(const Command& command) {
    Group::Node& node = *TRY(first_node(command));
    return tick_times(node, node.config.heartbeat_tick);
  }
  Status tick(const Command& command) {
    Group::Node& node = *TRY(first_node(command));
    if (command.arguments.size() != 2) return invalid("tick takes a node and a number of ticks");
    const uint64_t count = TRY(parse_number(command.arguments[1].key));
    if (count > kTicksMax) return invalid("too many ticks");
    return tick_times(node, count);
  }
  static Status tick_times(Group::Node& node, uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) node.raw->tick();
    return ok();
  }
  Status transfer_leadership(const Command& command) {
    const NodeId to(TRY(number_named(command, "to")));
    TRY(group_.node(to));
    const NodeId from(TRY(number_named(command, "from")));
    TRY(group_.node(from))->raw->transfer_leader(to);
    return ok();
  }
  Status forget_leader(const Command& command) {
    TRY(first_node(command))->raw->forget_leader();
    return ok();
  }
  Status send_snapshot(const Command& command) {
    const std::vector<NodeId> ids = TRY(ids_of(command));
    if (ids.size() != 2) return invalid("send-snapshot takes a sender and a receiver");
    return group_.send_snapshot(ids[0], ids[1]);
  }
  Status propose(const Command& command) {
    Group::Node& node = *TRY(first_node(command));
    if (command.arguments.size() != 2 || !command.arguments[1].values.empty()) {
      return invalid("expected exactly one key with no vals");
    }
    return node.raw->propose(Buffer::copy_of(command.arguments[1].key));
  }
  Status propose_conf_change(const Command& command, const std::string& input);
  Status reset_configuration(const Command& command, const std::string& input);
  Status promote(const Command& command) {
    const std::vector<NodeId> ids = TRY(ids_of(command));
    if (ids.size() != 2) return invalid("promote takes the leader and the learner");
    return TRY(group_.node(ids[0]))->raw->promote(ids[1], 0);
  }
  Status demote(const Command& command) {
    const std::vector<NodeId> ids = TRY(ids_of(command));
    if (ids.size() != 2) return invalid("demote takes the leader and the voter");
    return TRY(group_.node(ids[0]))->raw->demote(ids[1]);
  }
  Status set_priority(const Command& command) {
    Group::Node& node = *TRY(first_node(command));
    const uint64_t priority = TRY(number_named(command, "priority"));
    if (priority > kPriorityMax || !node.config.pre_vote) return invalid("not a priority");
    node.raw->set_priority(static_cast<uint32_t>(priority));
    return ok();
  }
  Status report_unreachable(const Command& command) {
    const std::vector<NodeId> ids = TRY(ids_of(command));
    if (ids.size() != 2) {
      return invalid(
          "must specify exactly two node indexes: node on which to report, and reported "
          "node");
    }
    TRY(group_.node(ids[1]));
    TRY(group_.node(ids[0]))->raw->report_unreachable(ids[1]);
    return ok();
  }

  Output output_;
  Group group_{output_};
};

const std::map<std::string_view, InteractionEnvironment::Handler>&
InteractionEnvironment::handlers() {
  using Self = InteractionEnvironment;
  static const std::map<std::string_view, Handler> kHandlers = {
      {"_breakpoint", &Self::breakpoint},
      {"add-nodes", &Self::add_nodes},
      {"campaign", &Self::campaign},
      {"compact", &Self::compact},
      {"deliver-msgs", &Self::deliver_msgs},
      {"process-ready", &Self::process_ready},
      {"process-append-thread", &Self::process_append_thread},
      {"process-apply-thread", &Self::process_apply_thread},
      {"log-level", &Self::log_level},
      {"raft-log", &Self::raft_log},
      {"raft-state", &Self::raft_state},
      {"set-randomized-election-timeout", &Self::set_randomized_election_timeout},
      {"stabilize", &Self::stabilize},
      {"status", &Self::status},
      {"tick", &Self::tick},
      {"tick-election", &Self::tick_election},
      {"tick-heartbeat", &Self::tick_heartbeat},
      {"transfer-leadership", &Self::transfer_leadership},
      {"forget-leader", &Self::forget_leader},
      {"send-snapshot", &Self::send_snapshot},
      {"propose", &Self::propose},
      {"promote", &Self::promote},
      {"demote", &Self::demote},
      {"set-priority", &Self::set_priority},
      {"report-unreachable", &Self::report_unreachable},
  };
  return kHandlers;
}

// One option of add-nodes.
Status apply_option(const std::string& key, const std::string& value, Config& config,
                    Snapshot& snapshot) {
  if (key == "voters") {
    snapshot.metadata.conf_state.voters.push_back(NodeId(TRY(parse_number(value))));
  } else if (key == "learners") {
    snapshot.metadata.conf_state.learners.push_back(NodeId(TRY(parse_number(value))));
  } else if (key == "inflight") {
    config.inflight_messages_max = TRY(parse_number(value));
  } else if (key == "index") {
    config.applied = snapshot.metadata.index = LogIndex(TRY(parse_number(value)));
  } else if (key == "content") {
    snapshot.data = Buffer::copy_of(value);
  } else if (key == "async-storage-writes") {
    config.async_storage_writes = TRY(parse_bool(value));
  } else if (key == "election-tick") {
    config.election_tick = static_cast<uint32_t>(TRY(parse_number(value)));
  } else if (key == "heartbeat-tick") {
    config.heartbeat_tick = static_cast<uint32_t>(TRY(parse_number(value)));
  } else if (key == "prevote") {
    config.pre_vote = TRY(parse_bool(value));
  } else if (key == "checkquorum") {
    config.check_quorum = TRY(parse_bool(value));
  } else if (key == "max-committed-size-per-ready") {
    config.committed_size_per_ready_max = TRY(parse_number(value));
  } else if (key == "max-size-per-msg") {
    config.size_per_message_max = TRY(parse_number(value));
  } else if (key == "inflight-bytes") {
    config.inflight_bytes_max = TRY(parse_number(value));
  } else if (key == "max-uncommitted-size") {
    config.uncommitted_entries_size_max = TRY(parse_number(value));
  } else if (key == "priority") {
    config.priority = static_cast<uint32_t>(TRY(parse_number(value)));
  } else if (key == "disable-conf-change-validation") {
    config.disable_conf_change_validation = TRY(parse_bool(value));
  } else if (key == "step-down-on-removal") {
    config.step_down_on_removal = TRY(parse_bool(value));
  } else if (key == "read-only" && value == "safe") {
    config.read_only_option = ReadOnlyOption::kSafe;
  } else if (key == "read-only" && value == "lease-based") {
    config.read_only_option = ReadOnlyOption::kLeaseBased;
  } else if (key == "read-only") {
    return invalid("invalid read-only option \"" + value + '"');
  } else {
    return invalid("unknown option of add-nodes: " + key);
  }
  return ok();
}

Status InteractionEnvironment::add_nodes(const Command& command) {
  constexpr uint64_t kNodesMax = 100;
  if (command.arguments.empty()) return invalid("add-nodes takes the number of nodes");
  const uint64_t count = TRY(parse_number(command.arguments[0].key));
  if (count > kNodesMax) return invalid("too many nodes");
  Config config = default_config();
  Snapshot snapshot;
  for (const Argument& argument : command.arguments) {
    for (const std::string& value : argument.values) {
      TRY(apply_option(argument.key, value, config, snapshot));
    }
  }
  return group_.add_nodes(count, config, snapshot);
}

Status InteractionEnvironment::deliver_msgs(const Command& command) {
  std::optional<MessageType> type;
  std::vector<Group::Recipient> recipients;
  for (const Argument& argument : command.arguments) {
    if (argument.values.empty()) {
      recipients.push_back({.id = NodeId(TRY(parse_number(argument.key)))});
    }
    for (const std::string& value : argument.values) {
      if (argument.key == "type") {
        type = message_type_of(value);
        if (!type) return invalid("unknown message type " + value);
      } else if (argument.key == "drop") {
        const NodeId id(TRY(parse_number(value)));
        for (const Group::Recipient& other : recipients) {
          if (other.id == id && !other.drop) {
            return invalid("can't both deliver and drop msgs to " + value);
          }
        }
        recipients.push_back({.id = id, .drop = true});
      } else {
        return invalid("unknown option of deliver-msgs: " + argument.key);
      }
    }
  }
  if (group_.deliver(type, recipients) == 0) output_.write_line("no messages");
  return ok();
}

// With several nodes, each has a title, and what it prints stands below it.
Status InteractionEnvironment::for_each_node(const Command& command, std::string_view title,
                                             Status (Group::*action)(Group::Node&)) {
  const std::vector<NodeId> ids = TRY(ids_of(command));
  for (NodeId id : ids) {
    Group::Node& node = *TRY(group_.node(id));
    if (ids.size() == 1) return (group_.*action)(node);
    output_.write_line("> " + to_string(id) + ' ' + std::string(title));
    TRY(output_.indented([&] { return (group_.*action)(node); }));
  }
  return ok();
}

// Each node as it sees itself.
Status InteractionEnvironment::raft_state(const Command&) {
  for (const Group::Node& node : group_.nodes()) {
    const RawNode& raw = *node.raw;
    const bool voter = raw.config().voters.contains(raw.id());
    output_.write_line(to_string(raw.id()) + ": " + std::string(to_string(raw.role())) +
                       (voter ? " (Voter)" : " (Non-Voter)") + " Term:" + to_string(raw.term()) +
                       " Lead:" + to_string(raw.leader()));
  }
  return ok();
}

Status InteractionEnvironment::stabilize(const Command& command) {
  const std::vector<NodeId> ids = TRY(ids_of(command));
  for (NodeId id : ids) TRY(group_.node(id));
  const int level = output_.level();
  if (const Argument* other = command.find("log-level")) {
    TRY(output_.set_level(other->values[0]));
  }
  Status outcome = group_.stabilize(ids);
  output_.set_level(level);
  return outcome;
}

// The input names the new members: "v1 v2 l4".
Status InteractionEnvironment::reset_configuration(const Command& command,
                                                   const std::string& input) {
  Group::Node& node = *TRY(first_node(command));
  std::vector<NodeId> voters;
  std::vector<NodeId> learners;
  for (const ConfChangeSingle& member : TRY(parse_conf_changes(input))) {
    if (member.type == ConfChangeType::kAddVoter) {
      voters.push_back(member.node);
    } else if (member.type == ConfChangeType::kAddLearner) {
      learners.push_back(member.node);
    } else {
      return invalid("a reset names voters and learners only");
    }
  }
  return node.raw->reset_configuration(voters, learners);
}

Status InteractionEnvironment::propose_conf_change(const Command& command,
                                                   const std::string& input) {
  Group::Node& node = *TRY(first_node(command));
  bool single = false;
  ConfChangeTransition transition = ConfChangeTransition::kAuto;
  for (const Argument& argument : command.arguments) {
    for (const std::string& value : argument.values) {
      if (argument.key == "v1") {
        single = TRY(parse_bool(value));
      } else if (argument.key != "transition") {
        return invalid("unknown command " + argument.key);
      } else if (value == "auto") {
        transition = ConfChangeTransition::kAuto;
      } else if (value == "implicit") {
        transition = ConfChangeTransition::kJointImplicit;
      } else if (value == "explicit") {
        transition = ConfChangeTransition::kJointExplicit;
      } else {
        return invalid("unknown transition " + value);
      }
    }
  }
  std::vector<ConfChangeSingle> changes = TRY(parse_conf_changes(input));
  if (!single) return node.raw->propose_conf_change(ConfChangeV2(transition, std::move(changes)));
  if (changes.size() != 1 || transition != ConfChangeTransition::kAuto) {
    return invalid("v1 conf change can only have one operation and no transition");
  }
  return node.raw->propose_conf_change(
      ConfChange{.type = changes[0].type, .node = changes[0].node, .context = {}});
}

}  // namespace

std::unique_ptr<Environment> make_interaction_environment() {
  return std::make_unique<InteractionEnvironment>();
}

}  // namespace cairn::raft::scenario
