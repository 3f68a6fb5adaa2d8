#include "client/volume.h"

#include "client/shared.h"

namespace cairn::client {

/// The parts of one operation. Lives in the operation's frame, which waits for all of them.
struct Volume::Progress {
  explicit Progress(io::Executor& executor) : changed(executor) {}

  size_t parts_under_way = 0;
  uint64_t done_bytes = 0;
  std::optional<Error> failure;  ///< the first one; no part begins after it
  io::Event changed;

  void finish_part(uint64_t bytes, const Status& status) {
    CHECK(parts_under_way > 0);
    --parts_under_way;
    if (status.ok()) {
      done_bytes += bytes;
    } else if (!failure) {
      failure = status.error();
    }
    changed.notify_all();
  }
};

Volume::Volume(Shared& shared, VolumeTraits traits, SessionTraits session)
    : shared_(shared),
      env_(shared.env),
      traits_(std::move(traits)),
      session_(shared, std::move(session)),
      segments_(shared, traits_.id, traits_.fence, traits_.layout),
      order_(env_.executor),
      limit_(env_.executor, shared.options.inflight_parts_max, shared.options.inflight_bytes_max),
      gate_(env_.executor),
      reads_(env_.metrics.counter("cairn_client_reads_total", "Reads of volumes.")),
      writes_(env_.metrics.counter("cairn_client_writes_total", "Writes to volumes.")),
      read_bytes_(env_.metrics.counter("cairn_client_read_bytes_total", "Bytes read.")),
      written_bytes_(env_.metrics.counter("cairn_client_written_bytes_total", "Bytes written.")),
      failures_(env_.metrics.counter("cairn_client_failures_total", "Operations that failed.")) {
  ++shared_.open_volumes_count;
}

Volume::~Volume() {
  --shared_.open_volumes_count;
}

Status Volume::check(uint64_t offset_bytes, uint64_t size_bytes, uint64_t bytes_max) const {
  if (session_.loss()) return *session_.loss();
  const uint64_t volume_bytes = this->size_bytes();
  const bool is_inside = offset_bytes <= volume_bytes && size_bytes <= volume_bytes - offset_bytes;
  if (!is_inside) {
    return error(Errc::kInvalidArgument,
                 std::to_string(size_bytes) + " bytes at " + std::to_string(offset_bytes) +
                     " are not inside volume " + traits_.name + " of " +
                     std::to_string(volume_bytes) + " bytes; nothing was done");
  }
  if (size_bytes > bytes_max) {
    return error(Errc::kInvalidArgument, "a request of " + std::to_string(size_bytes) +
                                             " bytes is over the limit of " +
                                             std::to_string(bytes_max) + "; nothing was done");
  }
  if (order_.entries_count() >= shared_.options.ops_max) {
    return error(Errc::kOverloaded, std::to_string(shared_.options.ops_max) +
                                        " operations of volume " + traits_.name +
                                        " wait already; nothing was done");
  }
  return ok();
}

Error Volume::failed(const Error& failure) {
  failures_.add();
  if (failure.code() == Errc::kStaleFence) session_.lose(failure);
  return failure.within("volume " + traits_.name);
}

BlockOrder::Enter Volume::in_order(uint64_t offset_bytes, uint64_t size_bytes,
                                   BlockOrder::Kind kind) {
  return order_.enter(offset_bytes / kBlockBytes, (offset_bytes + size_bytes - 1) / kBlockBytes,
                      kind);
}

ChunkRange Volume::range_of(const Part& part, const Segment& segment) const {
  const ChunkPlace& place = segment[part.chunk_index];
  return {place.copyset,  place.chunk, traits_.id, traits_.fence, part.offset_in_chunk_bytes,
          part.size_bytes};
}

WriteWindow& Volume::window(CopysetId copyset) {
  return windows_.try_emplace(copyset, env_.executor).first->second;
}

io::Task<Result<std::vector<ReadPiece>>> Volume::read_pieces(uint64_t offset_bytes,
                                                             uint64_t size_bytes) {
  auto running = gate_.enter();
  if (!running.ok()) co_return running.error();
  CO_TRY(check(offset_bytes, size_bytes, shared_.options.op_bytes_max));
  reads_.add();
  std::vector<ReadPiece> pieces;
  if (size_bytes == 0) co_return std::move(pieces);
  const Instant deadline = env_.clock.now() + shared_.options.op_deadline;
  auto hold = co_await in_order(offset_bytes, size_bytes, BlockOrder::Kind::kRead);

  Splitter parts(traits_.layout, offset_bytes, size_bytes, shared_.options.part_bytes_max);
  // The parts write into their elements: the vector may not move.
  pieces.reserve(parts.parts_max());
  Progress progress(env_.executor);
  std::optional<uint64_t> empty_segment_index;  // found without a chunk by this very read
  while (!parts.done() && !progress.failure) {
    const Part part = parts.next();
    const Segment* segment = segments_.find(part.segment_index);
    if (!segment && empty_segment_index != part.segment_index) {
      auto fetched = co_await segments_.fetch(part.segment_index, false, deadline);
      if (!fetched.ok()) {
        progress.failure = fetched.error();
        break;
      }
      segment = *fetched;
      if (!segment) empty_segment_index = part.segment_index;
    }
    CHECK(pieces.size() < pieces.capacity());
    pieces.push_back({part.size_bytes, {}});
    if (!segment) continue;
    auto permit = co_await limit_.enter(part.size_bytes);
    ++progress.parts_under_way;
    auto one = read_one_of(range_of(part, *segment), deadline, std::move(permit), &pieces.back(),
                           &progress);
    if (pieces.size() == 1 && parts.done()) {
      co_await std::move(one);  // the usual case needs no frame of its own
    } else {
      env_.executor.spawn(std::move(one));
    }
  }
  while (progress.parts_under_way > 0) co_await progress.changed.wait_next();
  if (progress.failure) co_return failed(*progress.failure);
  read_bytes_.add(size_bytes);
  co_return std::move(pieces);
}

io::Task<void> Volume::read_one_of(ChunkRange range, Instant deadline,
                                   InflightLimit::Permit /*held*/, ReadPiece* into,
                                   Progress* progress) {
  auto bytes = co_await shared_.chunks.read(range, deadline);
  const Status status = bytes.ok() ? ok() : Status(bytes.error());
  if (bytes.ok()) into->data = std::move(*bytes);
  progress->finish_part(range.size_bytes, status);
}

io::Task<Result<Buffer>> Volume::read(uint64_t offset_bytes, uint64_t size_bytes) {
  auto pieces = CO_TRY(co_await read_pieces(offset_bytes, size_bytes));
  if (pieces.size() == 1 && !pieces[0].data.empty()) co_return std::move(pieces[0].data);
  if (size_bytes == 0) co_return Buffer();
  Buffer whole = env_.buffers.allocate(size_bytes);
  MutableByteView left = whole.mutable_view();
  for (const ReadPiece& piece : pieces) {
    if (piece.data.empty()) {
      std::memset(left.data(), 0, piece.size_bytes);
    } else {
      std::memcpy(left.data(), piece.data.data(), piece.size_bytes);
    }
    left = left.subspan(piece.size_bytes);
  }
  CHECK(left.empty(), "the pieces make up the range");
  co_return std::move(whole);
}

io::Task<Status> Volume::write(uint64_t offset_bytes, Buffer data) {
  const uint64_t size_bytes = data.size_bytes();
  return change(offset_bytes, size_bytes, WriteKind::kData, std::move(data));
}

io::Task<Status> Volume::write_zeroes(uint64_t offset_bytes, uint64_t size_bytes) {
  return change(offset_bytes, size_bytes, WriteKind::kZeroes, {});
}

io::Task<Status> Volume::discard(uint64_t offset_bytes, uint64_t size_bytes) {
  return change(offset_bytes, size_bytes, WriteKind::kDiscard, {});
}

io::Task<Status> Volume::change(uint64_t offset_bytes, uint64_t size_bytes, WriteKind kind,
                                Buffer data) {
  auto running = gate_.enter();
  if (!running.ok()) co_return running.error();
  CO_TRY(check(offset_bytes, size_bytes,
               kind == WriteKind::kData ? shared_.options.op_bytes_max : this->size_bytes()));
  if (is_read_only()) {
    co_return error(Errc::kInvalidArgument,
                    "volume " + traits_.name + " is open for reading alone; nothing was written");
  }
  writes_.add();
  if (size_bytes == 0) co_return ok();
  const Instant deadline = env_.clock.now() + shared_.options.op_deadline;
  auto hold = co_await in_order(offset_bytes, size_bytes, BlockOrder::Kind::kWrite);
  if (env_.clock.now() >= deadline) {
    failures_.add();
    co_return error(Errc::kTimeout, "an earlier write to the same blocks of volume " +
                                        traits_.name + " took too long; nothing was written");
  }

  Status status = ok();
  if (kind == WriteKind::kData) {
    const Splitter parts(traits_.layout, offset_bytes, size_bytes, shared_.options.part_bytes_max);
    status = co_await change_parts(parts, kind, std::move(data), deadline);
  } else {
    const ChunkSplitter parts(traits_.layout, offset_bytes, size_bytes);
    status = co_await change_parts(parts, kind, Buffer(), deadline);
  }
  if (!status.ok()) co_return failed(status.error());
  if (kind == WriteKind::kData) written_bytes_.add(size_bytes);
  co_return ok();
}

template <class Parts>
io::Task<Status> Volume::change_parts(Parts parts, WriteKind kind, Buffer data, Instant deadline) {
  Progress progress(env_.executor);
  std::optional<uint64_t> empty_segment_index;
  for (bool is_first = true; !parts.done() && !progress.failure; is_first = false) {
    const Part part = parts.next();
    const Segment* segment = segments_.find(part.segment_index);
    if (!segment && empty_segment_index != part.segment_index) {
      auto fetched =
          co_await segments_.fetch(part.segment_index, kind != WriteKind::kDiscard, deadline);
      if (!fetched.ok()) {
        progress.failure = fetched.error();
        break;
      }
      segment = *fetched;
      if (!segment) empty_segment_index = part.segment_index;
    }
    if (!segment) {  // a discard of what reads as zeros anyway
      progress.done_bytes += part.size_bytes;
      continue;
    }
    const ChunkRange range = range_of(part, *segment);
    const uint64_t payload_bytes = kind == WriteKind::kData ? part.size_bytes : 0;
    Buffer payload =
        payload_bytes > 0 ? data.slice(part.offset_in_request_bytes, payload_bytes) : Buffer();
    auto permit = co_await limit_.enter(payload_bytes);
    if (is_first && parts.done()) {
      co_return co_await change_part(range, kind, std::move(payload), deadline);
    }
    ++progress.parts_under_way;
    env_.executor.spawn(
        change_one_of(range, kind, std::move(payload), deadline, std::move(permit), &progress));
  }
  while (progress.parts_under_way > 0) co_await progress.changed.wait_next();
  if (!progress.failure) co_return ok();
  co_return error(progress.failure->code(),
                  progress.failure->message() + "; of the whole request " +
                      std::to_string(progress.done_bytes) + " bytes are known to be done");
}

io::Task<void> Volume::change_one_of(ChunkRange range, WriteKind kind, Buffer data,
                                     Instant deadline, InflightLimit::Permit /*held*/,
                                     Progress* progress) {
  const Status status = co_await change_part(range, kind, std::move(data), deadline);
  progress->finish_part(range.size_bytes, status);
}

io::Task<Status> Volume::change_part(ChunkRange range, WriteKind kind, Buffer data,
                                     Instant deadline) {
  WriteWindow& numbers = window(range.copyset);
  const uint64_t sequence = numbers.has_room() ? numbers.begin_now() : co_await numbers.begin();
  Status status = co_await shared_.chunks.write(range, kind, std::move(data),
                                                {traits_.client, sequence, &numbers}, deadline);
  numbers.resolve(sequence);
  co_return std::move(status);
}

io::Task<Status> Volume::flush() {
  if (gate_.is_closed()) co_return error(Errc::kClosed, "volume " + traits_.name + " is closed");
  if (session_.loss()) co_return *session_.loss();
  co_return ok();
}

io::Task<Result<std::vector<Extent>>> Volume::extents(uint64_t offset_bytes, uint64_t size_bytes) {
  auto running = gate_.enter();
  if (!running.ok()) co_return running.error();
  CO_TRY(check(offset_bytes, size_bytes, this->size_bytes()));
  const Instant deadline = env_.clock.now() + shared_.options.op_deadline;
  std::vector<Extent> extents;
  const uint64_t end = offset_bytes + size_bytes;
  for (uint64_t at = offset_bytes; at < end;) {
    const uint64_t index = at / traits_.layout.segment_bytes;
    const uint64_t until = std::min(end, (index + 1) * traits_.layout.segment_bytes);
    const Segment* segment = segments_.find(index);
    if (!segment) {
      auto fetched = co_await segments_.fetch(index, false, deadline);
      if (!fetched.ok()) co_return failed(fetched.error());
      segment = *fetched;
    }
    const bool is_allocated = segment != nullptr;
    if (!extents.empty() && extents.back().is_allocated == is_allocated) {
      extents.back().size_bytes += until - at;
    } else {
      extents.push_back({until - at, is_allocated});
    }
    at = until;
  }
  co_return std::move(extents);
}

io::Task<void> Volume::close() {
  co_await gate_.close();
  co_await session_.close();
}

}  // namespace cairn::client
