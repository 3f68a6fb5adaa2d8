#include "store/pool/chunk_file_pool.h"

#include <limits>

#include "store/pool/pool_meta.h"

namespace cairn::pool {

namespace {

/// What is written between two looks at the clock.
constexpr uint64_t kFormatPieceBytes = kMiB;

std::string parent_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? std::string(".") : path.substr(0, slash);
}

std::string without_suffix(const std::string& name) {
  CHECK(name.ends_with(kFormattingSuffix));
  return name.substr(0, name.size() - kFormattingSuffix.size());
}

}  // namespace

ChunkFilePool::ChunkFilePool(io::Env env, io::Disk& disk, PoolOptions options)
    : env_(env),
      disk_(disk),
      options_(std::move(options)),
      gate_(env.executor),
      wake_(env.executor),
      timer_(env.clock, [this] { wake_.notify_all(); }),
      ready_gauge_(env.metrics.gauge("cairn_pool_ready_files", "Chunk files ready to be taken")),
      pending_gauge_(env.metrics.gauge("cairn_pool_pending_files", "Chunk files to be cleared")),
      free_gauge_(env.metrics.gauge("cairn_pool_free_bytes", "Free bytes of the file system")),
      formatted_total_(env.metrics.counter("cairn_pool_formatted_total", "Chunk files formatted")),
      on_demand_total_(env.metrics.counter("cairn_pool_on_demand_total",
                                           "Chunk files made while somebody waited")),
      failures_total_(
          env.metrics.counter("cairn_pool_failures_total", "Chunk files that failed to format")) {
  env_.logger = env.logger.named("pool");
  CHECK(options_.chunk_file_bytes > 0 && is_block_aligned(options_.chunk_file_bytes));
  CHECK(options_.ready_min <= options_.ready_target);
  CHECK(options_.format_bytes_per_second > 0);
}

ChunkFilePool::~ChunkFilePool() = default;

// ---- opening

io::Task<Result<std::unique_ptr<ChunkFilePool>>> ChunkFilePool::open(io::Env env, io::Disk& disk,
                                                                     PoolOptions options) {
  std::unique_ptr<ChunkFilePool> pool(new ChunkFilePool(env, disk, std::move(options)));
  CO_TRY(co_await pool->recover());
  env.executor.spawn(pool->run());
  co_return pool;
}

io::Task<Status> ChunkFilePool::recover() {
  CO_TRY(co_await disk_.make_directory(options_.directory));
  CO_TRY(co_await disk_.sync_directory(parent_of(options_.directory)));
  const auto names = CO_TRY(co_await disk_.list(options_.directory));
  for (const std::string& name : names) {
    const PoolName parsed = parse_pool_name(name);
    if (parsed.kind == PoolName::Kind::kReady) ready_.push_back(name);
    if (parsed.kind == PoolName::Kind::kFormatting) pending_.push_back({name, {}});
    next_number_ = std::max(next_number_, parsed.number + 1);
  }
  // A process that was killed may have left renames that are not durable: they become so before
  // a number is given out again.
  CO_TRY(co_await disk_.sync_directory(options_.directory));
  CO_TRY(co_await check_meta(!ready_.empty()));
  zeros_ = env_.buffers.allocate_zeroed(std::min(kFormatPieceBytes, options_.chunk_file_bytes));
  CO_TRY(co_await refresh_space());
  update_gauges();
  check_invariants();
  co_return ok();
}

io::Task<Status> ChunkFilePool::check_meta(bool has_files) {
  const std::string path = path_of(kPoolMetaName);
  const auto content = co_await io::read_file(disk_, path, sizeof(PoolMeta));
  if (content.code() == Errc::kNotFound) {
    if (has_files) {
      co_return error(Errc::kCorrupt, path +
                                          " is missing and there are chunk files beside where "
                                          "it was: nothing says what they are");
    }
    co_return co_await io::replace_file(disk_, path, encode_pool_meta(options_.chunk_file_bytes));
  }
  if (!content.ok()) co_return content.error();
  const auto meta = decode_pool_meta(content->view());
  if (!meta.ok()) co_return meta.error().within(path);
  if (meta->chunk_file_bytes != options_.chunk_file_bytes) {
    co_return error(Errc::kInvalidArgument,
                    path + ": the pool's files have " + std::to_string(meta->chunk_file_bytes) +
                        " bytes, and " + std::to_string(options_.chunk_file_bytes) +
                        " were asked for; nothing was changed");
  }
  co_return ok();
}

io::Task<void> ChunkFilePool::stop() {
  is_stopping_ = true;
  timer_.disarm();
  wake_.notify_all();
  co_await gate_.close();
}

// ---- taking and giving back

