/// Call and Answer: what a handler gets and gives, and what a caller gets back.
#pragma once

#include <vector>

#include "base/buffer.h"
#include "base/units.h"
#include "io/network.h"

namespace cairn::rpc {

template <class Request>
struct Call {
  Request request;
  Buffer attachment;  ///< one aligned buffer of the process's pool, or empty
  Instant deadline;   ///< when the caller stops waiting, on this process's clock
  io::Address peer;
};

template <class Reply>
struct Answer {
  Reply message;
  std::vector<Buffer> attachment;  ///< of a caller: one aligned buffer, or none
};

}  // namespace cairn::rpc
