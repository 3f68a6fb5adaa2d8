/// Result<T>: the value, or an Error with a code that callers switch on and words for a person.
///
/// Every function that can fail in an expected way returns one; exceptions stop at the edge where a
/// library throws them. TRY(expression) returns early from a function, CO_TRY from a coroutine:
///   auto value = TRY(parse(text));
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "base/check.h"

namespace cairn {

/// Codes travel on the wire as numbers: append, never renumber.
enum class Errc : uint8_t {
  kOk = 0,
  kInvalidArgument = 1,  ///< the request makes no sense; retrying does not help
  kNotFound = 2,
  kAlreadyExists = 3,
  kNotLeader = 4,            ///< nothing was done here; ask the leader
  kStaleEpoch = 5,           ///< the caller's view of the copyset is old; refresh it
  kStaleFence = 6,           ///< the volume has a newer owner; this client must stop writing
  kNoSpace = 7,              ///< refused before anything was written
  kTimeout = 8,              ///< the deadline passed; the outcome is unknown
  kUnavailable = 9,          ///< cannot be served now; retry later, elsewhere
  kOverloaded = 10,          ///< a queue is full; nothing was done; back off and retry
  kCorrupt = 11,             ///< a checksum does not match
  kIo = 12,                  ///< the device or the kernel failed
  kUnauthenticated = 13,     ///< the cluster key does not match
  kProtocol = 14,            ///< malformed bytes from a peer
  kClosed = 15,              ///< the object is stopping or the connection is gone
  kPreconditionFailed = 16,  ///< a compare in a transaction did not hold
  kUnsupported = 17,
  kInternal = 18,
};

std::string_view to_string(Errc code);

struct Unit {
  bool operator==(const Unit&) const = default;
};

/// `message` says what was attempted, why it failed and what was *not* done.
class [[nodiscard]] Error {
 public:
  Error(Errc code, std::string message) : code_(code), message_(std::move(message)) {
    CHECK(code != Errc::kOk, "an error needs a code");
  }

  Errc code() const { return code_; }
  const std::string& message() const { return message_; }
  /// "not_leader: copyset 7 is led by another replica"
  std::string describe() const;
  /// The same error with "context: " put before its message.
  Error within(std::string_view context) const;

 private:
  Errc code_;
  std::string message_;
};

inline Error error(Errc code, std::string message) {
  return Error(code, std::move(message));
}

template <typename T>
class [[nodiscard]] Result {
 public:
  using Value = T;

  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  T& value() & {
    CHECK(ok(), ok() ? std::string_view() : std::string_view(std::get<1>(state_).message()));
    return std::get<0>(state_);
  }
  const T& value() const& { return const_cast<Result*>(this)->value(); }
  T&& value() && { return std::move(value()); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  const Error& error() const& {
    CHECK(!ok());
    return std::get<1>(state_);
  }
  Error&& error() && {
    CHECK(!ok());
    return std::move(std::get<1>(state_));
  }
  Errc code() const { return ok() ? Errc::kOk : error().code(); }

 private:
  std::variant<T, Error> state_;
};

using Status = Result<Unit>;
inline Status ok() {
  return Unit{};
}

}  // namespace cairn

// GNU statement expressions keep the four macros to one line at the place of use.
#define TRY(expression)                                         \
  __extension__({                                               \
    auto try_result = (expression);                             \
    if (!try_result.ok()) return std::move(try_result).error(); \
    std::move(try_result).value();                              \
  })

#define CO_TRY(expression)                                         \
  __extension__({                                                  \
    auto try_result = (expression);                                \
    if (!try_result.ok()) co_return std::move(try_result).error(); \
    std::move(try_result).value();                                 \
  })
