/// Identity: who this disk is to the cluster. Made once, kept in a checksummed file beside the
/// data.
///
/// The token is drawn when the file is made, and the MDS knows the disk by it: registering twice
/// gives the same id, and a copied or emptied directory is told from the original.
/// Source: docs/formats/identity.md.
#pragma once

#include <array>
#include <cstddef>

#include "base/buffer.h"
#include "base/ids.h"
#include "base/result.h"
#include "io/disk.h"
#include "io/network.h"

namespace cairn::chunkserver {

using Token = std::array<std::byte, 16>;

struct Identity {
  Token token{};
  ChunkserverId id;  ///< none until the MDS has given one

  bool operator==(const Identity&) const = default;
};

Buffer encode(const Identity& identity);
/// kCorrupt with what to do about it; kUnsupported for a version of the future.
Result<Identity> decode_identity(ByteView bytes);

/// Reads the identity of `disk`, or draws a token and writes the file where there is none.
io::Task<Result<Identity>> load_or_create_identity(io::Disk& disk, io::Entropy& entropy);
/// Durable on return.
io::Task<Status> save_identity(io::Disk& disk, Identity identity);

}  // namespace cairn::chunkserver
