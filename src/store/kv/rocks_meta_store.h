/// RocksMetaStore: a store in a RocksDB database of this process.
///
/// Commits of one turn are written together: one log write with one sync, whatever their number.
/// What apply() alone has brought is written without a sync, and read like anything else.
/// Preconditions see the batches before them in the turn, reads do not: nobody is told of what is
/// not durable yet.
/// Threads: one reactor, which RocksDB's sync blocks (a fraction of a millisecond on an SSD). That
///          is right for a metadata server's few writes a second and wrong for a data path.
/// Errors:  a failed write latches the store: its state on disk is unknown, every later commit is
///          refused with kIo until the process is restarted. Reads go on.
#pragma once

#include <memory>

#include "io/env.h"
#include "store/kv/local_store.h"

namespace cairn::kv {

struct RocksOptions {
  /// Nothing is created or changed, and another process may have the database open: for inspectors.
  bool read_only = false;
  /// Memory for keys that were written since the last table was made.
  uint64_t write_buffer_bytes = uint64_t{16} << 20;
  /// Memory for blocks of tables that were read.
  uint64_t block_cache_bytes = uint64_t{32} << 20;
  int32_t open_files_max = 256;
};

class RocksMetaStore final : public LocalStore, private io::TurnHook {
 public:
  /// Opens the database in the directory `path` of the machine's file system; creates it and its
  /// parent directories unless read_only. Recovers after a crash; a torn tail of the log is cut.
  /// Errors: kUnavailable  another process has it open.
  ///         kNotFound     read_only, and there is none.
  ///         kCorrupt      damaged in the middle: restore it from a copy. kIo, kNoSpace.
  static Result<std::unique_ptr<RocksMetaStore>> open(io::Env env, std::string path,
                                                      RocksOptions options = {});
  ~RocksMetaStore() override;

  io::Task<Result<std::optional<std::string>>> get(std::string key) override;
  io::Task<Result<std::vector<KeyValue>>> scan(std::string prefix, size_t limit,
                                               std::string after) override;
  io::Task<Status> commit(WriteBatch batch) override;
  io::Task<Status> apply(WriteBatch batch, std::string mark) override;
  Result<std::string> mark() override;
  io::Task<Status> sync() override;
  Result<std::unique_ptr<StoreView>> view() override;
  io::Task<Status> replace(Content content) override;

  /// A turn's batches are written early above this.
  static constexpr size_t kGroupBytesMax = kBatchBytesMax;

 private:
  struct Database;
  struct Group;
  RocksMetaStore(io::Env env, std::string path, std::unique_ptr<Database> database);

  void on_turn_end() override { write_group(); }
  void write_group();
  Status check_writable() const;
  /// Checked against what the turn's group has so far, and added to it.
  Result<std::shared_ptr<Group>> add_to_group(WriteBatch batch);
  io::Task<Status> wait_written(std::shared_ptr<Group> group);
  Error latch(Error failure);
  Result<std::optional<std::string>> read(const std::string& key) const;
  Status check_preconditions(const WriteBatch& batch) const;

  io::Env env_;
  std::string path_;
  std::unique_ptr<Database> database_;
  /// Of this turn; shared with the frames that wait for its outcome, which may outlive the turn.
  std::shared_ptr<Group> group_;
  std::optional<Error> failure_;  ///< latched
};

}  // namespace cairn::kv
