#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace cairn {

void check_failed(const char* expression, const char* file, int line, std::string_view note) {
  std::fprintf(stderr, "CHECK failed: %s at %s:%d%s%.*s\n", expression, file, line,
               note.empty() ? "" : ": ", static_cast<int>(note.size()), note.data());
  std::fflush(stderr);
  std::abort();
}

}  // namespace cairn
