#include "store/chunk/in_place_store.h"

#include <charconv>

#include "store/chunk/in_place_state.h"

namespace cairn::chunk {

namespace {

constexpr std::string_view kChunkPrefix = "chunk-";
/// What a write copies into the page cache before it lets others run.
constexpr uint64_t kWritePieceBytes = 256 * kKiB;

/// Lets what is posted run before the caller goes on.
struct Yield {
  io::Executor& executor;
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> caller) { executor.post(caller); }
  void await_resume() const noexcept {}
};

/// A decimal number of 1 and more, without leading zeros.
std::optional<uint64_t> parse_number(std::string_view text) {
  uint64_t value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (value == 0 || text.front() == '0') return std::nullopt;
  return value;
}

Error no_such_copyset(CopysetId copyset) {
  return error(Errc::kNotFound, "copyset " + to_string(copyset) + " is not on this disk");
}

std::string parent_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? std::string(".") : path.substr(0, slash);
}

}  // namespace

InPlaceStore::InPlaceStore(io::Env env, io::Disk& disk, pool::ChunkFilePool& pool,
                           StoreOptions options)
    : env_(env),
      disk_(disk),
      pool_(pool),
      options_(std::move(options)),
      layout_{options_.chunk_bytes},
      gate_(env.executor),
      changed_(env.executor),
      file_metrics_(env.metrics),
      open_gauge_(env.metrics.gauge("cairn_chunk_open_chunks", "Chunks open in memory")),
      dirty_gauge_(env.metrics.gauge("cairn_chunk_dirty_chunks", "Chunks changed since a flush")),
      flushes_total_(env.metrics.counter("cairn_chunk_flushes_total", "Flushes of chunks")) {
  env_.logger = env.logger.named("chunk");
  CHECK(options_.flushes_inflight_max > 0 && options_.open_chunks_max > 0);
  CHECK(options_.dirty_chunks_max <= options_.open_chunks_max);
}

InPlaceStore::~InPlaceStore() = default;

// ---- opening

io::Task<Result<std::unique_ptr<InPlaceStore>>> InPlaceStore::open(io::Env env, io::Disk& disk,
                                                                   pool::ChunkFilePool& pool,
                                                                   StoreOptions options) {
  if (!is_valid_chunk_bytes(options.chunk_bytes)) {
    co_return error(Errc::kInvalidArgument,
                    "chunk_bytes has to be a power of two from 64 KiB to "
                    "1 GiB, and is " +
                        std::to_string(options.chunk_bytes));
  }
  const ChunkLayout layout{options.chunk_bytes};
  if (pool.options().chunk_file_bytes != layout.file_bytes()) {
    co_return error(Errc::kInvalidArgument,
                    "the pool's files have " + std::to_string(pool.options().chunk_file_bytes) +
                        " bytes; chunks of " + std::to_string(options.chunk_bytes) + " need " +
                        std::to_string(layout.file_bytes()));
  }
  std::unique_ptr<InPlaceStore> store(new InPlaceStore(env, disk, pool, std::move(options)));
  CO_TRY(co_await store->recover());
  co_return store;
}

io::Task<Status> InPlaceStore::recover() {
  CO_TRY(co_await disk_.make_directory(options_.directory));
  CO_TRY(co_await disk_.sync_directory(parent_of(options_.directory)));
  const auto names = CO_TRY(co_await disk_.list(options_.directory));
  for (const std::string& name : names) CO_TRY(co_await recover_copyset(name));
  co_return ok();
}

