/// Looking at chunk files without opening the store: for `cairn inspect chunk FILE|DIR`.
///
/// Changes nothing. The store that owns the files must not be running, or what is seen is not of
/// one moment.
#pragma once

#include <string>

#include "io/disk.h"
#include "store/pool/inspect.h"

namespace cairn::chunk {

struct InspectOptions {
  bool read_data = true;     ///< verify every written block
  bool list_blocks = false;  ///< a record for every written or lost block
  uint32_t chunk_bytes = 0;  ///< 0: what the file's size says
};

/// One chunk file. Reports slots, table and what does not match; returns the number of problems. An
/// error means that the file cannot be read at all. Blocks that were written after the last flush
/// of a store that crashed count as problems here: replaying the log heals them.
io::Task<Result<uint64_t>> inspect_chunk_file(io::Disk& disk, std::string path,
                                              InspectOptions options, pool::InspectSink sink);

/// Every chunk file below a directory: of a copyset, or of all.
io::Task<Result<uint64_t>> inspect_chunk_directory(io::Disk& disk, std::string path,
                                                   InspectOptions options, pool::InspectSink sink);

}  // namespace cairn::chunk
