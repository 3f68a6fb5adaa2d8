#include "sim/cluster/fence_party.h"

#include "sim/cluster/cluster.h"
#include "sim/cluster/workload.h"

namespace cairn::sim {

namespace {

/// For an open or a read of the owner, whatever the faults: they last for seconds.
constexpr Duration kPatience = 180s;

bool is_worth_a_retry(Errc code) {
  return code == Errc::kTimeout || code == Errc::kUnavailable || code == Errc::kOverloaded ||
         code == Errc::kNotLeader;
}

}  // namespace

FenceParty::FenceParty(Host& host, uint32_t number, const Plan& plan, std::vector<io::Address> mds,
                       FenceBoard& board)
    : host_(host),
      number_(number),
      plan_(plan),
      board_(board),
      env_(host.env()),
      rng_(host.world().fork_rng()) {
  client::ClientOptions options;
  options.mds = std::move(mds);
  options.key = cluster_key();
  options.client_name = host.name();
  cluster_ = std::make_unique<client::Cluster>(env_, options);
}

FenceParty::~FenceParty() {
  host_.crash(CrashKind::kKill, [this] {
    volume_.reset();
    cluster_.reset();
  });
}

io::Task<Status> FenceParty::create_volume() {
  for (;;) {
    auto made = co_await cluster_->create_volume(volume_name(kVolume), plan_.shape.volume_bytes);
    if (made.ok() || made.code() == Errc::kAlreadyExists) co_return ok();
    if (!is_worth_a_retry(made.code())) co_return made.error();
    co_await env_.clock.sleep(100ms);
  }
}

uint64_t FenceParty::offset_of(uint32_t block) const {
  // Over all chunks: each copyset has to know of the fence.
  const uint64_t blocks_count = plan_.shape.volume_bytes / kBlockBytes;
  return block * 43 % blocks_count * kBlockBytes;
}

io::Task<void> FenceParty::pause(Duration at_most) {
  const auto drawn = rng_.below(static_cast<uint64_t>(at_most.count()));
  co_await env_.clock.sleep(Duration(static_cast<int64_t>(drawn)));
}

io::Task<Status> FenceParty::take(uint32_t round) {
  CO_TRY(co_await retire());
  const Instant until = env_.clock.now() + kPatience;
  for (;;) {
    auto opened = co_await cluster_->open_volume(
        volume_name(kVolume), {.mode = client::OpenMode::kExclusive, .force = true});
    if (opened.ok()) {
      volume_ = std::move(*opened);
      break;
    }
    // A stale fence: a try before this one, its answer lost, has displaced this one.
    const bool again = is_worth_a_retry(opened.code()) || opened.code() == Errc::kStaleFence;
    if (!again || env_.clock.now() >= until) co_return opened.error();
    co_await env_.clock.sleep(20ms);
  }
  round_ = round;
  board_.owner_round = round;
  first_seen_.clear();
  first_sequence_ = next_sequence_;
  co_return ok();
}

bool FenceParty::note(const Status& result, uint32_t owner_then, const char* what) {
  ++board_.ops_count;
  const bool is_out = owner_then > round_;
  if (result.ok()) {
    if (is_out) {
      board_.blame("client " + std::to_string(number_) + ", owner in round " +
                   std::to_string(round_) + ", could " + what +
                   " although it began after the open "
                   "of round " +
                   std::to_string(owner_then) + " had returned");
    }
    return true;
  }
  ++board_.failed_ops_count;
  if (result.code() == Errc::kStaleFence) {
    ++board_.refused_ops_count;
    // The next owner's open may be under way; whoever owns alone is never refused by itself.
    return false;
  }
  if (!is_worth_a_retry(result.code()) && result.code() != Errc::kClosed) {
    board_.blame(std::string("a ") + what + " failed: " + result.error().describe());
  }
  return true;
}

io::Task<Status> FenceParty::read_surely(uint32_t block, uint64_t* value) {
  const Instant until = env_.clock.now() + kPatience;
  const uint64_t offset = offset_of(block);
  for (;;) {
    const auto op = board_.history.begin_read(kVolume, offset, kBlockBytes, number_);
    Result<Buffer> data = co_await volume_->read(offset, kBlockBytes);
    ++board_.ops_count;
    if (data.ok()) {
      board_.history.end_read(op, data->view());
      std::string why;
      const auto held = value_of_cell(kVolume, offset, data->view().first(kCellBytes), &why);
      if (!held) board_.blame("a block that nobody wrote so: " + why);
      *value = held.value_or(0);
      co_return ok();
    }
    ++board_.failed_ops_count;
    if (!is_worth_a_retry(data.code()) || env_.clock.now() >= until) co_return data.error();
  }
}

io::Task<Status> FenceParty::check_unchanged(bool may_hold_own) {
  for (uint32_t block = 0; block < kBlocksCount; ++block) {
    uint64_t value = 0;
    CO_TRY(co_await read_surely(block, &value));
    const auto [seen, is_first] = first_seen_.emplace(block, value);
    if (is_first || seen->second == value) continue;
    const bool is_own = value >> 32 == number_ && static_cast<uint32_t>(value) >= first_sequence_;
    if (is_own && may_hold_own) continue;
    board_.blame("in round " + std::to_string(round_) + " block " + std::to_string(block) +
                 " held " + std::to_string(seen->second) + " at the owner's first read and " +
                 std::to_string(value) + " later: a write of client " +
                 std::to_string(value >> 32) + " came through");
  }
  co_return ok();
}

io::Task<Status> FenceParty::play_round(uint32_t round) {
  CO_TRY(co_await take(round));
  for (int look = 0; look < 3; ++look) {
    CO_TRY(co_await check_unchanged(false));
    co_await pause(100ms);
  }
  begin_work();
  co_await pause(400ms);
  co_return co_await check_unchanged(true);
}

void FenceParty::begin_work() {
  is_retiring_ = false;
  for (size_t i = 0; i < kWritersCount; ++i) {
    ++workers_count_;
    env_.executor.spawn(write_on(rng_.fork()));
  }
  ++workers_count_;
  env_.executor.spawn(read_on(rng_.fork()));
}

io::Task<void> FenceParty::write_on(Rng rng) {
  bool goes_on = true;
  while (goes_on && !is_retiring_) {
    const uint64_t offset = offset_of(static_cast<uint32_t>(rng.below(kBlocksCount)));
    const WriteStamp stamp{number_, next_sequence_++};
    Buffer data = env_.buffers.allocate(kBlockBytes);
    stamp_cells(kVolume, offset, stamp, data.mutable_view());
    const auto op = board_.history.begin_write(kVolume, offset, kBlockBytes, stamp, false);
    const uint32_t owner_then = board_.owner_round;
    const Status written = co_await volume_->write(offset, std::move(data));
    if (written.ok()) board_.history.end_write(op);
    goes_on = note(written, owner_then, "write");
    co_await env_.clock.sleep(Duration(static_cast<int64_t>(rng.below(20'000'000))));
  }
  --workers_count_;
}

io::Task<void> FenceParty::read_on(Rng rng) {
  bool goes_on = true;
  while (goes_on && !is_retiring_) {
    const uint64_t offset = offset_of(static_cast<uint32_t>(rng.below(kBlocksCount)));
    const auto op = board_.history.begin_read(kVolume, offset, kBlockBytes, number_);
    const uint32_t owner_then = board_.owner_round;
    Result<Buffer> data = co_await volume_->read(offset, kBlockBytes);
    Status result = ok();
    if (data.ok()) {
      board_.history.end_read(op, data->view());
    } else {
      result = data.error();
    }
    goes_on = note(result, owner_then, "read");
    co_await env_.clock.sleep(Duration(static_cast<int64_t>(rng.below(20'000'000))));
  }
  --workers_count_;
}

io::Task<Status> FenceParty::retire() {
  if (!volume_) co_return ok();
  is_retiring_ = true;
  while (workers_count_ > 0) co_await env_.clock.sleep(1ms);
  co_await volume_->close();
  volume_.reset();
  co_return ok();
}

}  // namespace cairn::sim