io::Task<Status> InPlaceStore::recover_copyset(std::string directory_name) {
  std::optional<uint64_t> number;
  if (directory_name.ends_with('/')) {
    directory_name.pop_back();
    number = parse_number(directory_name);
  }
  if (!number) {
    env_.logger.warn("not a copyset: left alone", {{"name", directory_name}});
    co_return ok();
  }
  auto copyset = std::make_unique<Copyset>(env_.executor, CopysetId(*number));
  const auto names = CO_TRY(co_await disk_.list(directory_of(copyset->id)));
  for (const std::string& name : names) {
    std::optional<uint64_t> chunk;
    if (name.starts_with(kChunkPrefix)) chunk = parse_number(name.substr(kChunkPrefix.size()));
    if (!chunk) {
      env_.logger.warn("not a chunk: left alone", {{"copyset", copyset->id}, {"name", name}});
      continue;
    }
    copyset->chunks[ChunkId(*chunk)].exists = true;
    ++copyset->existing_count;
  }
  // A process that was killed may have left names that are not durable.
  copyset->are_names_dirty = true;
  const CopysetId id = copyset->id;
  copysets_[id] = std::move(copyset);
  co_return ok();
}

io::Task<void> InPlaceStore::stop() {
  co_await gate_.close();
}

// ---- copysets

std::string InPlaceStore::directory_of(CopysetId copyset) const {
  return options_.directory + "/" + to_string(copyset);
}

std::string InPlaceStore::path_of(CopysetId copyset, ChunkId chunk) const {
  return directory_of(copyset) + "/" + std::string(kChunkPrefix) + to_string(chunk);
}

InPlaceStore::Copyset* InPlaceStore::find(CopysetId copyset) const {
  const auto found = copysets_.find(copyset);
  return found == copysets_.end() ? nullptr : found->second.get();
}

io::Task<Status> InPlaceStore::create_copyset(CopysetId copyset) {
  const auto running = CO_TRY(gate_.enter());
  CHECK(!copyset.is_none());
  if (Copyset* present = find(copyset)) {
    if (!present->is_removing) co_return ok();
    co_return error(Errc::kUnavailable, "copyset " + to_string(copyset) + " is being removed");
  }
  CO_TRY(co_await disk_.make_directory(directory_of(copyset)));
  CO_TRY(co_await disk_.sync_directory(options_.directory));
  if (find(copyset) == nullptr) {
    copysets_[copyset] = std::make_unique<Copyset>(env_.executor, copyset);
  }
  co_return ok();
}

io::Task<Status> InPlaceStore::remove_copyset(CopysetId copyset) {
  const auto running = CO_TRY(gate_.enter());
  Copyset* present = find(copyset);
  if (present == nullptr) co_return ok();
  if (present->is_removing) {
    co_return error(Errc::kUnavailable, "copyset " + to_string(copyset) + " is being removed");
  }
  present->is_removing = true;
  while (!present->chunks.empty()) {
    const ChunkId chunk = present->chunks.begin()->first;
    const Status removed = co_await remove(copyset, chunk);
    if (!removed.ok()) {
      present->is_removing = false;
      co_return removed.error().within("remove copyset " + to_string(copyset));
    }
  }
  while (present->users_count > 0) co_await changed_.wait_next();
  CHECK(present->dirty.empty() && present->flushing.empty());
  copysets_.erase(copyset);
  CO_TRY(co_await disk_.remove(directory_of(copyset)));
  co_return co_await disk_.sync_directory(options_.directory);
}

std::vector<CopysetId> InPlaceStore::copysets() const {
  std::vector<CopysetId> ids;
  ids.reserve(copysets_.size());
  for (const auto& [id, copyset] : copysets_) ids.push_back(id);
  std::ranges::sort(ids);
  return ids;
}

Result<std::vector<ChunkId>> InPlaceStore::list(CopysetId copyset) const {
  const Copyset* present = find(copyset);
  if (present == nullptr) return no_such_copyset(copyset);
  std::vector<ChunkId> ids;
  ids.reserve(present->existing_count);
  for (const auto& [id, entry] : present->chunks) {
    if (entry.exists) ids.push_back(id);
  }
  CHECK(ids.size() == present->existing_count);
  std::ranges::sort(ids);
  return ids;
}

bool InPlaceStore::contains(CopysetId copyset, ChunkId chunk) const {
  const Copyset* present = find(copyset);
  if (present == nullptr) return false;
  const auto found = present->chunks.find(chunk);
  return found != present->chunks.end() && found->second.exists;
}

// ---- handles

