#include "store/wal/recovery.h"

#include <algorithm>
#include <cstring>

#include "io/sync.h"

namespace cairn::wal {

namespace {

constexpr uint64_t kReadBytes = kMiB;
constexpr size_t kReadsInflightMax = 8;
constexpr uint64_t kSequencesMax = uint64_t{1} << 32;  // LiveIndex keeps the lower half

struct ReadState {
  ReadState(io::Executor& executor, io::File& from, MutableByteView to)
      : done(executor), file(from), into(to) {}
  io::Event done;
  io::File& file;
  MutableByteView into;
  uint64_t next_bytes = 0;
  size_t readers_count = 0;
  std::optional<uint64_t> unreadable_bytes;
};

/// One of several readers of a segment. A part that fails is read block by block, so that one bad
/// sector costs one block.
io::Task<void> read_parts(ReadState* state) {
  while (state->next_bytes < state->into.size()) {
    const uint64_t at = state->next_bytes;
    const uint64_t part_bytes = std::min(kReadBytes, state->into.size() - at);
    state->next_bytes += part_bytes;
    const auto status = co_await state->file.read(at, state->into.subspan(at, part_bytes));
    if (status.ok()) continue;
    for (uint64_t block = at; block < at + part_bytes; block += kBlockBytes) {
      const MutableByteView into = state->into.subspan(block, kBlockBytes);
      const auto again = co_await state->file.read(block, into);
      if (again.ok()) continue;
      std::ranges::fill(into, std::byte{0});
      state->unreadable_bytes = std::max(block, state->unreadable_bytes.value_or(0));
    }
  }
  if (--state->readers_count == 0) state->done.set();
}

bool is_zero(ByteView bytes) {
  // Each byte equals the one before it, and the first is zero.
  return bytes.empty() || (bytes[0] == std::byte{0} &&
                           std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

struct FoundSegment {
  uint64_t sequence = 0;
  uint64_t file_bytes = 0;
  std::shared_ptr<io::File> file = {};
  std::optional<SegmentHeader> header = {};
};

/// Recovery's steps, one behind the other.
class Reader {
 public:
  Reader(io::Env env, io::Disk& disk, WalOptions options)
      : env_(env), disk_(disk), options_(std::move(options)) {}

  io::Task<Result<RecoveredLog>> run();

 private:
  io::Task<Status> find_segments();
  io::Task<Status> read_header(FoundSegment& segment);
  io::Task<Status> find_end();
  io::Task<Status> replay_all();
  io::Task<Status> replay_from(uint64_t oldest_sequence);
  bool has_segment(uint64_t sequence) const;
  Status check_found() const;
  void sort_out();
  io::Task<Result<SegmentScan>> scan(const FoundSegment& segment, bool verify_payloads);

  io::Env env_;
  io::Disk& disk_;
  const WalOptions options_;
  std::vector<FoundSegment> found_;  ///< ascending
  RecoveredLog log_;
  uint64_t durable_up_to_ = 0;
  uint64_t oldest_sequence_ = 0;  ///< a durable batch says so; 0: none was found
  bool is_unreadable_ = false;    ///< the device refused a block somewhere
  bool has_content_ = false;      ///< some segment is not all zeroes
  Buffer memory_;                 ///< what the last scan points into
};

io::Task<Result<RecoveredLog>> Reader::run() {
  CO_TRY(co_await find_segments());
  CO_TRY(co_await find_end());
  CO_TRY(co_await replay_all());
  CO_TRY(check_found());
  sort_out();
  co_return std::move(log_);
}

io::Task<Status> Reader::find_segments() {
  log_.token = options_.store_token;
  auto names = CO_TRY(co_await disk_.list(options_.directory));
  for (const std::string& name : names) {
    const std::string path = options_.directory + "/" + name;
    if (name.starts_with(SegmentFiles::kPreparingPrefix)) log_.garbage.push_back(path);
    const auto sequence = parse_segment_name(name);
    if (!sequence) continue;
    if (*sequence >= kSequencesMax) {
      co_return error(Errc::kCorrupt, path +
                                          " has a number that no log reaches; nothing was "
                                          "changed");
    }
    FoundSegment segment{.sequence = *sequence};
    io::OpenOptions open;
    open.access = io::Access::kDirect;
    auto file = CO_TRY(co_await disk_.open(path, open));
    segment.file_bytes = CO_TRY(co_await file->size());
    segment.file = std::shared_ptr<io::File>(std::move(file));
    if (segment.file_bytes > kSegmentBytesMax) {
      co_return error(Errc::kCorrupt, path + " is larger than a segment can be");
    }
    CO_TRY(co_await read_header(segment));
    found_.push_back(std::move(segment));
    log_.next_sequence = std::max(log_.next_sequence, *sequence + 1);
  }
  std::ranges::sort(found_, {}, &FoundSegment::sequence);
  co_return ok();
}

io::Task<Status> Reader::read_header(FoundSegment& segment) {
  if (segment.file_bytes < kBlockBytes) co_return ok();
  Buffer block = env_.buffers.allocate(kBlockBytes);
  auto read = co_await segment.file->read(0, block.mutable_view());
  // Without it batches that an earlier recovery has cut off would seem to be part of the log.
  if (!read.ok()) read = co_await segment.file->read(0, block.mutable_view());
  if (!read.ok()) co_return ok();  // the scan will meet it again
  const auto header = decode_segment_header(block.view(), segment.sequence);
  if (header.code() == Errc::kUnsupported) {
    co_return header.error().within(segment_name(segment.sequence));
  }
  if (!header.ok()) co_return ok();
  if (log_.token == 0) log_.token = header->token;
  if (header->token != log_.token) {
    co_return error(Errc::kCorrupt, segment_name(segment.sequence) +
                                        " belongs to another store; nothing was changed");
  }
  segment.header = *header;
  co_return ok();
}

io::Task<Result<SegmentScan>> Reader::scan(const FoundSegment& segment, bool verify_payloads) {
  // One memory for all of them: fresh pages for each would cost as much as checking it.
  const uint64_t whole_bytes = segment.file_bytes / kBlockBytes * kBlockBytes;
  if (memory_.size_bytes() < whole_bytes) {
    memory_ = Buffer();
    memory_ = allocate_segment_buffer(segment.file_bytes);
  }
  const MutableByteView bytes = memory_.mutable_view().first(whole_bytes);
  const auto unreadable_bytes = co_await read_segment(env_, segment.file, bytes);
  if (log_.token == 0) log_.token = token_in(bytes, segment.sequence);
  // Without a token nothing in here is sound, whatever token one looks for.
  auto found = CO_TRY(scan_segment(bytes, segment.sequence, log_.token, verify_payloads));
  found.file_bytes = segment.file_bytes;
  found.unreadable_bytes = unreadable_bytes;
  is_unreadable_ |= unreadable_bytes.has_value();
  has_content_ = has_content_ || !is_zero(bytes);
  co_return found;
}

/// What was durable for sure, and where the log begins for sure: marks only grow along the log, so
/// the last segments that hold any valid batch know the greatest.
io::Task<Status> Reader::find_end() {
  for (auto at = found_.rbegin(); at != found_.rend(); ++at) {
    const auto segment = CO_TRY(co_await scan(*at, false));
    for (const ScannedBatch& batch : segment.batches) {
      durable_up_to_ = std::max(durable_up_to_, batch.view.header.durable_up_to);
    }
    for (const ScannedBatch& batch : segment.batches) {
      const BatchHeader& header = batch.view.header;
      if (header.number > durable_up_to_) continue;
      oldest_sequence_ = std::max(oldest_sequence_, header.oldest_sequence);
    }
    if (oldest_sequence_ != 0) break;
  }
  co_return ok();
}

bool Reader::has_segment(uint64_t sequence) const {
  return std::ranges::binary_search(found_, sequence, {}, &FoundSegment::sequence);
}

/// Files of segments that have left the log may still be there, some of them recycled: what stands
/// before such a hole was ended by records that are gone.
io::Task<Status> Reader::replay_all() {
  CO_TRY(co_await replay_from(oldest_sequence_));
  // Batches that were not proven durable, but are whole, may have let more segments go.
  const uint64_t oldest = log_.replay.oldest_sequence();
  if (log_.replay.first_sequence() < oldest && has_segment(oldest)) {
    CO_TRY(co_await replay_from(oldest));
  }
  co_return ok();
}

io::Task<Status> Reader::replay_from(uint64_t oldest_sequence) {
  log_.replay = Replay(durable_up_to_);
  std::vector<uint64_t> limits(found_.size(), UINT64_MAX);
  uint64_t limit = UINT64_MAX;
  for (size_t i = found_.size(); i-- > 0;) {
    limits[i] = limit;
    if (found_[i].header) limit = std::min(limit, found_[i].header->first_batch);
  }
  for (size_t i = 0; i < found_.size(); ++i) {
    if (found_[i].sequence < oldest_sequence) continue;
    const auto segment = CO_TRY(co_await scan(found_[i], true));
    log_.replay.add_segment(segment, limits[i]);
  }
  uint64_t segment_bytes_min = options_.segment_bytes;
  for (const FoundSegment& segment : found_) {
    if (segment.sequence == log_.replay.last_sequence() && segment.header) {
      segment_bytes_min = std::min(segment_bytes_min, segment.header->segment_bytes);
    }
  }
  log_.replay.finish(segment_bytes_min);
  co_return ok();
}

/// A log of which nothing is left is not a new one.
Status Reader::check_found() const {
  if (log_.replay.last_batch() != 0) return ok();
  for (const FoundSegment& segment : found_) {
    if (segment.file_bytes < options_.segment_bytes) {
      return error(Errc::kCorrupt, segment_name(segment.sequence) + " has been truncated to " +
                                       std::to_string(segment.file_bytes) +
                                       " bytes and nothing of the log can be read; nothing was "
                                       "changed");
    }
  }
  if (durable_up_to_ > 0 || is_unreadable_ || (options_.must_exist && has_content_)) {
    return error(Errc::kCorrupt, "nothing of the log in " + options_.directory +
                                     " can be read; nothing was changed");
  }
  if (options_.must_exist) {
    return error(Errc::kNotFound,
                 "the log in " + options_.directory +
                     " is gone, and with it what this disk voted and acknowledged: it must not "
                     "take part under its old identity. Nothing was changed. Bring the log back, "
                     "or remove the whole data directory to let the disk join as a new one");
  }
  return ok();
}

void Reader::sort_out() {
  const Replay& replay = log_.replay;
  for (FoundSegment& segment : found_) {
    const bool is_log =
        segment.sequence <= replay.last_sequence() && segment.sequence >= replay.first_sequence();
    if (is_log) {
      log_.log.push_back({segment.sequence, segment.file_bytes, segment.file});
    } else if (segment.file_bytes == options_.segment_bytes) {
      log_.idle.push_back(segment.sequence);
    } else {
      log_.garbage.push_back(options_.directory + "/" + segment_name(segment.sequence));
    }
  }
}

}  // namespace

Buffer allocate_segment_buffer(uint64_t file_bytes) {
  const uint64_t whole_bytes = std::min(file_bytes, kSegmentBytesMax) / kBlockBytes * kBlockBytes;
  if (whole_bytes == 0) return {};
  // Not from the pool, which would keep so large a buffer for ever.
  const Buffer unaligned = Buffer::allocate(whole_bytes + kBlockBytes);
  const auto address = reinterpret_cast<uintptr_t>(unaligned.data());
  return unaligned.slice(round_up(address, kBlockBytes) - address, whole_bytes);
}

io::Task<std::optional<uint64_t>> read_segment(io::Env env, std::shared_ptr<io::File> file,
                                               MutableByteView into) {
  if (into.empty()) co_return std::nullopt;
  ReadState state(env.executor, *file, into);
  state.readers_count = kReadsInflightMax;
  for (size_t i = 0; i < kReadsInflightMax; ++i) env.executor.spawn(read_parts(&state));
  co_await state.done.wait();
  co_return state.unreadable_bytes;
}

io::Task<Result<RecoveredLog>> recover(io::Env env, io::Disk& disk, WalOptions options) {
  Reader reader(env, disk, std::move(options));
  co_return co_await reader.run();
}

}  // namespace cairn::wal
