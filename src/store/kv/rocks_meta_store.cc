#include "store/kv/rocks_meta_store.h"

#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/options.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>

#include <filesystem>
#include <map>

#include "io/sync.h"

namespace cairn::kv {

struct RocksMetaStore::Database {
  std::unique_ptr<rocksdb::DB> db;
  bool read_only = false;
};

/// The batches of one turn, in order.
struct RocksMetaStore::Group {
  explicit Group(io::Executor& executor) : written(executor) {}
  rocksdb::WriteBatch batch;
  bool is_synced = false;  ///< somebody was promised that it is durable when it is written
  /// What the batches so far make of the keys that they write; nullopt: deleted.
  std::map<std::string, std::optional<std::string>> overlay;
  io::Event written;
  std::optional<Error> failure;
};

namespace {

/// Sorts before every key of a user's; see check_key().
constexpr std::string_view kMarkKey("\0mark", 5);
constexpr std::string_view kFirstUserKey("\x01", 1);

Error to_error(const rocksdb::Status& status, const std::string& path, std::string_view attempt) {
  Errc code = Errc::kIo;
  if (status.IsCorruption()) code = Errc::kCorrupt;
  if (status.IsNoSpace()) code = Errc::kNoSpace;
  return error(code,
               std::string(attempt) + " the metadata store " + path + ": " + status.ToString());
}

rocksdb::Options database_options(const RocksOptions& options) {
  rocksdb::Options database;
  database.create_if_missing = !options.read_only;
  database.paranoid_checks = true;
  // Acknowledged batches were synced: only a record cut short at the end may be dropped, anything
  // else that does not check out keeps the database from opening.
  database.wal_recovery_mode = rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
  database.write_buffer_size = options.write_buffer_bytes;
  database.max_open_files = options.open_files_max;
  database.max_background_jobs = 2;
  database.compression = rocksdb::kNoCompression;
  database.keep_log_file_num = 4;
  database.max_log_file_size = size_t{4} << 20;
  database.info_log_level = rocksdb::InfoLogLevel::WARN_LEVEL;
  // An idle server stays idle.
  database.stats_dump_period_sec = 0;
  database.stats_persist_period_sec = 0;
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = rocksdb::NewLRUCache(options.block_cache_bytes);
  database.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return database;
}

Error open_error(const rocksdb::Status& status, const std::string& path, bool read_only) {
  const std::string text = status.ToString();
  if (text.find("lock") != std::string::npos || text.find("LOCK") != std::string::npos) {
    return error(Errc::kUnavailable,
                 "the metadata store " + path +
                     " is open in another process; stop that one or give another directory");
  }
  if (read_only && (status.IsPathNotFound() || status.IsNotFound() || status.IsInvalidArgument() ||
                    text.find("No such file") != std::string::npos)) {
    return error(Errc::kNotFound, "there is no metadata store in " + path);
  }
  return to_error(status, path, "opening");
}

}  // namespace

Result<std::unique_ptr<RocksMetaStore>> RocksMetaStore::open(io::Env env, std::string path,
                                                             RocksOptions options) {
  CHECK(options.open_files_max > 0);
  if (path.empty()) return error(Errc::kInvalidArgument, "the metadata store needs a directory");
  if (!options.read_only) {
    std::error_code failure;
    std::filesystem::create_directories(path, failure);
    if (failure) {
      return error(Errc::kIo, "creating the directory " + path + ": " + failure.message());
    }
  }
  auto database = std::make_unique<Database>();
  database->read_only = options.read_only;
  rocksdb::DB* db = nullptr;
  const rocksdb::Status status =
      options.read_only ? rocksdb::DB::OpenForReadOnly(database_options(options), path, &db)
                        : rocksdb::DB::Open(database_options(options), path, &db);
  if (!status.ok()) return open_error(status, path, options.read_only);
  database->db.reset(db);
  return std::unique_ptr<RocksMetaStore>(
      new RocksMetaStore(std::move(env), std::move(path), std::move(database)));
}

RocksMetaStore::RocksMetaStore(io::Env env, std::string path, std::unique_ptr<Database> database)
    : env_(std::move(env)), path_(std::move(path)), database_(std::move(database)) {}

RocksMetaStore::~RocksMetaStore() = default;

Result<std::optional<std::string>> RocksMetaStore::read(const std::string& key) const {
  std::string value;
  const rocksdb::Status status = database_->db->Get(rocksdb::ReadOptions(), key, &value);
  if (status.IsNotFound()) return std::optional<std::string>();
  if (!status.ok()) return to_error(status, path_, "reading key '" + key + "' of");
  return std::optional<std::string>(std::move(value));
}

io::Task<Result<std::optional<std::string>>> RocksMetaStore::get(std::string key) {
  CO_TRY(check_key(key));
  co_return read(key);
}

io::Task<Result<std::vector<KeyValue>>> RocksMetaStore::scan(std::string prefix, size_t limit,
                                                             std::string after) {
  CO_TRY(check_scan_limit(limit));
  std::vector<KeyValue> found;
  std::unique_ptr<rocksdb::Iterator> at(database_->db->NewIterator(rocksdb::ReadOptions()));
  at->Seek(std::max({std::string_view(prefix), std::string_view(after), kFirstUserKey}));
  if (at->Valid() && !after.empty() && at->key().ToStringView() == after) at->Next();
  for (; at->Valid() && at->key().starts_with(prefix) && found.size() < limit; at->Next()) {
    found.push_back({at->key().ToString(), at->value().ToString()});
  }
  if (!at->status().ok()) co_return to_error(at->status(), path_, "scanning");
  co_return found;
}

Status RocksMetaStore::check_preconditions(const WriteBatch& batch) const {
  for (const auto& precondition : batch.preconditions) {
    std::optional<std::string> held;
    const auto pending = group_->overlay.find(precondition.key);
    if (pending != group_->overlay.end()) {
      held = pending->second;
    } else {
      held = TRY(read(precondition.key));
    }
    if (held != precondition.expected) return precondition_error(precondition);
  }
  return ok();
}

Status RocksMetaStore::check_writable() const {
  if (database_->read_only) {
    return error(Errc::kUnsupported, "the metadata store " + path_ + " is open for reading");
  }
  if (failure_) return failure_->within("an earlier write failed, nothing was written");
  return ok();
}

io::Task<Status> RocksMetaStore::commit(WriteBatch batch) {
  CO_TRY(check_batch(batch));
  CO_TRY(check_writable());
  const auto group = CO_TRY(add_to_group(std::move(batch)));
  group->is_synced = true;
  co_return co_await wait_written(group);
}

io::Task<Status> RocksMetaStore::apply(WriteBatch batch, std::string mark) {
  CO_TRY(check_batch(batch));
  CO_TRY(check_writable());
  const auto group = CO_TRY(add_to_group(std::move(batch)));
  CHECK(group->batch.Put(kMarkKey, mark).ok());
  co_return co_await wait_written(group);
}

Result<std::shared_ptr<RocksMetaStore::Group>> RocksMetaStore::add_to_group(WriteBatch batch) {
  if (!group_) group_ = std::make_shared<Group>(env_.executor);
  TRY(check_preconditions(batch));
  const auto group = group_;
  for (auto& put : batch.puts) {
    CHECK(group->batch.Put(put.key, put.value).ok());
    group->overlay[std::move(put.key)] = std::move(put.value);
  }
  for (auto& key : batch.deletes) {
    CHECK(group->batch.Delete(key).ok());
    group->overlay[std::move(key)] = std::nullopt;
  }
  return group;
}

io::Task<Status> RocksMetaStore::wait_written(std::shared_ptr<Group> group) {
  if (group->batch.GetDataSize() > kGroupBytesMax) {
    write_group();
  } else {
    env_.executor.at_turn_end(*this);
  }
  co_await group->written.wait();
  if (group->failure) co_return *group->failure;
  co_return ok();
}

void RocksMetaStore::write_group() {
  if (!group_) return;
  const auto group = std::exchange(group_, nullptr);
  if (failure_) {
    group->failure = failure_->within("an earlier write failed, nothing was written");
  } else if (group->batch.Count() > 0) {
    rocksdb::WriteOptions options;
    options.sync = group->is_synced;
    const rocksdb::Status status = database_->db->Write(options, &group->batch);
    if (!status.ok()) group->failure = latch(to_error(status, path_, "writing"));
  }
  group->written.set();
}

Error RocksMetaStore::latch(Error failure) {
  failure_ = std::move(failure);
  env_.logger.error("the metadata store failed; it is read-only until a restart",
                    {{"path", path_}, {"error", failure_->message()}});
  return *failure_;
}

Result<std::string> RocksMetaStore::mark() {
  return TRY(read(std::string(kMarkKey))).value_or("");
}

io::Task<Status> RocksMetaStore::sync() {
  CO_TRY(check_writable());
  write_group();
  if (failure_) co_return *failure_;
  const rocksdb::Status status = database_->db->FlushWAL(/*sync=*/true);
  if (!status.ok()) co_return latch(to_error(status, path_, "syncing"));
  co_return ok();
}

namespace {

class RocksView final : public StoreView {
 public:
  RocksView(std::unique_ptr<rocksdb::Iterator> at, std::string path)
      : at_(std::move(at)), path_(std::move(path)) {
    at_->Seek(kMarkKey);
    if (at_->Valid() && at_->key().ToStringView() == kMarkKey) mark_ = at_->value().ToString();
    at_->Seek(kFirstUserKey);
  }
  const std::string& mark() const override { return mark_; }
  Result<std::vector<KeyValue>> next(size_t limit) override {
    std::vector<KeyValue> pairs;
    for (; at_->Valid() && pairs.size() < limit; at_->Next()) {
      pairs.push_back({at_->key().ToString(), at_->value().ToString()});
    }
    if (!at_->status().ok()) return to_error(at_->status(), path_, "reading");
    return pairs;
  }

