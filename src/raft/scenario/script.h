/// A script: directives with the output that each is expected to have.
///
///   # a comment
///   command argument key=value key=(value, value)
///   input, if there is any
///   ----
///   expected output, up to a blank line
///
/// Output with blank lines stands between two pairs of `----` lines. A directive that ends with a
/// backslash goes on in the next line.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace cairn::raft::scenario {

struct Argument {
  std::string key;
  std::vector<std::string> values;  ///< empty for a bare word
};

/// A command line: of a directive, or a line of its input.
struct Command {
  std::string name;
  std::vector<Argument> arguments;

  const Argument* find(std::string_view key) const;
  /// The arguments without values, in order.
  std::vector<std::string> words() const;
};
/// Errors: kInvalidArgument.
Result<Command> parse_command(std::string_view line);

struct Directive {
  size_t line = 0;  ///< where it begins, from 1
  std::string text;
  Command command;
  std::string input;
  std::string expected;
};

/// Errors: kInvalidArgument, with the line.
Result<std::vector<Directive>> parse_script(std::string_view text);

/// Errors: kInvalidArgument.
Result<uint64_t> parse_number(std::string_view text);
Result<bool> parse_bool(std::string_view text);

}  // namespace cairn::raft::scenario
