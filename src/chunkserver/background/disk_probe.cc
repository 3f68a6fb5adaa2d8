#include "chunkserver/background/disk_probe.h"

#include <algorithm>
#include <array>
#include <vector>

namespace cairn::chunkserver {

namespace {

constexpr char kFileName[] = "probe";

/// How long the write took, without what opening the file did.
io::Task<Result<Duration>> write_block(io::Env env, io::Disk* disk) {
  const io::OpenOptions how{.create = true, .access = io::Access::kDirect};
  auto file = CO_TRY(co_await disk->open(kFileName, how));
  const Buffer block = env.buffers.allocate_zeroed(kBlockBytes);
  const std::array<ByteView, 1> parts{block.view()};
  const Instant began = env.clock.now();
  CO_TRY(co_await file->write(0, parts, io::Durability::kSynced));
  co_return env.clock.now() - began;
}

}  // namespace

DiskProbe::DiskProbe(io::Env env, io::Disk& disk, multiraft::Host& host, DiskProbeOptions options)
    : env_(env),
      disk_(disk),
      host_(host),
      options_(options),
      life_(std::make_shared<Life>(Life{this})),
      timer_(env.clock, [this] { on_timer(); }) {}

DiskProbe::~DiskProbe() {
  stop();
}

void DiskProbe::start() {
  timer_.arm_after(options_.interval);
}

void DiskProbe::stop() {
  timer_.disarm();
  life_->probe = nullptr;
}

// A process that was paused finds that much time has passed: so it counts its own looks, too.
void DiskProbe::on_timer() {
  if (host_.disk_error()) return;
  if (!is_writing_) {
    is_writing_ = true;
    ticks_waited_ = 0;
    env_.executor.spawn(write_once(life_, env_, &disk_));
  } else if (++ticks_waited_ >= kWatchdogTicks) {
    host_.fail_disk(error(Errc::kTimeout, "a write of one block has been under way for more than " +
                                              std::to_string(to_ms(options_.hang_max)) + " ms"));
    return;
  }
  timer_.arm_after(is_writing_ ? options_.hang_max / kWatchdogTicks : options_.interval);
}

io::Task<void> DiskProbe::write_once(std::shared_ptr<Life> life, io::Env env, io::Disk* disk) {
  const auto took = co_await write_block(env, disk);
  if (life->probe) life->probe->on_written(took);
}

void DiskProbe::on_written(const Result<Duration>& took) {
  is_writing_ = false;
  if (!took && took.code() == Errc::kIo) {
    host_.fail_disk(took.error());
    return;
  }
  if (took) times_.push_back(*took);
  if (times_.size() > kTimesMax) times_.pop_front();
  timer_.arm_after(options_.interval);  // a full disk is not a dead one
}

Duration DiskProbe::typical_write() const {
  if (times_.size() < kTimesMin) return Duration::zero();
  std::vector<Duration> times(times_.begin(), times_.end());
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::ranges::nth_element(times, middle);
  return *middle;
}

}  // namespace cairn::chunkserver
