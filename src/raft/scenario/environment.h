/// Environment: what the directives of one script act on. There is one kind for each format.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "raft/scenario/script.h"

namespace cairn::raft::scenario {

class Environment {
 public:
  virtual ~Environment() = default;
  /// The output of a directive. Errors: it makes no sense here; the directive has failed.
  virtual Result<std::string> run(const Directive& directive) = 0;
};

/// committed, vote: the committed index and the vote's result of a configuration.
std::unique_ptr<Environment> make_quorum_environment();
/// simple, enter-joint, leave-joint: changes of a configuration.
std::unique_ptr<Environment> make_confchange_environment();
/// Everything else: whole groups, step by step.
std::unique_ptr<Environment> make_interaction_environment();

/// The environment that a script is written for, told by its directives.
std::unique_ptr<Environment> make_environment_for(const std::vector<Directive>& directives);

}  // namespace cairn::raft::scenario
