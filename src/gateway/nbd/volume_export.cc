#include "gateway/nbd/volume_export.h"

#include <algorithm>

#include "client/volume.h"
#include "wire/mds.pb.h"

namespace cairn::nbd {

class VolumeSource::VolumeExport final : public Export {
 public:
  explicit VolumeExport(std::unique_ptr<client::Volume> volume) : volume_(std::move(volume)) {
    traits_.name = volume_->name();
    traits_.description = "Cairn volume " + volume_->name();
    traits_.size_bytes = volume_->size_bytes();
  }

  const ExportTraits& traits() const override { return traits_; }
  client::Volume& volume() { return *volume_; }

  io::Task<Result<std::vector<client::ReadPiece>>> read(uint64_t offset_bytes,
                                                        uint64_t size_bytes) override {
    return volume_->read_pieces(offset_bytes, size_bytes);
  }
  io::Task<Status> write(uint64_t offset_bytes, Buffer data) override {
    return volume_->write(offset_bytes, std::move(data));
  }
  io::Task<Status> zero(uint64_t offset_bytes, uint64_t size_bytes, bool may_deallocate) override {
    if (may_deallocate) return volume_->discard(offset_bytes, size_bytes);
    return volume_->write_zeroes(offset_bytes, size_bytes);
  }
  bool is_zero_fast(uint64_t offset_bytes, uint64_t size_bytes) const override {
    // Whole blocks become holes; the rest of a block has to be read and written.
    return is_block_aligned(offset_bytes) && is_block_aligned(size_bytes);
  }
  io::Task<Status> trim(uint64_t offset_bytes, uint64_t size_bytes) override {
    const uint64_t begin = round_up(offset_bytes, kBlockBytes);
    const uint64_t end = (offset_bytes + size_bytes) / kBlockBytes * kBlockBytes;
    // A part of a block holds no space of its own.
    if (begin >= end) return volume_->flush();
    return volume_->discard(begin, end - begin);
  }
  io::Task<Status> flush() override { return volume_->flush(); }
  io::Task<Result<std::vector<client::Extent>>> extents(uint64_t offset_bytes,
                                                        uint64_t size_bytes) override {
    return volume_->extents(offset_bytes, size_bytes);
  }

 private:
  std::unique_ptr<client::Volume> volume_;
  ExportTraits traits_;
};

VolumeSource::VolumeSource(io::Env env, client::Cluster& cluster, VolumeSourceOptions options)
    : env_(env), cluster_(cluster), options_(std::move(options)) {}

VolumeSource::~VolumeSource() = default;

io::Task<Result<std::shared_ptr<Export>>> VolumeSource::open(std::string name) {
  if (name.empty()) {
    name = options_.default_volume;
    if (name.empty() && options_.volumes.size() == 1) name = options_.volumes.front();
    if (name.empty()) {
      co_return error(Errc::kNotFound, "name an export: this server has no default one");
    }
  }
  const auto& allowed = options_.volumes;
  if (!allowed.empty() && std::find(allowed.begin(), allowed.end(), name) == allowed.end()) {
    co_return error(Errc::kNotFound, "volume '" + name + "' is not exported by this server");
  }
  auto known = open_.find(name);
  if (known != open_.end()) {
    // It may have been deleted, and made again, since it was opened.
    auto now = co_await cluster_.stat_volume(name);
    if (!now.ok() && now.code() == Errc::kNotFound) co_return now.error();
    known = open_.find(name);
    const bool is_same =
        known != open_.end() && (!now.ok() || VolumeId(now->id()) == known->second->volume().id());
    if (is_same) co_return std::shared_ptr<Export>(known->second);
  }
  auto volume = CO_TRY(co_await cluster_.open_volume(name));
  // Another connection may have opened it meanwhile: one object for all of them.
  known = open_.find(name);
  if (known != open_.end() && known->second->volume().id() == volume->id()) {
    co_return std::shared_ptr<Export>(known->second);
  }
  auto opened = std::make_shared<VolumeExport>(std::move(volume));
  open_[name] = opened;
  co_return std::shared_ptr<Export>(std::move(opened));
}

io::Task<Result<std::vector<std::string>>> VolumeSource::list() {
  std::vector<std::string> names = options_.volumes;
  if (names.empty()) {
    auto volumes = CO_TRY(co_await cluster_.list_volumes());
    for (const wire::VolumeInfo& info : volumes) names.push_back(info.name());
  }
  co_return std::move(names);
}

io::Task<void> VolumeSource::close() {
  while (!open_.empty()) {
    auto one = open_.extract(open_.begin());
    co_await one.mapped()->volume().close();
  }
}

}  // namespace cairn::nbd
