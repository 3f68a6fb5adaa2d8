/// OpenOptions: how a volume is opened.
#pragma once

#include <cstdint>

#include "base/units.h"

namespace cairn::client {

enum class OpenMode : uint8_t {
  kExclusive,  ///< alone; whoever had the volume is fenced when the open returns
  kReadOnly,   ///< beside other readers and shared writers
  kShared,     ///< writers that agree among themselves who writes where, and readers
};

struct OpenOptions {
  OpenMode mode = OpenMode::kShared;
  /// Takes the volume away from those that this mode excludes; otherwise kAlreadyExists.
  bool force = false;
  /// Takes it away from sessions of the same client name: this process's predecessor.
  bool replaces_own = false;
  /// How long to wait for others to close it.
  Duration wait{};
};

}  // namespace cairn::client
