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

/// One segment's bytes. Blocks that the device refuses are zero and told in `unreadable_bytes`.
struct SegmentBytes {
  Buffer bytes;
  std::optional<uint64_t> unreadable_bytes;
};
/// Reads a whole segment with several reads in flight; `file` stays open meanwhile.
io::Task<SegmentBytes> read_segment(io::Env env, std::shared_ptr<io::File> file,
                                    uint64_t file_bytes);

/// Errors: as Wal::open().
io::Task<Result<RecoveredLog>> recover(io::Env env, io::Disk& disk, WalOptions options);

}  // namespace cairn::wal
