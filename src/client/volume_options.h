/// VolumeOptions: what a volume is made with beside its name and size.
#pragma once

#include <cstdint>
#include <string>

namespace cairn::client {

struct VolumeOptions {
  std::string pool;   ///< empty: the only one
  std::string owner;  ///< for people; may be empty
  /// Both 0: a segment's chunks follow one another. Otherwise so many chunks lie side by side, and
  /// the volume goes from one to the next after each unit.
  uint32_t stripe_unit_bytes = 0;
  uint32_t stripe_count = 0;
};

}  // namespace cairn::client
