#include "client/retry.h"

namespace cairn::client {

Verdict judge(Errc code) {
  switch (code) {
    case Errc::kNotLeader:
    case Errc::kTimeout:
    case Errc::kUnavailable:
    case Errc::kClosed:
    case Errc::kProtocol:  // the connection is dropped; a new one starts clean
    case Errc::kIo:        // that disk is dead: its groups step down, the others go on
      return Verdict::kTryNext;
    case Errc::kOverloaded:
      return Verdict::kBackOff;
    case Errc::kStaleEpoch:
    case Errc::kNotFound:  // the copyset is not there, or not there yet
      return Verdict::kRefresh;
    case Errc::kOk:
    case Errc::kInvalidArgument:
    case Errc::kAlreadyExists:
    case Errc::kStaleFence:
    case Errc::kNoSpace:
    case Errc::kCorrupt:
    case Errc::kUnauthenticated:
    case Errc::kPreconditionFailed:
    case Errc::kUnsupported:
    case Errc::kInternal:
      return Verdict::kGiveUp;
  }
  return Verdict::kGiveUp;  // a code of a newer server
}

bool outcome_unknown(Errc code) {
  switch (code) {
    case Errc::kTimeout:
    case Errc::kUnavailable:
    case Errc::kClosed:
    case Errc::kProtocol:
    case Errc::kIo:
    case Errc::kPreconditionFailed:
    case Errc::kInternal:
      return true;
    default:
      return false;
  }
}

Duration Pace::next_backoff(Rng& rng) {
  const Duration full = backoff_;
  backoff_ = std::min(backoff_ * 2, bounds_.backoff_max);
  const auto half = full.count() / 2;
  return Duration(half + static_cast<int64_t>(rng.below(static_cast<uint64_t>(half) + 1)));
}

}  // namespace cairn::client
