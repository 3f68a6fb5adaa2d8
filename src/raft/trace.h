/// Trace: what the core does, one event a line, for checking it against a specification.
///
/// Source: docs/formats/raft-trace.md has the format. Threads: those of the node.
#pragma once

#include <string>
#include <string_view>

#include "raft/message.h"

namespace cairn::raft {

class Raft;

/// Takes the lines of one or of several nodes, in the order in which things happened.
class TraceSink {
 public:
  virtual ~TraceSink() = default;
  /// `line`: a JSON object without a line break; valid until the call returns.
  virtual void on_event(std::string_view line) = 0;
};

/// The line for the event `name`, with the node's state after it; `message`: the one that it is
/// about, or null.
std::string trace_line(std::string_view name, const Raft& raft, const Message* message);

}  // namespace cairn::raft
