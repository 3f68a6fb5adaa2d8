/// ChunkFilePool: files of one size that were allocated and overwritten before anybody waits for
/// them; a chunk is made and deleted by a rename.
///
/// A background flow formats files while fewer than `ready_min` are ready, up to `ready_target`,
/// at a bounded rate, and clears the files that were given back before they are ready again.
/// Errors:   kNoSpace (nothing was created), kIo, kClosed after stop(), kCorrupt and
///           kInvalidArgument from open(): the directory holds a pool of another kind.
/// Threads:  one reactor.
/// Lifetime: stop() before the destructor, unless the whole executor was taken apart.
/// Source:   docs/formats/pool.md.
#pragma once

#include <deque>
#include <memory>
#include <string>

#include "io/env.h"
#include "io/sync.h"

namespace cairn::pool {

struct PoolOptions {
  std::string directory = "pool";
  uint64_t chunk_file_bytes = 16 * kMiB + 64 * kKiB;
  /// Fewer ready files than this start the formatting, which goes on up to `ready_target`.
  size_t ready_min = 32;
  size_t ready_target = 64;
  /// Of the file system, kept free for the log and for deletes.
  uint64_t space_reserve_bytes = 2 * kGiB;
  /// has_space() says no when not more than this many chunks can still be made: they are for the
  /// writes that were let in before.
  size_t headroom_files = 8;
  uint64_t format_bytes_per_second = 200 * kMiB;
  Duration space_refresh_interval = 1s;
  /// How long the formatting rests after the disk failed it.
  Duration retry_after_error = 10s;
};

class ChunkFilePool {
 public:
  /// Makes the directory if it is absent, and takes up what an earlier process left in it.
  static io::Task<Result<std::unique_ptr<ChunkFilePool>>> open(io::Env env, io::Disk& disk,
                                                               PoolOptions options);
  ~ChunkFilePool();
  ChunkFilePool(const ChunkFilePool&) = delete;
  ChunkFilePool& operator=(const ChunkFilePool&) = delete;

  /// Renames a ready file to `to_path`, a free name whose directory exists, and returns that path.
  /// With none ready it makes one, if that leaves `space_reserve_bytes` free. The
  /// rename is not durable: the user syncs the directory. The file reads as zeros, but for what a
  /// user wrote whose rename a power loss has undone (docs/formats/pool.md).
  io::Task<Result<std::string>> take(std::string to_path);
  /// Renames `path`, which nobody has open, back into the pool. kNotFound: there is no such file.
  io::Task<Status> give_back(std::string path);
  /// Makes the renames of give_back() durable: a removal is, on either side of a rename, only as
  /// durable as the directory that the file went to.
  io::Task<Status> sync();

  size_t ready_count() const { return ready_.size(); }
  /// Files given back or found half-formatted that are not ready yet.
  size_t pending_count() const { return pending_.size() + (is_settling_ ? 1 : 0); }
  /// Whether writes that may need a new chunk should be let in. At most
  /// `space_refresh_interval` old.
  bool has_space() const;
  const PoolOptions& options() const { return options_; }
  /// Ends the background flow; what it was formatting is formatted anew after the next start.
  io::Task<void> stop();

 private:
  struct Pending {
    std::string name;
    std::string came_from;  ///< the directory that the file was renamed out of; empty: this one
  };
  ChunkFilePool(io::Env env, io::Disk& disk, PoolOptions options);

  io::Task<Status> recover();
  io::Task<Status> check_meta(bool has_files);
  io::Task<Result<std::string>> make_on_demand(std::string to_path);
  io::Task<Status> create_unformatted(std::string path, std::string to_path);
  io::Task<void> run();
  io::Task<Status> settle_pending(Pending pending);
  io::Task<Status> format(std::string name);
  io::Task<Status> overwrite_with_zeros(std::string path);
  io::Task<Status> refresh_space();
  io::Task<void> rest(Duration at_most);
  io::Task<void> pace(uint64_t bytes_written, Instant began);
  bool wants_more();
  uint64_t files_that_fit() const;
  io::Task<void> on_format_failed(Error error, Pending pending);
  void update_gauges();
  void check_invariants() const;

  std::string path_of(const std::string& name) const { return options_.directory + "/" + name; }
  std::string next_name();

  io::Env env_;
  io::Disk& disk_;
  const PoolOptions options_;
  io::Gate gate_;
  io::Event wake_;
  io::Timer timer_;

  std::deque<std::string> ready_;
  /// Bounded by the disk: each is a file of `chunk_file_bytes`.
  std::deque<Pending> pending_;
  uint64_t next_number_ = 1;
  uint64_t free_bytes_ = 0;       ///< of the file system, when last asked
  uint64_t on_demand_bytes_ = 0;  ///< being made right now
  bool is_refilling_ = false;
  bool is_stopping_ = false;
  bool is_settling_ = false;  ///< one left pending_ and is being cleared
  Instant retry_at_{};
  Buffer zeros_;

  Gauge& ready_gauge_;
  Gauge& pending_gauge_;
  Gauge& free_gauge_;
  Counter& formatted_total_;
  Counter& on_demand_total_;
  Counter& failures_total_;
};

}  // namespace cairn::pool
