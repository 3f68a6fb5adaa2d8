/// Incarnation: which log a disk holds, and whose it is, told by a small file beside the log's
/// directory: so that a log that has gone is not taken for one that has never been.
///
/// A disk that lost its log has lost its votes and what it acknowledged: under its old name it must
/// not take part again (pitfall 19). The log's store token is its incarnation; it is drawn with the
/// log and never used for another.
/// Source: docs/formats/wal.md, "The identity file".
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/buffer.h"
#include "base/result.h"
#include "base/units.h"
#include "io/disk.h"
#include "io/task.h"

namespace cairn::wal {

inline constexpr uint32_t kIncarnationMagic = 0x4e495743;  // "CWIN"
inline constexpr uint32_t kIncarnationVersion = 1;

struct Incarnation {
  uint64_t token = 0;  ///< the log's store token; never 0
  uint64_t owner = 0;  ///< the node whose log it is; 0: nobody has said
  bool operator==(const Incarnation&) const = default;
};

struct IncarnationImage {
  uint32_t magic = kIncarnationMagic;
  uint32_t version = kIncarnationVersion;
  uint64_t token = 0;
  uint64_t owner = 0;
  uint32_t reserved = 0;
  uint32_t crc = 0;  ///< crc32c of all before it
};
static_assert(sizeof(IncarnationImage) == 32);

Buffer encode_incarnation(const Incarnation& incarnation);
/// kCorrupt, kUnsupported.
Result<Incarnation> decode_incarnation(ByteView bytes);

/// "wal" -> "wal.identity".
std::string incarnation_path(const std::string& directory);
/// Nothing if there is no such file. Errors: as decode_incarnation(); kIo.
io::Task<Result<std::optional<Incarnation>>> load_incarnation(io::Disk& disk,
                                                              std::string directory);
/// Durable on return.
io::Task<Status> save_incarnation(io::Disk& disk, std::string directory, Incarnation incarnation);

}  // namespace cairn::wal
