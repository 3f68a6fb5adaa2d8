/// What the programs that write seed corpora share.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>

#include "base/bytes.h"

namespace cairn::fuzz {

/// Writes one input of the corpus; ends the program if that is not possible.
inline void write_seed(const std::string& directory, const std::string& name, ByteView bytes) {
  const std::string path = directory + "/seed-" + name;
  std::FILE* file = std::fopen(path.c_str(), "wb");
  const bool written = file && std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size();
  if (!written || std::fclose(file) != 0) {
    std::fprintf(stderr, "cannot write %s\n", path.c_str());
    std::exit(1);
  }
}

}  // namespace cairn::fuzz
