#include "raft/confchange/changer.h"
#include "raft/scenario/environment.h"

namespace cairn::raft::scenario {
namespace {

/// Each directive stands for one entry of the log, so new members are probed ever further on.
class ConfChangeEnvironment : public Environment {
 public:
  Result<std::string> run(const Directive& directive) override {
    const LogIndex last = last_;
    ++last_;
    const auto changes = parse_conf_changes(directive.input);
    if (!changes) return changes.error().message();
    const auto outcome = TRY(change(directive.command, Changer(tracker_, last), *changes));
    if (!outcome) return outcome.error().message() + '\n';
    tracker_.config = outcome->config;
    tracker_.progress = outcome->progress;
    return to_string(tracker_.config) + '\n' + to_string(tracker_.progress);
  }

 private:
  // The outer result: the directive makes no sense. The inner one: the change is refused.
  static Result<Result<Changer::Outcome>> change(const Command& command, const Changer& changer,
                                                 const std::vector<ConfChangeSingle>& changes) {
    if (command.name == "simple") return changer.simple(changes);
    if (command.name == "enter-joint") {
      const Argument* auto_leave = command.find("autoleave");
      const bool leaves = auto_leave && TRY(parse_bool(auto_leave->values[0]));
      return changer.enter_joint(leaves, changes);
    }
    if (command.name != "leave-joint") {
      return error(Errc::kInvalidArgument, "unknown command: " + command.name);
    }
    if (!changes.empty()) {
      return Result<Changer::Outcome>(error(Errc::kInvalidArgument, "this command takes no input"));
    }
    return changer.leave_joint();
  }

  ProgressTracker tracker_{10, 0};
  LogIndex last_;
};

}  // namespace

std::unique_ptr<Environment> make_confchange_environment() {
  return std::make_unique<ConfChangeEnvironment>();
}

}  // namespace cairn::raft::scenario
