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
#include "store/wal/format.h"

namespace cairn::wal {

/// Which records are shown; what is damaged is found and counted whatever is shown.
struct RecordFilter {
  std::optional<GroupId> group;  ///< verdicts are shown of this group alone, too
  std::optional<RecordKind> kind;
  std::optional<uint64_t> index_from;  ///< entries and snapshot marks from this index on
  std::optional<uint64_t> index_to;    ///< ... and up to this one
  std::optional<uint64_t> segment;     ///< only records of this one are read

  bool is_set() const { return group || kind || index_from || index_to || segment; }
  bool matches(const RecordHeader& record) const;
};

struct InspectOptions {
  std::string directory = "wal";
  RecordFilter only = {};
  bool records = true;  ///< false: segments, batches and verdicts alone
  bool batches = true;  ///< false: segments and verdicts alone
  bool json = false;    ///< one JSON object a line instead of text
};

/// "entry", "hard_state", ... as they are shown; nothing for any other word.
std::optional<RecordKind> parse_record_kind(std::string_view name);

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