 private:
  const std::unique_ptr<rocksdb::Iterator> at_;
  const std::string path_;
  std::string mark_;
};

}  // namespace

Result<std::unique_ptr<StoreView>> RocksMetaStore::view() {
  // An iterator shows the database as it was when it was made.
  std::unique_ptr<rocksdb::Iterator> at(database_->db->NewIterator(rocksdb::ReadOptions()));
  if (!at->status().ok()) return to_error(at->status(), path_, "reading");
  return std::unique_ptr<StoreView>(std::make_unique<RocksView>(std::move(at), path_));
}

io::Task<Status> RocksMetaStore::replace(Content content) {
  CO_TRY(check_content(content));
  CO_TRY(check_writable());
  write_group();
  rocksdb::WriteBatch batch;
  // The end of the range is above every key that may be.
  const std::string beyond(kKeyBytesMax + 1, '\xff');
  CHECK(batch.DeleteRange(rocksdb::Slice("", 0), beyond).ok());
  for (const auto& pair : content.pairs) CHECK(batch.Put(pair.key, pair.value).ok());
  if (!content.mark.empty()) CHECK(batch.Put(kMarkKey, content.mark).ok());
  rocksdb::WriteOptions durable;
  durable.sync = true;
  const rocksdb::Status status = database_->db->Write(durable, &batch);
  if (!status.ok()) co_return latch(to_error(status, path_, "replacing the content of"));
  co_return ok();
}

}  // namespace cairn::kv
