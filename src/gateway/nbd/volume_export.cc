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
    traits_.is_read_only = volume_->is_read_only();
    volume_->on_session_loss([this](const Error&) { is_lost_ = true; });
  }

  const ExportTraits& traits() const override { return traits_; }
  client::Volume& volume() { return *volume_; }
  void note_size(uint64_t size_bytes) {
    volume_->note_size(size_bytes);
    traits_.size_bytes = volume_->size_bytes();
  }
  /// It fails for good: a connection that comes now needs another.
  bool is_lost() const { return is_lost_; }

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
  bool is_lost_ = false;
};

VolumeSource::VolumeSource(io::Env env, client::Cluster& cluster, VolumeSourceOptions options)
    : env_(env),
      cluster_(cluster),
      options_(std::move(options)),
      unused_timer_(env_.clock, [this] { close_unused(); }),
      gate_(env_.executor) {}

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
  co_return co_await share(std::move(name));
}

io::Task<Result<std::shared_ptr<Export>>> VolumeSource::share(std::string name) {
  auto running = gate_.enter();
  if (!running.ok()) co_return running.error();
  auto [turns, is_new] = opening_.try_emplace(name);
  if (is_new) turns->second = std::make_unique<io::Semaphore>(env_.executor, 1);
  const auto turn = co_await turns->second->acquire();

  if (auto known = co_await find_open(name)) co_return known;
  auto volume = CO_TRY(co_await cluster_.open_volume(name, options_.open));
  auto opened = std::make_shared<VolumeExport>(std::move(volume));
  // What connections hold ends with the last of them; the volume itself is closed first.
  std::shared_ptr<Export> handle(opened.get(), [this, opened](Export*) { release(opened); });
  open_[name] = handle;
  co_return handle;
}

/// What is open already of the volume that has the name now: it may have had another when it was
/// opened, and another volume may have had this one. Null: nothing.
io::Task<std::shared_ptr<Export>> VolumeSource::find_open(std::string name) {
  std::erase_if(open_, [](const auto& entry) { return entry.second.expired(); });
  if (open_.empty()) co_return nullptr;
  const auto info = co_await cluster_.stat_volume(name);
  if (!info.ok() && info.code() == Errc::kNotFound) co_return nullptr;
  for (auto& [opened_as, weak] : open_) {
    auto known = weak.lock();
    if (!known) continue;
    auto& shared = static_cast<VolumeExport&>(*known);
    // Without an MDS that answers, the name is all there is.
    const bool is_same =
        info.ok() ? VolumeId(info->id()) == shared.volume().id() : opened_as == name;
    if (!is_same || shared.is_lost()) continue;
    if (info.ok()) shared.note_size(info->size_bytes());
    co_return known;
  }
  co_return nullptr;
}

void VolumeSource::release(std::shared_ptr<VolumeExport> unused) {
  if (gate_.is_closed()) return;  // close() has the volume closed already, or nobody runs any more
  unused_.push_back(std::move(unused));
  // Not here: the caller is a connection's destructor.
  unused_timer_.arm_after(Duration::zero());
}

void VolumeSource::close_unused() {
  for (auto& unused : std::exchange(unused_, {})) {
    env_.executor.spawn(close_one(std::move(unused)));
  }
}

io::Task<void> VolumeSource::close_one(std::shared_ptr<VolumeExport> unused) {
  auto running = gate_.enter();
  co_await unused->volume().close();
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
  unused_timer_.disarm();
  std::vector<std::shared_ptr<Export>> in_use;
  for (auto& [name, weak] : open_) {
    if (auto handle = weak.lock()) in_use.push_back(std::move(handle));
  }
  open_.clear();
  for (auto& handle : in_use) {
    co_await static_cast<VolumeExport&>(*handle).volume().close();
  }
  for (auto& unused : std::exchange(unused_, {})) co_await unused->volume().close();
  co_await gate_.close();
}

}  // namespace cairn::nbd