std::string ChunkFilePool::next_name() {
  return ready_name(next_number_++) + std::string(kFormattingSuffix);
}

uint64_t ChunkFilePool::files_that_fit() const {
  const uint64_t kept_bytes = options_.space_reserve_bytes + on_demand_bytes_;
  if (free_bytes_ <= kept_bytes) return 0;
  return (free_bytes_ - kept_bytes) / options_.chunk_file_bytes;
}

bool ChunkFilePool::has_space() const {
  return ready_.size() + files_that_fit() > options_.headroom_files;
}

io::Task<Result<std::string>> ChunkFilePool::take(std::string to_path) {
  const auto running = CO_TRY(gate_.enter());
  if (ready_.empty()) co_return co_await make_on_demand(std::move(to_path));
  const std::string name = ready_.front();
  ready_.pop_front();
  update_gauges();
  wake_.notify_all();
  const Status renamed = co_await disk_.rename(path_of(name), to_path);
  if (!renamed.ok()) {
    ready_.push_back(name);
    update_gauges();
    co_return renamed.error().within("take a chunk file");
  }
  co_return to_path;
}

io::Task<Result<std::string>> ChunkFilePool::make_on_demand(std::string to_path) {
  CO_TRY(co_await refresh_space());
  if (files_that_fit() == 0) {
    co_return error(Errc::kNoSpace,
                    "no chunk file is ready and " + std::to_string(free_bytes_) +
                        " bytes are free, of which " +
                        std::to_string(options_.space_reserve_bytes) +
                        " are kept for the log and for deletes; nothing was created");
  }
  on_demand_bytes_ += options_.chunk_file_bytes;
  const std::string path = path_of(next_name());
  const Status made = co_await create_unformatted(path, to_path);
  on_demand_bytes_ -= options_.chunk_file_bytes;
  free_bytes_ -= std::min(free_bytes_, options_.chunk_file_bytes);
  if (!made.ok()) {
    (void)co_await disk_.remove(path);  // Whatever is left is formatted after the next start.
    co_return made.error().within("make a chunk file");
  }
  on_demand_total_.add();
  co_return to_path;
}

io::Task<Status> ChunkFilePool::create_unformatted(std::string path, std::string to_path) {
  io::OpenOptions how;
  how.create = true;
  auto file = CO_TRY(co_await disk_.open(path, how));
  const Status allocated = co_await file->allocate(0, options_.chunk_file_bytes);
  if (allocated.code() == Errc::kUnsupported || allocated.code() == Errc::kInvalidArgument) {
    CO_TRY(co_await file->truncate(options_.chunk_file_bytes));  // sparse: better than nothing
  } else if (!allocated.ok()) {
    co_return allocated;
  }
  file.reset();
  co_return co_await disk_.rename(path, to_path);
}

io::Task<Status> ChunkFilePool::give_back(std::string path) {
  const auto running = CO_TRY(gate_.enter());
  const std::string name = next_name();
  CO_TRY(co_await disk_.rename(path, path_of(name)));
  pending_.push_back({name, parent_of(path)});
  update_gauges();
  wake_.notify_all();
  co_return ok();
}

io::Task<Status> ChunkFilePool::sync() {
  const auto running = CO_TRY(gate_.enter());
  co_return co_await disk_.sync_directory(options_.directory);
}

// ---- the background

io::Task<void> ChunkFilePool::run() {
  auto running = gate_.enter();
  if (!running.ok()) co_return;
  while (!is_stopping_) {
    if (!pending_.empty() && env_.clock.now() >= retry_at_) {
      const Pending pending = pending_.front();
      pending_.pop_front();
      is_settling_ = true;
      const Status settled = co_await settle_pending(pending);
      is_settling_ = false;
      if (!settled.ok()) co_await on_format_failed(settled.error(), pending);
    } else if (wants_more()) {
      const Pending fresh{next_name(), {}};
      const Status formatted = co_await format(fresh.name);
      if (!formatted.ok()) co_await on_format_failed(formatted.error(), fresh);
    } else {
      co_await rest(options_.space_refresh_interval);
    }
    if (is_stopping_) break;
    const Status refreshed = co_await refresh_space();
    if (!refreshed.ok()) retry_at_ = env_.clock.now() + options_.retry_after_error;
    update_gauges();
    check_invariants();
  }
}

bool ChunkFilePool::wants_more() {
  if (ready_.size() < options_.ready_min) is_refilling_ = true;
  if (ready_.size() >= options_.ready_target) is_refilling_ = false;
  return is_refilling_ && files_that_fit() > 0 && env_.clock.now() >= retry_at_;
}