InPlaceStore::Handle* InPlaceStore::find_open(CopysetId copyset, ChunkId chunk) const {
  const Copyset* present = find(copyset);
  if (present == nullptr) return nullptr;
  const auto found = present->chunks.find(chunk);
  if (found == present->chunks.end() || found->second.is_busy) return nullptr;
  return found->second.open.get();
}

void InPlaceStore::move_to(Handle& handle, HandleList& list) {
  list.splice(list.begin(), *handle.home, handle.position);
  handle.home = &list;
}

void InPlaceStore::touch(Handle& handle) {
  if (handle.home == &clean_) move_to(handle, clean_);
}

void InPlaceStore::mark_dirty(Handle& handle) {
  if (handle.home == &handle.copyset->flushing) {
    handle.is_changed_while_flushing = true;
  } else if (handle.home == &clean_) {
    move_to(handle, handle.copyset->dirty);
    dirty_gauge_.set(static_cast<int64_t>(++dirty_count_));
  }
}

void InPlaceStore::admit(Copyset& copyset, ChunkId chunk, Entry& entry,
                         std::unique_ptr<ChunkFile> file, bool is_new) {
  CHECK(!entry.open && entry.is_busy);
  CHECK(file->identity() == (ChunkIdentity{copyset.id, chunk}));
  entry.open = std::make_unique<Handle>();
  Handle& handle = *entry.open;
  handle.copyset = &copyset;
  handle.file = std::move(file);
  clean_.push_front(&handle);
  handle.home = &clean_;
  handle.position = clean_.begin();
  open_gauge_.set(static_cast<int64_t>(++open_count_));
  if (is_new) {
    entry.exists = true;
    ++copyset.existing_count;
    copyset.are_names_dirty = true;
    mark_dirty(handle);
  }
}

void InPlaceStore::close(Entry& entry) {
  Handle& handle = *entry.open;
  CHECK(handle.pins_count == 0, "a chunk that is in use stays open");
  if (handle.home != &clean_) dirty_gauge_.set(static_cast<int64_t>(--dirty_count_));
  handle.home->erase(handle.position);
  entry.open.reset();
  open_gauge_.set(static_cast<int64_t>(--open_count_));
}

bool InPlaceStore::evict_one() {
  constexpr size_t kLooksMax = 64;  // Pinned ones are few: those being read.
  size_t looks = 0;
  for (auto at = clean_.rbegin(); at != clean_.rend() && looks < kLooksMax; ++at, ++looks) {
    Handle& handle = **at;
    if (handle.pins_count > 0) continue;
    Entry& entry = handle.copyset->chunks.at(handle.file->identity().chunk);
    if (entry.is_busy) continue;  // being removed
    close(entry);
    return true;
  }
  return false;
}

io::Task<Status> InPlaceStore::make_room() {
  while (open_count_ >= options_.open_chunks_max && evict_one()) {
  }
  if (open_count_ < options_.open_chunks_max) co_return ok();
  Copyset* copyset = dirtiest();
  if (copyset == nullptr) co_return ok();  // All are being read: their number is bounded above.
  CO_TRY(co_await flush_locked(copyset->id));
  evict_one();
  co_return ok();
}

io::Task<Result<std::unique_ptr<ChunkFile>>> InPlaceStore::open_file(CopysetId copyset,
                                                                     ChunkId chunk, bool exists) {
  CO_TRY(co_await make_room());
  const ChunkIdentity identity{copyset, chunk};
  const std::string path = path_of(copyset, chunk);
  if (exists) {
    co_return co_await ChunkFile::open(env_, disk_, path, layout_, identity, file_metrics_);
  }
  CO_TRY(co_await pool_.take(path));
  co_return co_await ChunkFile::create(env_, disk_, path, layout_, identity, file_metrics_);
}

