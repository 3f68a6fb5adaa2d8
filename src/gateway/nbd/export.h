/// Export and ExportSource: what the NBD server serves. The bench plugs in a null one, the tests
/// one in memory, the gateway volumes. Threads: the reactor's.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "client/pieces.h"
#include "io/task.h"

namespace cairn::nbd {

struct ExportTraits {
  std::string name;
  std::string description;
  uint64_t size_bytes = 0;
  bool is_read_only = false;
};

/// Ranges are inside of the export and not empty; offsets and sizes are arbitrary bytes.
/// A change is visible on every connection, and durable, when it returns: that is what FUA and
/// multi-conn promise. kStaleFence from any of them: the export is lost for good, and the
/// connection ends with that answer.
class Export {
 public:
  virtual ~Export() = default;
  virtual const ExportTraits& traits() const = 0;

  virtual io::Task<Result<std::vector<client::ReadPiece>>> read(uint64_t offset_bytes,
                                                                uint64_t size_bytes) = 0;
  virtual io::Task<Status> write(uint64_t offset_bytes, Buffer data) = 0;
  /// Reads as zeros afterwards; `may_deallocate`: its space may be given back.
  virtual io::Task<Status> zero(uint64_t offset_bytes, uint64_t size_bytes,
                                bool may_deallocate) = 0;
  /// Whether zero() is faster than writing as many zeros.
  virtual bool is_zero_fast(uint64_t offset_bytes, uint64_t size_bytes) const = 0;
  /// A hint that nobody needs the content; it may read as anything afterwards.
  virtual io::Task<Status> trim(uint64_t offset_bytes, uint64_t size_bytes) = 0;
  virtual io::Task<Status> flush() = 0;
  /// At least one extent, from the offset on; may end before the range does.
  virtual io::Task<Result<std::vector<client::Extent>>> extents(uint64_t offset_bytes,
                                                                uint64_t size_bytes) = 0;
};

class ExportSource {
 public:
  virtual ~ExportSource() = default;
  /// Errors: kNotFound, its text is shown to the client; others likewise.
  /// Shared by the sessions that use it: it ends with the last of them.
  virtual io::Task<Result<std::shared_ptr<Export>>> open(std::string name) = 0;
  virtual io::Task<Result<std::vector<std::string>>> list() = 0;
};

}  // namespace cairn::nbd
