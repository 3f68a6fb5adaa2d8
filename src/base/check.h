/// CHECK and DCHECK: broken invariants end the process, in release too.
///
/// CHECK is for what can only be false through a bug or corrupted memory; an expected failure is a
/// Result. DCHECK is compiled in unless NDEBUG is set, for checks too dear for the hot path.
#pragma once

#include <string_view>

namespace cairn {

[[noreturn]] void check_failed(const char* expression, const char* file, int line,
                               std::string_view note = {});

}  // namespace cairn

#define CHECK(condition, ...)                                                           \
  do {                                                                                  \
    if (!(condition)) [[unlikely]]                                                      \
      ::cairn::check_failed(#condition, __FILE__, __LINE__ __VA_OPT__(, ) __VA_ARGS__); \
  } while (false)

#ifdef NDEBUG
#define DCHECK(condition, ...) \
  do {                         \
    (void)sizeof(condition);   \
  } while (false)
#else
#define DCHECK(condition, ...) CHECK(condition __VA_OPT__(, ) __VA_ARGS__)
#endif
