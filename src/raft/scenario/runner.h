/// Runs scripts and says where their output is not what they expect.
#pragma once

#include <filesystem>
#include <ostream>
#include <string_view>

#include "base/result.h"

namespace cairn::raft::scenario {

struct Totals {
  size_t passed = 0;  ///< directives
  size_t failed = 0;
};

/// Runs one script in an environment of its own; `name` stands before what differs.
Totals run_script(std::string_view name, std::string_view text, std::ostream& out);

/// Runs every file below `path` (or the file itself), in order of their names.
/// Errors: kNotFound, kIo: a file or directory that cannot be read.
Result<Totals> run_path(const std::filesystem::path& path, std::ostream& out);

}  // namespace cairn::raft::scenario
