#include "sim/cluster/workload.h"

#include <cmath>

#include "sim/cluster/cluster.h"

namespace cairn::sim {

std::string volume_name(uint32_t number) {
  return "volume-" + std::to_string(number);
}

uint64_t unit_of_volume(uint32_t number) {
  return number == 0 ? kBlockBytes : kCellBytes;
}

ClientNode::ClientNode(Host& host, uint32_t number, const Plan& plan, std::vector<io::Address> mds,
                       History& history)
    : host_(host), number_(number), plan_(plan), history_(history), env_(host.env()) {
  client::ClientOptions options;
  options.mds = std::move(mds);
  options.key = cluster_key();
  cluster_ = std::make_unique<client::Cluster>(env_, options);
}

ClientNode::~ClientNode() {
  host_.crash(CrashKind::kKill, [this] {
    volumes_.clear();
    cluster_.reset();
  });
}

io::Task<Status> ClientNode::create_volumes() {
  for (uint32_t number = 0; number < plan_.shape.volumes_count; ++number) {
    for (;;) {
      auto created =
          co_await cluster_->create_volume(volume_name(number), plan_.shape.volume_bytes);
      if (created.ok() || created.code() == Errc::kAlreadyExists) break;
      // The cluster is forming: its copysets are not planned yet.
      if (created.code() != Errc::kUnavailable && created.code() != Errc::kTimeout) {
        co_return std::move(created).error();
      }
      co_await env_.clock.sleep(100ms);
    }
  }
  co_return ok();
}

io::Task<Status> ClientNode::open_volumes() {
  for (uint32_t number = 0; number < plan_.shape.volumes_count; ++number) {
    volumes_.push_back(CO_TRY(co_await cluster_->open_volume(volume_name(number))));
  }
  co_return ok();
}

void ClientNode::begin() {
  host_.execute([this] {
    for (uint32_t i = 0; i < plan_.shape.workers_per_client; ++i) {
      ++workers_count_;
      env_.executor.spawn(work(env_.rng.fork()));
    }
  });
}

io::Task<void> ClientNode::work(Rng rng) {
  const LoadShape load = plan_.load;
  const bool is_reader = load.has_reader && number_ == plan_.shape.clients_count;
  const double write_share = is_reader ? 0.0 : load.write_share;
  while (!is_stopping_) {
    const double think = -std::log(1.0 - rng.unit()) * static_cast<double>(load.think_mean.count());
    co_await env_.clock.sleep(Duration(static_cast<int64_t>(think)));
    if (is_stopping_) break;
    Range range = draw_range(rng);
    ++ops_count_;
    bool succeeded = false;
    if (!rng.chance(write_share)) {
      succeeded = (co_await read(range)).ok();
    } else if (rng.chance(load.zeroes_share)) {
      const bool discard = rng.chance(0.5);
      if (discard && rng.chance(load.whole_chunk_share)) range = chunk_of(range);
      succeeded = (co_await zero(range, discard)).ok();
    } else {
      succeeded = (co_await write(range)).ok();
    }
    if (!succeeded) ++failed_ops_count_;
  }
  --workers_count_;
}

ClientNode::Range ClientNode::draw_range(Rng& rng) const {
  Range range;
  range.volume = static_cast<uint32_t>(rng.below(plan_.shape.volumes_count));
  const uint64_t unit = unit_of_volume(range.volume);
  const uint64_t units_in_volume = plan_.shape.volume_bytes / unit;
  uint64_t first = rng.below(units_in_volume);
  if (rng.chance(plan_.load.hot_share)) {
    // A few blocks, spread over the chunks, where operations meet.
    const uint64_t hot = rng.below(plan_.load.hot_blocks_count);
    first = (hot * 37 * (kBlockBytes / unit)) % units_in_volume;
    first += rng.below(kBlockBytes / unit);
  }
  uint64_t count = 1;
  if (rng.chance(plan_.load.many_blocks_share)) count = rng.between(2, 24);
  count = std::min(count, units_in_volume - first);
  range.offset_bytes = first * unit;
  range.size_bytes = count * unit;
  return range;
}

ClientNode::Range ClientNode::chunk_of(const Range& range) const {
  const uint64_t chunk_bytes = plan_.shape.chunk_bytes;
  return {range.volume, range.offset_bytes / chunk_bytes * chunk_bytes, chunk_bytes};
}

void ClientNode::begin_op(History::OpNumber op, const char* verb, const Range& range) {
  pending_[op] = std::string(verb) + " of " + std::to_string(range.size_bytes) + " bytes of " +
                 volume_name(range.volume) + " at " + std::to_string(range.offset_bytes);
}

void ClientNode::end_op(History::OpNumber op, const Status& result) {
  const std::string what = pending_.at(op);
  pending_.erase(op);
  if (result.ok()) return;
  env_.logger.info("an operation failed", {{"what", what}, {"why", result.error().describe()}});
  switch (result.code()) {
    case Errc::kTimeout:
    case Errc::kUnavailable:
    case Errc::kOverloaded:
    case Errc::kNotLeader:
    case Errc::kClosed:
      return;
    default:
      if (result.code() == Errc::kNoSpace && plan_.faults.disks_fill) return;
      if (unexpected_error_.empty()) {
        unexpected_error_ =
            "client " + std::to_string(number_) + ", " + what + ": " + result.error().describe();
      }
  }
}

std::string ClientNode::describe_pending() const {
  std::string text;
  for (const auto& [op, what] : pending_) {
    text += "\n    client " + std::to_string(number_) + " waits for its " + what;
  }
  return text;
}

io::Task<Status> ClientNode::read(Range range) {
  client::Volume& volume = *volumes_[range.volume];
  const auto op = history_.begin_read(range.volume, range.offset_bytes, range.size_bytes, number_);
  begin_op(op, "read", range);
  Result<Buffer> data = co_await volume.read(range.offset_bytes, range.size_bytes);
  if (data.ok()) history_.end_read(op, data->view());
  Status result = ok();
  if (!data.ok()) result = std::move(data).error();
  end_op(op, result);
  co_return result;
}

io::Task<Status> ClientNode::write(Range range) {
  client::Volume& volume = *volumes_[range.volume];
  const WriteStamp stamp{number_, next_sequence_++};
  Buffer data = env_.buffers.allocate(range.size_bytes);
  stamp_cells(range.volume, range.offset_bytes, stamp, data.mutable_view());
  const auto op =
      history_.begin_write(range.volume, range.offset_bytes, range.size_bytes, stamp, false);
  begin_op(op, "write", range);
  Status written = co_await volume.write(range.offset_bytes, std::move(data));
  if (written.ok()) history_.end_write(op);
  end_op(op, written);
  co_return written;
}

io::Task<Status> ClientNode::zero(Range range, bool discard) {
  client::Volume& volume = *volumes_[range.volume];
  const WriteStamp stamp{number_, next_sequence_++};
  const auto op =
      history_.begin_write(range.volume, range.offset_bytes, range.size_bytes, stamp, true);
  begin_op(op, discard ? "discard" : "zeroes", range);
  // Two statements: a conditional around co_await is where compilers have failed.
  Status zeroed = ok();
  if (discard) {
    zeroed = co_await volume.discard(range.offset_bytes, range.size_bytes);
  } else {
    zeroed = co_await volume.write_zeroes(range.offset_bytes, range.size_bytes);
  }
  if (zeroed.ok()) history_.end_write(op);
  end_op(op, zeroed);
  co_return zeroed;
}

io::Task<Status> ClientNode::prove_service() {
  for (uint32_t number = 0; number < plan_.shape.volumes_count; ++number) {
    const uint64_t unit = unit_of_volume(number);
    for (uint64_t at = 0; at < plan_.shape.volume_bytes; at += plan_.shape.chunk_bytes) {
      const Range range{number, at, unit};
      CO_TRY(co_await write(range));
      CO_TRY(co_await read(range));
    }
  }
  co_return ok();
}

io::Task<Status> ClientNode::read_all() {
  for (uint32_t number = 0; number < plan_.shape.volumes_count; ++number) {
    for (uint64_t at = 0; at < plan_.shape.volume_bytes; at += plan_.shape.chunk_bytes) {
      CO_TRY(co_await read({number, at, plan_.shape.chunk_bytes}));
    }
  }
  co_return ok();
}

}  // namespace cairn::sim
