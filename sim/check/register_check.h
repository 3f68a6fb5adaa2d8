/// check_register: whether the history of one register (a block, or a sector of it) is
/// linearizable. Pure, O(n log n).
///
/// Every write writes a value of its own, except that the value 0 (the initial content, zeroes,
/// discards) may be written often. A write with its reads is a cluster; f is its earliest response,
/// s its latest invocation; its zone is forward, [f, s], if f < s, and backward, [s, f], otherwise.
/// The history is linearizable if and only if no read ends before its write begins, no two forward
/// zones overlap and no backward zone lies inside a forward one. Zeros, which do not tell who wrote
/// them, are checked by a necessary condition: a violation that is reported is one.
/// Source: P. B. Gibbons and E. Korach, "Testing shared memories", SIAM J. Comput. 26(4), 1997.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace cairn::sim {

/// Points of one global order of invocations and responses; no two are equal.
using Moment = uint64_t;
inline constexpr Moment kNever = UINT64_MAX;

/// What a register holds that nobody has written, or zeros.
inline constexpr uint64_t kZeroValue = 0;

struct RegisterOp {
  bool is_write = false;
  uint64_t value = kZeroValue;
  Moment invoked = 0;        ///< at least 1
  Moment returned = kNever;  ///< kNever: of unknown outcome (a write alone)
  uint64_t client = 0;       ///< for the report
};

enum class ViolationKind : uint8_t {
  kNeverWritten,       ///< a read returned what nobody wrote
  kReadBeforeWrite,    ///< a read ended before the write of its value began
  kForwardOverlap,     ///< each of two values was seen before and after the other
  kBackwardInForward,  ///< a value was seen again although another had replaced it
  kStaleZeros,         ///< zeros came back after something else had replaced them
};
std::string to_string(ViolationKind kind);

struct Violation {
  ViolationKind kind;
  std::string text;  ///< the operations that contradict each other
};

/// No value but kZeroValue is written twice.
std::optional<Violation> check_register(const std::vector<RegisterOp>& history);

}  // namespace cairn::sim