io::Task<Result<InPlaceStore::Pin>> InPlaceStore::acquire(CopysetId copyset, ChunkId chunk,
                                                          IfAbsent if_absent) {
  CHECK(!chunk.is_none());
  while (true) {
    Copyset* present = find(copyset);
    if (present == nullptr) co_return no_such_copyset(copyset);
    const auto found = present->chunks.find(chunk);
    const bool is_there = found != present->chunks.end();
    if (is_there && found->second.is_busy) {
      co_await changed_.wait_next();
      continue;
    }
    if (is_there && found->second.open) {
      touch(*found->second.open);
      co_return Pin(*this, *found->second.open);
    }
    if (!is_there && if_absent == IfAbsent::kLeave) co_return Pin();
    if (!is_there && present->is_removing) co_return no_such_copyset(copyset);
    if (failure_) co_return *failure_;

    // A busy entry is not erased by others, so the reference holds across the suspension.
    Entry& entry = present->chunks[chunk];
    entry.is_busy = true;
    const bool exists = entry.exists;
    auto file = co_await open_file(copyset, chunk, exists);
    changed_.notify_all();
    if (!file.ok()) {
      entry.is_busy = false;
      if (!entry.exists) present->chunks.erase(chunk);
      co_return std::move(file).error();
    }
    admit(*present, chunk, entry, std::move(*file), !exists);
    entry.is_busy = false;
    co_return Pin(*this, *entry.open);
  }
}

// ---- changes

Status InPlaceStore::check_range(ChunkId chunk, uint64_t offset_bytes, uint64_t size_bytes) const {
  const bool fits = size_bytes > 0 && size_bytes <= options_.chunk_bytes &&
                    offset_bytes <= options_.chunk_bytes - size_bytes;
  if (fits && is_block_aligned(offset_bytes) && is_block_aligned(size_bytes)) return ok();
  return error(Errc::kInvalidArgument,
               "chunk " + to_string(chunk) + ": offset " + std::to_string(offset_bytes) +
                   " and size " + std::to_string(size_bytes) +
                   " are not whole blocks within the chunk; nothing was done");
}

bool InPlaceStore::try_write(CopysetId copyset, ChunkId chunk, uint32_t offset_bytes,
                             const Buffer& data, Status* result) {
  if (data.size_bytes() > kWritePieceBytes || gate_.is_closed() || failure_) return false;
  Handle* handle = find_open(copyset, chunk);
  if (handle == nullptr) return false;
  *result = check_range(chunk, offset_bytes, data.size_bytes());
  if (!result->ok()) return true;
  // Dirty first: after a failed write the table and the data must not pass for clean.
  touch(*handle);
  mark_dirty(*handle);
  *result = handle->file->write_now(offset_bytes, data.view());
  return true;
}

io::Task<Status> InPlaceStore::write(CopysetId copyset, ChunkId chunk, uint32_t offset_bytes,
                                     Buffer data) {
  const auto running = CO_TRY(gate_.enter());
  CO_TRY(check_range(chunk, offset_bytes, data.size_bytes()));
  const Pin pin = CO_TRY(co_await acquire(copyset, chunk, IfAbsent::kCreate));
  for (size_t at = 0; at < data.size_bytes(); at += kWritePieceBytes) {
    if (at > 0) co_await Yield{env_.executor};
    if (failure_) co_return *failure_;
    const size_t piece_bytes = std::min<size_t>(kWritePieceBytes, data.size_bytes() - at);
    mark_dirty(*pin);
    CO_TRY(pin.file().write_now(offset_bytes + at, data.view().subspan(at, piece_bytes)));
  }
  co_return ok();
}

io::Task<Status> InPlaceStore::write_zeroes(CopysetId copyset, ChunkId chunk, uint32_t offset_bytes,
                                            uint32_t size_bytes) {
  const auto running = CO_TRY(gate_.enter());
  CO_TRY(check_range(chunk, offset_bytes, size_bytes));
  const Pin pin = CO_TRY(co_await acquire(copyset, chunk, IfAbsent::kLeave));
  if (!pin) co_return ok();
  mark_dirty(*pin);
  pin.file().zero_now(offset_bytes, size_bytes);
  co_return ok();
}

