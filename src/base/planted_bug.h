/// PlantedBug: known bugs that the simulator must find, switched on in one run and never in a
/// server.
///
/// Compiled out with -DCAIRN_PLANTED_BUGS=OFF. Source: docs/simulation.md lists each with what it
/// breaks and how soon it is found.
#pragma once

#include <cstdint>

namespace cairn {

enum class PlantedBug : uint8_t {
  kNone,
  kAckBeforeFlush,    ///< a member claims durability when it has written, not when it has flushed
  kForgetVote,        ///< a vote is cast and not made durable
  kReadWithoutLease,  ///< a leader answers reads although its lease has run out
};

}  // namespace cairn
