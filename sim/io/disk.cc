#include "sim/io/disk.h"

#include <cmath>

#include "sim/io/host.h"

namespace cairn::sim {

namespace {

uint64_t bytes_of_parts(std::span<const ByteView> parts) {
  uint64_t bytes = 0;
  for (const ByteView part : parts) bytes += part.size();
  return bytes;
}

bool is_aligned(const void* memory) {
  return reinterpret_cast<uintptr_t>(memory) % kPageBytes == 0;
}

}  // namespace

// ---- SimFile

class SimFile : public io::File {
 public:
  SimFile(SimDisk& disk, std::string path, io::OpenOptions options, std::shared_ptr<Inode> inode)
      : disk_(disk), path_(std::move(path)), options_(options), inode_(std::move(inode)) {}

  io::Task<Status> read(uint64_t offset_bytes, MutableByteView into) override;
  io::Task<Status> write(uint64_t offset_bytes, std::span<const ByteView> parts,
                         io::Durability durability) override;
  io::Task<Status> sync_data() override;
  io::Task<Status> allocate(uint64_t offset_bytes, uint64_t size_bytes) override;
  io::Task<Status> truncate(uint64_t size_bytes) override;
  io::Task<Result<uint64_t>> size() override;
  Status write_cached_now(uint64_t offset_bytes, std::span<const ByteView> parts) override;
  Status read_cached_now(uint64_t offset_bytes, MutableByteView into) override;

 private:
  Status check_read(uint64_t offset_bytes, MutableByteView into) const;
  Status check_write(uint64_t offset_bytes, std::span<const ByteView> parts) const;
  std::string what(const char* verb, uint64_t offset_bytes) const {
    return std::string(verb) + " " + path_ + " at " + std::to_string(offset_bytes);
  }