Status InPlaceStore::check_image_of(ChunkId chunk, uint32_t size_bytes, const ChunkImage& image,
                                    const InstallExcept& except) const {
  const size_t blocks_count = size_bytes / kBlockBytes;
  const bool fits = image.block_crcs.size() == blocks_count &&
                    (except.have.empty() || except.have.size() == blocks_count);
  if (!fits) {
    return error(Errc::kInvalidArgument,
                 "chunk " + to_string(chunk) + ": an image with marks for " +
                     std::to_string(image.block_crcs.size()) + " blocks; nothing was installed");
  }
  CHECK(!except.newer || except.newer->size() == blocks_count);
  return check_image(image.block_crcs, except.have, image.data.view());
}

io::Task<Status> InPlaceStore::install(CopysetId copyset, ChunkId chunk, uint32_t offset_bytes,
                                       uint32_t size_bytes, ChunkImage image,
                                       InstallExcept except) {
  const auto running = CO_TRY(gate_.enter());
  CO_TRY(check_range(chunk, offset_bytes, size_bytes));
  CO_TRY(check_image_of(chunk, size_bytes, image, except));
  const Pin pin = CO_TRY(co_await acquire(copyset, chunk, IfAbsent::kCreate));
  enum class Kind : uint8_t { kLeft, kHoles, kData };
  const std::vector<uint32_t>& marks = image.block_crcs;
  const auto is_sent = [&](size_t i) {
    return marks[i] != kHole && !is_had(except.have, i, marks[i]);
  };
  const auto kind_of = [&](size_t i) {
    if (is_had(except.have, i, marks[i]) || (except.newer && (*except.newer)[i])) {
      return Kind::kLeft;
    }
    return marks[i] == kHole ? Kind::kHoles : Kind::kData;
  };
  size_t taken_bytes = 0;
  for (size_t i = 0; i < marks.size();) {
    if (failure_) co_return *failure_;
    const Kind kind = kind_of(i);
    const size_t begin = i, taken_before = taken_bytes;
    const size_t end_max = std::min(marks.size(), i + kWritePieceBytes / kBlockBytes);
    for (; i < end_max && kind_of(i) == kind; ++i) taken_bytes += is_sent(i) ? kBlockBytes : 0;
    const uint64_t at = offset_bytes + begin * kBlockBytes;
    if (kind == Kind::kHoles) {
      mark_dirty(*pin);
      pin.file().zero_now(at, (i - begin) * kBlockBytes);
    } else if (kind == Kind::kData) {
      mark_dirty(*pin);
      const size_t run_bytes = taken_bytes - taken_before;
      CHECK(run_bytes == (i - begin) * kBlockBytes, "a run of data has all its blocks");
      CO_TRY(pin.file().write_now(at, image.data.view().subspan(taken_before, run_bytes)));
    }
    if (i < marks.size() && kind != Kind::kLeft) co_await Yield{env_.executor};
  }
  CHECK(taken_bytes == image.data.size_bytes());
  co_return ok();
}

io::Task<Status> InPlaceStore::remove(CopysetId copyset, ChunkId chunk) {
  const auto running = CO_TRY(gate_.enter());
  Copyset* present = find(copyset);
  if (present == nullptr) co_return no_such_copyset(copyset);
  ++present->users_count;
  auto found = present->chunks.find(chunk);
  while (found != present->chunks.end() && found->second.is_busy) {
    co_await changed_.wait_next();
    found = present->chunks.find(chunk);
  }
  Status removed = ok();
  if (found != present->chunks.end()) {
    Entry& entry = found->second;
    entry.is_busy = true;
    while (entry.open && entry.open->pins_count > 0) co_await changed_.wait_next();
    if (entry.open) close(entry);
    removed = co_await pool_.give_back(path_of(copyset, chunk));
    if (removed.ok() || removed.code() == Errc::kNotFound) {
      present->chunks.erase(chunk);
      --present->existing_count;
      present->are_names_dirty = true;
      present->has_removals = true;
      removed = ok();
    } else {
      entry.is_busy = false;
    }
  }
  --present->users_count;
  changed_.notify_all();
  co_return removed;
}

// ---- reading

