/// The kernel's error numbers as Errors.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace cairn::io::real {

/// "what: No space left on device", with the code that fits the number (kIo if none does better).
Error system_error(int error_number, std::string_view what);

/// The kernel's words for an error number.
std::string describe_error(int error_number);

}  // namespace cairn::io::real
