/// Offline inspection of a log: what is in it, whether it is sound, what a recovery would say.
///
/// Reads only; the log is not open anywhere. One call of `print` a line, without its end.
/// Errors: kNotFound, kIo; kCorrupt and kUnsupported as Wal::open() would return them (after the
/// lines of what could be read).
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/result.h"
#include "io/disk.h"
#include "io/env.h"
#include "io/task.h"

namespace cairn::wal {

struct InspectOptions {
  std::string directory = "wal";
  std::optional<GroupId> group;  ///< only records and verdicts of this group
  bool records = true;           ///< false: segments, batches and verdicts alone
  bool batches = true;           ///< false: segments and verdicts alone
  bool json = false;             ///< one JSON object a line instead of text
};

struct InspectSummary {
  uint64_t segments_count = 0;
  uint64_t batches_count = 0;  ///< valid descriptors, of the log or not
  uint64_t records_count = 0;
  uint64_t groups_count = 0;
  /// Rotten payloads, gaps, quarantined groups: 0 means that the log is sound.
  uint64_t problems_count = 0;
};

io::Task<Result<InspectSummary>> inspect(io::Env env, io::Disk& disk, InspectOptions options,
                                         std::function<void(std::string_view)> print);

}  // namespace cairn::wal
