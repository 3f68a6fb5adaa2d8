#include "base/result.h"

namespace cairn {

std::string_view to_string(Errc code) {
  switch (code) {
    case Errc::kOk:
      return "ok";
    case Errc::kInvalidArgument:
      return "invalid_argument";
    case Errc::kNotFound:
      return "not_found";
    case Errc::kAlreadyExists:
      return "already_exists";
    case Errc::kNotLeader:
      return "not_leader";
    case Errc::kStaleEpoch:
      return "stale_epoch";
    case Errc::kStaleFence:
      return "stale_fence";
    case Errc::kNoSpace:
      return "no_space";
    case Errc::kTimeout:
      return "timeout";
    case Errc::kUnavailable:
      return "unavailable";
    case Errc::kOverloaded:
      return "overloaded";
    case Errc::kCorrupt:
      return "corrupt";
    case Errc::kIo:
      return "io";
    case Errc::kUnauthenticated:
      return "unauthenticated";
    case Errc::kProtocol:
      return "protocol";
    case Errc::kClosed:
      return "closed";
    case Errc::kPreconditionFailed:
      return "precondition_failed";
    case Errc::kUnsupported:
      return "unsupported";
    case Errc::kInternal:
      return "internal";
  }
  return "unknown";
}

std::string Error::describe() const {
  std::string text(to_string(code_));
  text += ": ";
  text += message_;
  return text;
}

Error Error::within(std::string_view context) const {
  std::string text(context);
  text += ": ";
  text += message_;
  return Error(code_, std::move(text));
}

}  // namespace cairn
