/// The command line of cairn_sim.
#pragma once

#include <string>

#include "base/result.h"
#include "sim/cluster/run.h"

namespace cairn::sim {

struct SimOptions {
  RunOptions run;  ///< its seed is the first one
  uint64_t seeds_count = 1;
  bool is_profile_named = false;
  bool is_single = true;  ///< one seed was named: it runs in this process
  uint32_t jobs_count = 1;
  double repeat_share = 0.05;  ///< of the seeds run twice
  bool all_planted = false;    ///< every planted bug, each with the profile that finds it
  bool wants_help = false;
};

/// Errors: kInvalidArgument says what is wrong and what would be right.
Result<SimOptions> parse_options(const std::vector<std::string>& arguments);
std::string usage();
/// Every planted bug, with the profile that looks for it unless told otherwise.
std::vector<std::pair<PlantedBug, Profile>> planted_bugs();
std::string name_of(PlantedBug bug);
std::string name_of(Profile profile);
/// The command that repeats a seed of these options.
std::string replay_command(const RunOptions& options);

}  // namespace cairn::sim