io::Task<Result<Buffer>> InPlaceStore::read(CopysetId copyset, ChunkId chunk, uint32_t offset_bytes,
                                            uint32_t size_bytes) {
  const auto running = CO_TRY(gate_.enter());
  CO_TRY(check_range(chunk, offset_bytes, size_bytes));
  const Pin pin = CO_TRY(co_await acquire(copyset, chunk, IfAbsent::kLeave));
  if (!pin) co_return env_.buffers.allocate_zeroed(size_bytes);
  co_return co_await pin.file().read(offset_bytes, size_bytes);
}

io::Task<Result<ChunkDigest>> InPlaceStore::digest(CopysetId copyset, ChunkId chunk,
                                                   bool read_data) {
  const auto running = CO_TRY(gate_.enter());
  const Pin pin = CO_TRY(co_await acquire(copyset, chunk, IfAbsent::kLeave));
  if (!pin) co_return error(Errc::kNotFound, "chunk " + to_string(chunk) + " does not exist");
  co_return co_await pin.file().digest(read_data);
}

io::Task<Result<std::vector<uint32_t>>> InPlaceStore::table(CopysetId copyset, ChunkId chunk) {
  const auto running = CO_TRY(gate_.enter());
  const Pin pin = CO_TRY(co_await acquire(copyset, chunk, IfAbsent::kLeave));
  if (!pin) co_return std::vector<uint32_t>(layout_.blocks_count(), kHole);
  const std::span<const Mark> marks = pin.file().table();
  co_return std::vector<uint32_t>(marks.begin(), marks.end());
}

io::Task<Result<std::vector<uint32_t>>> InPlaceStore::verify(CopysetId copyset, ChunkId chunk,
                                                             uint32_t offset_bytes,
                                                             uint32_t size_bytes) {
  const auto running = CO_TRY(gate_.enter());
  CO_TRY(check_range(chunk, offset_bytes, size_bytes));
  const Pin pin = CO_TRY(co_await acquire(copyset, chunk, IfAbsent::kLeave));
  if (!pin) co_return std::vector<uint32_t>(size_bytes / kBlockBytes, kHole);
  co_return co_await pin.file().verify(offset_bytes, size_bytes);
}

io::Task<Result<ChunkImage>> InPlaceStore::fetch(CopysetId copyset, ChunkId chunk,
                                                 uint32_t offset_bytes, uint32_t size_bytes,
                                                 std::vector<uint32_t> have) {
  const auto running = CO_TRY(gate_.enter());
  CO_TRY(check_range(chunk, offset_bytes, size_bytes));
  if (!have.empty() && have.size() != size_bytes / kBlockBytes) {
    co_return error(Errc::kInvalidArgument, "chunk " + to_string(chunk) + ": " +
                                                std::to_string(have.size()) +
                                                " marks for another number of blocks");
  }
  const Pin pin = CO_TRY(co_await acquire(copyset, chunk, IfAbsent::kLeave));
  if (!pin) co_return error(Errc::kNotFound, "chunk " + to_string(chunk) + " does not exist");
  co_return co_await pin.file().fetch(offset_bytes, size_bytes, std::move(have));
}

void InPlaceStore::check_invariants() const {
  size_t open_count = 0;
  size_t dirty_count = 0;
  for (const auto& [id, copyset] : copysets_) {
    CHECK(copyset->id == id);
    dirty_count += copyset->dirty.size() + copyset->flushing.size();
    size_t existing_count = 0;
    for (const auto& [chunk, entry] : copyset->chunks) {
      CHECK(entry.exists || entry.is_busy, "an entry stands for a chunk or for a flow");
      existing_count += entry.exists ? 1 : 0;
      if (!entry.open) continue;
      ++open_count;
      CHECK(*entry.open->position == entry.open.get());
      CHECK(entry.open->copyset == copyset.get());
    }
    CHECK(existing_count == copyset->existing_count);
  }
  CHECK(open_count == open_count_);
  CHECK(dirty_count == dirty_count_);
  CHECK(open_count_ == dirty_count_ + clean_.size());
}

}  // namespace cairn::chunk
