#include "store/wal/segment_files.h"

#include <algorithm>
#include <array>

#include "store/wal/format.h"

namespace cairn::wal {

SegmentFiles::SegmentFiles(io::Env env, io::Disk& disk, const WalOptions& options)
    : env_(env),
      disk_(disk),
      options_(options),
      wanted_(env.executor),
      paced_(env.executor),
      retry_(env.clock, [this] { wanted_.set(); }),
      trickle_(env.clock, [this] { note_written(kPacedZeroesBytes); }),
      in_use_gauge_(env.metrics.gauge("cairn_wal_bytes", "size of the log's segments in use")) {}

std::string SegmentFiles::path(uint64_t sequence) const {
  return options_.directory + "/" + segment_name(sequence);
}

void SegmentFiles::adopt(SegmentFile file) {
  CHECK(in_use_.empty() || in_use_.back().sequence < file.sequence);
  in_use_bytes_ += file.file_bytes;
  in_use_gauge_.set(static_cast<int64_t>(in_use_bytes_));
  in_use_.push_back(std::move(file));
}

const SegmentFile* SegmentFiles::find(uint64_t sequence) const {
  const auto at = std::ranges::lower_bound(in_use_, sequence, {}, &SegmentFile::sequence);
  return at != in_use_.end() && at->sequence == sequence ? &*at : nullptr;
}

SegmentFile SegmentFiles::take_ready() {
  CHECK(has_ready());
  adopt(ready_.front());
  ready_.pop_front();
  wanted_.set();
  if (ready_.empty()) paced_.notify_all();  // the next one is urgent
  return in_use_.back();
}

void SegmentFiles::note_written(uint64_t bytes) {
  // A quarter more than the log took, so that what was late catches up.
  credit_bytes_ = std::min(kCreditBytesMax, credit_bytes_ + bytes + bytes / 4);
  paced_.notify_all();
}

/// What the log once needed it needs again. A file that is deleted has to be written over anew, and
/// its blocks, discarded, hold up the device's other writes meanwhile.
bool SegmentFiles::has_room_for_idle() const {
  const uint64_t others_count = ready_.size() + idle_.size() + 1;
  return in_use_bytes_ + others_count * options_.segment_bytes <= options_.wal_bytes_max;
}

void SegmentFiles::retire_below(uint64_t sequence) {
  bool any = false;
  while (!in_use_.empty() && in_use_.front().sequence < sequence) {
    const SegmentFile& file = in_use_.front();
    in_use_bytes_ -= file.file_bytes;
    const bool is_kept = file.file_bytes == options_.segment_bytes && has_room_for_idle();
    (is_kept ? idle_ : surplus_).push_back(file.sequence);
    in_use_.pop_front();
    any = true;
  }
  in_use_gauge_.set(static_cast<int64_t>(in_use_bytes_));
  if (any) wanted_.set();
}

io::Task<Status> SegmentFiles::prepare() {
  const uint64_t sequence = next_sequence_++;
  const std::string final_path = path(sequence);
  if (!idle_.empty()) {
    const std::string old_path = path(idle_.front());
    idle_.pop_front();
    ++recycled_count_;
    CO_TRY(co_await disk_.rename(old_path, final_path));
  } else {
    const std::string aside =
        options_.directory + "/" + std::string(kPreparingPrefix) + segment_name(sequence);
    auto created = co_await create(aside);
    if (!created.ok()) {
      // The half-made file would keep space that nobody can use.
      auto removed = co_await disk_.remove(aside);
      if (!removed.ok()) env_.logger.warn("a half-made segment stays", {{"file", aside}});
      co_return std::move(created).error().within("preparing a log segment");
    }
    ++created_count_;
    CO_TRY(co_await disk_.rename(aside, final_path));
  }
  CO_TRY(co_await disk_.sync_directory(options_.directory));
  io::OpenOptions open;
  open.access = io::Access::kDirect;
  auto file = CO_TRY(co_await disk_.open(final_path, open));
  ready_.push_back({.sequence = sequence,
                    .file_bytes = options_.segment_bytes,
                    .file = std::shared_ptr<io::File>(std::move(file))});
  co_return ok();
}

io::Task<Status> SegmentFiles::create(std::string path) {
  io::OpenOptions open;
  open.create = true;
  open.access = io::Access::kDirect;
  auto file = CO_TRY(co_await disk_.open(path, open));
  CO_TRY(co_await file->allocate(0, options_.segment_bytes));
  const Buffer zeroes =
      env_.buffers.allocate_zeroed(std::min(kZeroesBytes, options_.segment_bytes));
  for (uint64_t at = 0; at < options_.segment_bytes;) {
    const uint64_t piece_bytes = std::min<uint64_t>(
        ready_.empty() ? zeroes.size_bytes() : kPacedZeroesBytes, options_.segment_bytes - at);
    CO_TRY(co_await pace(piece_bytes));
    const std::array<ByteView, 1> parts{zeroes.view().first(piece_bytes)};
    CO_TRY(co_await file->write(at, parts, io::Durability::kCached));
    at += piece_bytes;
  }
  co_return co_await file->sync_data();
}

/// Waits until so many zeroes may be written. Without a ready segment the log waits for this one,
/// or will soon: then they may at once.
io::Task<Status> SegmentFiles::pace(uint64_t bytes) {
  while (!is_stopping_ && !ready_.empty() && credit_bytes_ < bytes) {
    if (!trickle_.armed()) trickle_.arm_after(kTrickleEvery);
    co_await paced_.wait_next();
  }
  if (is_stopping_) co_return error(Errc::kClosed, "the log was closed meanwhile");
  credit_bytes_ -= std::min(credit_bytes_, bytes);
  co_return ok();
}

io::Task<Status> SegmentFiles::remove_surplus() {
  while (!surplus_.empty() && !is_stopping_) {
    const uint64_t sequence = surplus_.front();
    surplus_.pop_front();
    CO_TRY(co_await disk_.remove(path(sequence)));
  }
  co_return ok();
}

io::Task<void> SegmentFiles::run(std::function<void()> on_change,
                                 std::function<void(Error)> on_failed) {
  while (!is_stopping_) {
    wanted_.reset();
    Status status = ok();
    if (ready_.size() < options_.segments_ready_min) {
      status = co_await prepare();
      if (status.ok()) {
        wanted_.set();  // look again: more may be wanted
      }
    } else {
      status = co_await remove_surplus();
    }
    if (is_stopping_) break;
    is_starved_ = status.code() == Errc::kNoSpace;
    if (status.ok() || is_starved_) on_change();
    if (status.code() == Errc::kNoSpace) {
      env_.logger.warn("no space for a log segment", {{"error", status.error().message()}});
      retry_.arm_after(kRetryAfter);
    } else if (!status.ok()) {
      on_failed(status.error());
      co_return;
    }
    co_await wanted_.wait();
  }
}

void SegmentFiles::stop() {
  is_stopping_ = true;
  retry_.disarm();
  trickle_.disarm();
  wanted_.set();
  paced_.notify_all();
}

}  // namespace cairn::wal
