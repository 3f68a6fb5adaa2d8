#include "io/real/system_error.h"

#include <cerrno>
#include <system_error>

namespace cairn::io::real {

namespace {
Errc code_of(int error_number) {
  switch (error_number) {
    case ENOENT:
      return Errc::kNotFound;
    case EEXIST:
    case EADDRINUSE:
    case ENOTEMPTY:
      return Errc::kAlreadyExists;
    case ENOSPC:
    case EDQUOT:
      return Errc::kNoSpace;
    case EINVAL:
    case ENAMETOOLONG:
    case ENOTDIR:
    case EISDIR:
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
      return Errc::kInvalidArgument;
    case EOPNOTSUPP:
    case ENOSYS:
      return Errc::kUnsupported;
    default:
      return Errc::kIo;
  }
}
}  // namespace

std::string describe_error(int error_number) {
  return std::generic_category().message(error_number);
}

Error system_error(int error_number, std::string_view what) {
  return error(code_of(error_number), std::string(what) + ": " + describe_error(error_number));
}

}  // namespace cairn::io::real
