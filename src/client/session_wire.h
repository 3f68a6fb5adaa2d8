/// How sessions look in messages. Included by .cc files alone.
#pragma once

#include "base/check.h"
#include "client/open_options.h"
#include "wire/session.pb.h"

namespace cairn::client {

inline wire::SessionMode to_wire(OpenMode mode) {
  switch (mode) {
    case OpenMode::kExclusive:
      return wire::SESSION_EXCLUSIVE;
    case OpenMode::kReadOnly:
      return wire::SESSION_READ_ONLY;
    case OpenMode::kShared:
      return wire::SESSION_SHARED;
  }
  CHECK(false, "a session has a mode");
}

}  // namespace cairn::client