  SimDisk& disk_;
  const std::string path_;
  const io::OpenOptions options_;
  const std::shared_ptr<Inode> inode_;  ///< shared with the image: an unlinked file lives on
};

Status SimFile::check_read(uint64_t offset_bytes, MutableByteView into) const {
  if (options_.access == io::Access::kDirect &&
      (!is_block_aligned(offset_bytes) || !is_block_aligned(into.size()) ||
       !is_aligned(into.data()))) {
    return error(Errc::kInvalidArgument, what("direct read of", offset_bytes) + ": not aligned");
  }
  if (offset_bytes + into.size() > inode_->size_bytes()) {
    return error(Errc::kIo, what("read", offset_bytes) + ": short read, the file has " +
                                std::to_string(inode_->size_bytes()) + " bytes");
  }
  return ok();
}

Status SimFile::check_write(uint64_t offset_bytes, std::span<const ByteView> parts) const {
  if (options_.read_only) {
    return error(Errc::kInvalidArgument, what("write", offset_bytes) + ": opened for reading");
  }
  CHECK(parts.size() <= kPartsMax, "a write has at most kPartsMax parts");
  if (options_.access == io::Access::kDirect) {
    bool aligned = is_block_aligned(offset_bytes);
    for (const ByteView part : parts) {
      aligned = aligned && is_block_aligned(part.size()) && is_aligned(part.data());
    }
    if (!aligned) {
      return error(Errc::kInvalidArgument, what("direct write of", offset_bytes) + ": not aligned");
    }
  }
  return disk_.check_space(*inode_, offset_bytes + bytes_of_parts(parts), path_);
}

io::Task<Status> SimFile::read(uint64_t offset_bytes, MutableByteView into) {
  CO_TRY(check_read(offset_bytes, into));
  CO_TRY(disk_.inject(DiskOperation::kRead, "read", path_));
  ++disk_.counters_.reads;
  disk_.counters_.bytes_read += into.size();
  co_await disk_.take(DiskOperation::kRead, into.size(), false);
  CO_TRY(check_read(offset_bytes, into));
  inode_->read(offset_bytes, into);
  co_return ok();
}

io::Task<Status> SimFile::write(uint64_t offset_bytes, std::span<const ByteView> parts,
                                io::Durability durability) {
  CO_TRY(check_write(offset_bytes, parts));
  const bool durable = durability == io::Durability::kSynced;
  const Status injected = disk_.inject(DiskOperation::kWrite, "write", path_);
  const uint64_t stamp = disk_.image_.next_stamp();
  const uint64_t bytes = bytes_of_parts(parts);
  // A write that fails may have reached the medium all the same.
  if (injected.ok() || disk_.rng_.chance(0.5)) inode_->write(offset_bytes, parts, stamp);
  ++(durable ? disk_.counters_.synced_writes : disk_.counters_.writes);
  disk_.counters_.bytes_written += bytes;
  co_await disk_.take(DiskOperation::kWrite, bytes, durable);
  if (!injected.ok()) co_return injected;
  if (durable) {
    if (disk_.take_sync_failure()) {
      inode_->forget_volatile(disk_.rng_);
      co_return error(Errc::kIo, what("durable write of", offset_bytes) + ": injected failure");
    }
    inode_->make_durable(offset_bytes, parts, stamp);
  }
  co_return ok();
}

io::Task<Status> SimFile::sync_data() {
  const Status injected = disk_.inject(DiskOperation::kSync, "sync", path_);
  ++disk_.counters_.syncs;
  if (!injected.ok() || disk_.take_sync_failure()) {
    inode_->forget_volatile(disk_.rng_);
    co_await disk_.take(DiskOperation::kSync, 0, true);
    co_return error(Errc::kIo, "sync " + path_ + ": injected failure");
  }
  const Inode::Snapshot snapshot = inode_->begin_sync();
  co_await disk_.take(DiskOperation::kSync, snapshot.bytes(), true);
  inode_->end_sync(snapshot);
  co_return ok();
}

io::Task<Status> SimFile::allocate(uint64_t offset_bytes, uint64_t size_bytes) {
  const uint64_t end_bytes = offset_bytes + size_bytes;
  CO_TRY(disk_.check_space(*inode_, end_bytes, path_));
  inode_->reserve(end_bytes);
  co_await disk_.take(DiskOperation::kNames, 0, false);
  co_return ok();
}

io::Task<Status> SimFile::truncate(uint64_t size_bytes) {
  CO_TRY(disk_.check_space(*inode_, size_bytes, path_));
  inode_->truncate(size_bytes);
  co_await disk_.take(DiskOperation::kNames, 0, false);
  co_return ok();
}

io::Task<Result<uint64_t>> SimFile::size() {
  co_return inode_->size_bytes();
}

Status SimFile::write_cached_now(uint64_t offset_bytes, std::span<const ByteView> parts) {
  CHECK(options_.access == io::Access::kBuffered);
  TRY(check_write(offset_bytes, parts));
  TRY(disk_.inject(DiskOperation::kWrite, "write", path_));
  ++disk_.counters_.writes;
  disk_.counters_.bytes_written += bytes_of_parts(parts);
  inode_->write(offset_bytes, parts, disk_.image_.next_stamp());
  return ok();
}

Status SimFile::read_cached_now(uint64_t offset_bytes, MutableByteView into) {
  CHECK(options_.access == io::Access::kBuffered);
  TRY(check_read(offset_bytes, into));
  TRY(disk_.inject(DiskOperation::kRead, "read", path_));
  ++disk_.counters_.reads;
  disk_.counters_.bytes_read += into.size();
  inode_->read(offset_bytes, into);
  return ok();
}

// ---- SimDisk

SimDisk::SimDisk(Host& host, std::string name, DiskModel model, Rng rng)
    : host_(host), name_(std::move(name)), model_(model), rng_(rng) {}

Status SimDisk::inject(DiskOperation kind, std::string_view verb, const std::string& path) {
  const auto index = static_cast<size_t>(kind);
  const bool is_chosen = fail_after_[index] > 0 && --fail_after_[index] == 0;
  const bool is_drawn = error_rates_[index] > 0 && rng_.chance(error_rates_[index]);
  if (!is_chosen && !is_drawn) return ok();
  ++counters_.errors_injected;
  return error(Errc::kIo, std::string(verb) + " " + path + ": injected failure");
}

void SimDisk::fail_operation(DiskOperation kind, uint64_t n) {
  CHECK(n >= 1);
  fail_after_[static_cast<size_t>(kind)] = n;
}

void SimDisk::set_error_rate(DiskOperation kind, double probability) {
  error_rates_[static_cast<size_t>(kind)] = probability;
}

io::Task<void> SimDisk::take(DiskOperation kind, uint64_t bytes, bool durable) {
  Duration least = model_.write_min;
  if (kind == DiskOperation::kRead) least = model_.read_min;
  if (durable) least = model_.sync_min;
  const double tail = -std::log(1.0 - rng_.unit()) * static_cast<double>(model_.tail_mean.count());
  const double transfer =
      static_cast<double>(bytes) * 1e9 / static_cast<double>(model_.bytes_per_second);
  const double total = (static_cast<double>(least.count()) + tail + transfer) * slowness_;
  co_await host_.process().delay(Duration(static_cast<int64_t>(total)));
  while (is_hung_) co_await host_.process().delay(10ms);
}

Status SimDisk::check_space(const Inode& inode, uint64_t end_bytes, const std::string& path) const {
  const uint64_t after = round_up(end_bytes, kPageBytes);
  if (after <= inode.used_bytes()) return ok();
  const uint64_t more = after - inode.used_bytes();
  const uint64_t used = image_.used_bytes();
  if (used + more <= model_.capacity_bytes) return ok();
  return error(Errc::kNoSpace, "write " + path + ": no space left on " + name_);
}

io::Task<Result<std::unique_ptr<io::File>>> SimDisk::open(std::string path,
                                                          io::OpenOptions options) {
  const std::string at = DiskImage::normalize(path);
  CO_TRY(inject(DiskOperation::kNames, "open", at));
  auto inode = CO_TRY(image_.open(at, options.create, options.exclusive));
  ++counters_.name_changes;
  co_await take(DiskOperation::kNames, 0, false);
  std::unique_ptr<io::File> file = std::make_unique<SimFile>(*this, at, options, std::move(inode));
  co_return file;
}

io::Task<Status> SimDisk::make_directory(std::string path) {
  const std::string at = DiskImage::normalize(path);
  CO_TRY(inject(DiskOperation::kNames, "make directory", at));
  CO_TRY(image_.make_directory(at));
  ++counters_.name_changes;
  co_await take(DiskOperation::kNames, 0, false);
  co_return ok();
}

io::Task<Result<std::vector<std::string>>> SimDisk::list(std::string path) {
  auto names = CO_TRY(image_.list(DiskImage::normalize(path)));
  co_await take(DiskOperation::kRead, 0, false);
  co_return names;
}

io::Task<Status> SimDisk::rename(std::string from, std::string to) {
  CO_TRY(inject(DiskOperation::kNames, "rename", from));
  CO_TRY(image_.rename(DiskImage::normalize(from), DiskImage::normalize(to)));
  ++counters_.name_changes;
  co_await take(DiskOperation::kNames, 0, false);
  co_return ok();
}

io::Task<Status> SimDisk::remove(std::string path) {
  CO_TRY(inject(DiskOperation::kNames, "remove", path));
  CO_TRY(image_.remove(DiskImage::normalize(path)));
  ++counters_.name_changes;
  co_await take(DiskOperation::kNames, 0, false);
  co_return ok();
}

io::Task<Status> SimDisk::sync_directory(std::string path) {
  CO_TRY(inject(DiskOperation::kSync, "sync directory", path));
  const auto snapshot = CO_TRY(image_.begin_sync_directory(DiskImage::normalize(path)));
  ++counters_.syncs;
  co_await take(DiskOperation::kSync, 0, true);
  image_.end_sync_directory(snapshot);
  co_return ok();
}

io::Task<Result<io::DiskSpace>> SimDisk::space() {
  io::DiskSpace space;
  space.capacity_bytes = model_.capacity_bytes;
  const uint64_t used = image_.used_bytes();
  space.free_bytes = used < model_.capacity_bytes ? model_.capacity_bytes - used : 0;
  co_return space;
}

Status SimDisk::corrupt(const std::string& path, uint64_t offset_bytes, unsigned bit) {
  const auto inode = image_.find(DiskImage::normalize(path));
  if (!inode) return error(Errc::kNotFound, "corrupt " + path + ": no such file");
  if (offset_bytes >= inode->size_bytes()) {
    return error(Errc::kInvalidArgument, "corrupt " + path + ": beyond its end");
  }
  inode->flip_bit(offset_bytes, bit);
  return ok();
}

void SimDisk::clear_errors() {
  fail_next_sync_ = false;
  fail_after_.fill(0);
  error_rates_.fill(0);
}

std::vector<std::string> SimDisk::names(const std::string& path) const {
  auto names = image_.list(DiskImage::normalize(path));
  return names.ok() ? std::move(*names) : std::vector<std::string>();
}

std::vector<std::byte> SimDisk::peek(const std::string& path, uint64_t offset_bytes,
                                     uint64_t size_bytes) const {
  const auto inode = image_.find(DiskImage::normalize(path));
  if (!inode || offset_bytes + size_bytes > inode->size_bytes()) return {};
  std::vector<std::byte> bytes(size_bytes);
  inode->read(offset_bytes, bytes);
  return bytes;
}

void SimDisk::take_content(const SimDisk& other,
                           const std::function<bool(const std::string&)>& keeps) {
  CHECK(!host_.is_running(), "the files of a running host are open");
  image_ = other.image_.durable_copy(keeps);
}

Status SimDisk::cut_file(const std::string& path, uint64_t size_bytes) {
  const auto inode = image_.find(DiskImage::normalize(path));
  if (!inode) return error(Errc::kNotFound, "cut " + path + ": no such file");
  inode->truncate(size_bytes);
  inode->end_sync(inode->begin_sync());
  return ok();
}

void SimDisk::lose_power() {
  image_.lose_power(rng_);
}

}  // namespace cairn::sim