io::Task<Status> ChunkFilePool::settle_pending(Pending pending) {
  const std::string path = path_of(pending.name);
  if (!pending.came_from.empty()) {
    // Not a byte is cleared before the chunk's old name is gone for good.
    CO_TRY(co_await disk_.sync_directory(options_.directory));
    const Status synced = co_await disk_.sync_directory(pending.came_from);
    if (!synced.ok() && synced.code() != Errc::kNotFound) co_return synced;
  }
  if (ready_.size() >= options_.ready_target) co_return co_await disk_.remove(path);
  co_return co_await format(pending.name);
}

io::Task<Status> ChunkFilePool::format(std::string name) {
  const std::string path = path_of(name);
  CO_TRY(co_await overwrite_with_zeros(path));
  if (is_stopping_) co_return ok();  // Not all of it was written.
  const std::string ready = without_suffix(name);
  CO_TRY(co_await disk_.rename(path, path_of(ready)));
  CO_TRY(co_await disk_.sync_directory(options_.directory));
  ready_.push_back(ready);
  formatted_total_.add();
  co_return ok();
}

io::Task<Status> ChunkFilePool::overwrite_with_zeros(std::string path) {
  io::OpenOptions how;
  how.create = true;
  how.access = io::Access::kDirect;
  auto opened = co_await disk_.open(path, how);
  if (opened.code() == Errc::kInvalidArgument || opened.code() == Errc::kUnsupported) {
    how.access = io::Access::kBuffered;  // a file system without direct writes
    opened = co_await disk_.open(path, how);
  }
  auto file = CO_TRY(std::move(opened));
  const Status allocated = co_await file->allocate(0, options_.chunk_file_bytes);
  if (allocated.code() == Errc::kNoSpace) co_return allocated;  // Others: writing allocates too.
  const Instant began = env_.clock.now();
  uint64_t written_bytes = 0;
  while (written_bytes < options_.chunk_file_bytes && !is_stopping_) {
    const uint64_t piece_bytes =
        std::min<uint64_t>(zeros_.size_bytes(), options_.chunk_file_bytes - written_bytes);
    const std::array<ByteView, 1> parts{zeros_.view().first(piece_bytes)};
    CO_TRY(co_await file->write(written_bytes, parts, io::Durability::kCached));
    written_bytes += piece_bytes;
    co_await pace(written_bytes, began);
  }
  if (is_stopping_) co_return ok();
  co_return co_await file->sync_data();
}

io::Task<void> ChunkFilePool::pace(uint64_t bytes_written, Instant began) {
  const double seconds =
      static_cast<double>(bytes_written) / static_cast<double>(options_.format_bytes_per_second);
  const Instant due = began + Duration(static_cast<int64_t>(seconds * 1e9));
  while (!is_stopping_ && env_.clock.now() < due) {
    timer_.arm(due);
    co_await wake_.wait_next();
  }
}

io::Task<void> ChunkFilePool::rest(Duration at_most) {
  timer_.arm_after(at_most);
  co_await wake_.wait_next();
}

io::Task<Status> ChunkFilePool::refresh_space() {
  const io::DiskSpace space = CO_TRY(co_await disk_.space());
  free_bytes_ = space.free_bytes;
  free_gauge_.set(static_cast<int64_t>(free_bytes_));
  co_return ok();
}

io::Task<void> ChunkFilePool::on_format_failed(Error error, Pending pending) {
  failures_total_.add();
  retry_at_ = env_.clock.now() + options_.retry_after_error;
  env_.logger.error("a chunk file was not formatted; a rest follows",
                    {{"file", pending.name}, {"error", error.describe()}});
  if (error.code() == Errc::kNoSpace) {
    // What it has taken is worth more free. If it stays, it is formatted after the next start.
    (void)co_await disk_.remove(path_of(pending.name));
    co_return;
  }
  // The suffix keeps it from being used until it is formatted.
  const bool is_listed =
      std::ranges::any_of(pending_, [&](const Pending& p) { return p.name == pending.name; });
  if (!is_listed) pending_.push_back(std::move(pending));
}

void ChunkFilePool::update_gauges() {
  ready_gauge_.set(static_cast<int64_t>(ready_.size()));
  pending_gauge_.set(static_cast<int64_t>(pending_count()));
}

void ChunkFilePool::check_invariants() const {
  for (const std::string& name : ready_) {
    DCHECK(parse_pool_name(name).kind == PoolName::Kind::kReady);
  }
  CHECK(ready_.empty() || parse_pool_name(ready_.back()).kind == PoolName::Kind::kReady);
  CHECK(pending_.empty() ||
        parse_pool_name(pending_.back().name).kind == PoolName::Kind::kFormatting);
  CHECK(on_demand_bytes_ % options_.chunk_file_bytes == 0);
}

}  // namespace cairn::pool
