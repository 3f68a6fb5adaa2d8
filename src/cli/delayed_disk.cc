#include "cli/delayed_disk.h"

namespace cairn::cli {

namespace {

class DelayedFile final : public io::File {
 public:
  DelayedFile(std::unique_ptr<io::File> inner, io::Clock& clock, Duration delay)
      : inner_(std::move(inner)), clock_(clock), delay_(delay) {}

  io::Task<Status> read(uint64_t offset_bytes, MutableByteView into) override {
    return inner_->read(offset_bytes, into);
  }
  io::Task<Status> write(uint64_t offset_bytes, std::span<const ByteView> parts,
                         io::Durability durability) override {
    const Status written = co_await inner_->write(offset_bytes, parts, durability);
    if (durability == io::Durability::kSynced) co_await clock_.sleep(delay_);
    co_return written;
  }
  io::Task<Status> sync_data() override {
    const Status synced = co_await inner_->sync_data();
    co_await clock_.sleep(delay_);
    co_return synced;
  }
  io::Task<Status> allocate(uint64_t offset_bytes, uint64_t size_bytes) override {
    return inner_->allocate(offset_bytes, size_bytes);
  }
  io::Task<Status> truncate(uint64_t size_bytes) override { return inner_->truncate(size_bytes); }
  io::Task<Result<uint64_t>> size() override { return inner_->size(); }
  Status write_cached_now(uint64_t offset_bytes, std::span<const ByteView> parts) override {
    return inner_->write_cached_now(offset_bytes, parts);
  }
  Status read_cached_now(uint64_t offset_bytes, MutableByteView into) override {
    return inner_->read_cached_now(offset_bytes, into);
  }

 private:
  const std::unique_ptr<io::File> inner_;
  io::Clock& clock_;
  const Duration delay_;
};

}  // namespace

io::Task<Result<std::unique_ptr<io::File>>> DelayedDisk::open(std::string path,
                                                              io::OpenOptions options) {
  auto file = CO_TRY(co_await inner_.open(std::move(path), options));
  co_return std::make_unique<DelayedFile>(std::move(file), clock_, delay_);
}

io::Task<Status> DelayedDisk::sync_directory(std::string path) {
  const Status synced = co_await inner_.sync_directory(std::move(path));
  co_await clock_.sleep(delay_);
  co_return synced;
}

}  // namespace cairn::cli
