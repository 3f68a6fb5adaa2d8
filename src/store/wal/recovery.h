/// Recovery: reads the log's directory and replays it. Changes nothing on the disk.
/// Source: docs/formats/wal.md, "Reading it back".
#pragma once

#include <vector>

#include "io/env.h"
#include "store/wal/replay.h"
#include "store/wal/segment_files.h"

namespace cairn::wal {

struct RecoveredLog {
  Replay replay{0};
  uint64_t token = 0;                ///< 0: a new log
  uint64_t next_sequence = 1;        ///< greater than that of any file
  std::vector<SegmentFile> log;      ///< the segments that make up the log, ascending
  std::vector<uint64_t> idle;        ///< files that hold nothing of the log, of the right size
  std::vector<std::string> garbage;  ///< paths of other left-overs
};

/// Memory for a segment that is read whole.
Buffer allocate_segment_buffer(uint64_t file_bytes);
/// Reads a segment's blocks with several reads in flight; `file` stays open meanwhile. Blocks that
/// the device refuses are zero; returns where the last of them is.
io::Task<std::optional<uint64_t>> read_segment(io::Env env, std::shared_ptr<io::File> file,
                                               MutableByteView into);

/// Errors: as Wal::open().
io::Task<Result<RecoveredLog>> recover(io::Env env, io::Disk& disk, WalOptions options);

}  // namespace cairn::wal
