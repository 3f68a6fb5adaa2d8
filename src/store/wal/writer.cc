#include "store/wal/writer.h"

#include <algorithm>

#include "base/planted_bug.h"

namespace cairn::wal {

namespace {

bool is_aligned(const Buffer& buffer) {
  return reinterpret_cast<uintptr_t>(buffer.data()) % kBlockBytes == 0;
}

uint64_t bytes_of_record(const Record& record) {
  return record.descriptor_bytes() + record.payload.size_bytes();
}

}  // namespace

Writer::Writer(io::Env env, const WalOptions& options, Listener& listener, LiveIndex& index,
               SegmentFiles& files)
    : env_(env),
      options_(options),
      listener_(listener),
      index_(index),
      files_(files),
      // Shared with the writes under way: one that hangs in the device outlives its Writer.
      life_(std::make_shared<Life>(Life{this})),
      progress_(env.executor),
      watchdog_(env.clock, [this] { on_watchdog(); }),
      idle_(env.clock, [this] { on_idle(); }),
      batches_total_(env.metrics.counter("cairn_wal_batches_total", "batches of records made")),
      flushes_total_(env.metrics.counter("cairn_wal_flushes_total",
                                         "durable writes to the log's files: one a batch")),
      records_total_(env.metrics.counter("cairn_wal_records_total", "records written")),
      payload_bytes_total_(
          env.metrics.counter("cairn_wal_payload_bytes_total", "heads and payloads appended")),
      written_bytes_total_(
          env.metrics.counter("cairn_wal_written_bytes_total", "bytes written to the log's files")),
      write_us_(env.metrics.durations("cairn_wal_write_seconds", "time of a durable write")),
      segment_wait_us_(
          env.metrics.durations("cairn_wal_segment_wait_seconds",
                                "time that records waited for a segment to be prepared")) {}

Writer::~Writer() {
  life_->writer = nullptr;
}

void Writer::abandon() {
  is_muted_ = true;
  progress_callback_ = {};
  fail(error(Errc::kClosed, "the log was closed"));
}

void Writer::start(const LogEnd& end) {
  CHECK(end.token != 0 && end.next_batch != 0 && last_lsn_.is_zero());
  end_ = end;
  next_batch_ = end.next_batch;
  previous_hash_ = end.previous_hash;
  durable_batch_ = covered_batch_ = end.next_batch - 1;
  oldest_ = durable_oldest_ = end.oldest_sequence;
  is_opening_ = true;
}

Lsn Writer::append(Record record) {
  ++last_lsn_;
  if (failed()) return last_lsn_;
  CHECK(is_block_aligned(record.payload.size_bytes()), "a payload is whole blocks");
  record.header.head_bytes = static_cast<uint32_t>(record.head.size_bytes());
  record.header.payload_bytes = static_cast<uint32_t>(record.payload.size_bytes());
  if (!is_aligned(record.payload)) record.payload = env_.buffers.copy_of(record.payload.view());
  const uint64_t alone_bytes =
      round_up(sizeof(BatchHeader) + record.descriptor_bytes(), 4096) + record.payload.size_bytes();
  CHECK(alone_bytes + kBlockBytes <= options_.segment_bytes, "a record fits into a segment");
  pending_bytes_ += bytes_of_record(record);
  records_.push_back(std::move(record));
  env_.executor.at_turn_end(*this);
  return last_lsn_;
}

void Writer::request_batch() {
  is_batch_requested_ = true;
  env_.executor.at_turn_end(*this);
}

void Writer::set_oldest(uint64_t sequence) {
  CHECK(sequence >= oldest_ && sequence <= lowest_busy_sequence());
  wanted_oldest_ = sequence;
  wanted_oldest_after_ = last_lsn_;
  request_batch();
}

uint64_t Writer::lowest_busy_sequence() const {
  return inflight_.empty() ? active_.sequence : inflight_.front().sequence;
}

Buffer Writer::staged_payload(uint32_t staged_lsn) const {
  // Staged are those behind the durable prefix, far fewer than 2^32: the lower half tells them.
  const uint32_t at = staged_lsn - static_cast<uint32_t>(durable_lsn_.value()) - 1;
  CHECK(at < records_.size(), "a staged record is not durable");
  return records_[at].payload;
}

void Writer::on_turn_end() {
  while (!failed() && inflight_.size() < options_.writes_inflight_max &&
         (has_unsent() || is_batch_requested_)) {
    if (!send_batch()) break;
  }
}

/// As many records as fit the limits of a batch and `room_bytes`; at least one of those unsent, if
/// there is room for it.
Writer::Batch Writer::plan(uint64_t room_bytes) const {
  Batch batch;
  uint64_t descriptor_bytes = sizeof(BatchHeader);
  size_t payloads_count = 0;
  for (size_t i = sent_count_; i < records_.size(); ++i) {
    const Record& record = records_[i];
    const uint64_t descriptor_next = descriptor_bytes + record.descriptor_bytes();
    const uint64_t payload_next = batch.payload_bytes + record.payload.size_bytes();
    const uint64_t total_bytes = round_up(descriptor_next, kBlockBytes) + payload_next;
    if (total_bytes > room_bytes) break;
    if (batch.records_count > 0 && total_bytes > options_.batch_bytes_max) break;
    if (payloads_count + 2 > io::File::kPartsMax) break;
    if (!record.payload.empty()) ++payloads_count;
    descriptor_bytes = descriptor_next;
    batch.payload_bytes = payload_next;
    ++batch.records_count;
  }
  batch.descriptor_bytes = static_cast<uint32_t>(round_up(descriptor_bytes, kBlockBytes));
  return batch;
}

/// Goes on to the next segment; false while none is ready.
bool Writer::roll() {
  if (!files_.has_ready()) {  // poke() comes when one is
    if (!segment_wanted_since_) segment_wanted_since_ = env_.clock.now();
    return false;
  }
  note_segment_wait();
  const SegmentFile next = files_.take_ready();
  end_.previous_sequence = active_.sequence != 0 ? active_.sequence : end_.previous_sequence;
  active_ = {.sequence = next.sequence, .file_bytes = next.file_bytes, .file = next.file};
  index_.add_segment(next.sequence);
  if (oldest_ == 0) {
    // The log begins here: segments in which nothing ever became durable are no part of it.
    oldest_ = durable_oldest_ = next.sequence;
    index_.drop_segments_below(next.sequence);
    files_.retire_below(next.sequence);
  }
  return true;
}

void Writer::note_segment_wait() {
  if (!segment_wanted_since_) return;
  const Duration waited = env_.clock.now() - *segment_wanted_since_;
  segment_wanted_since_.reset();
  ++stats_.segment_waits;
  segment_wait_us_.record(static_cast<uint64_t>(to_us(waited)));
}

bool Writer::send_batch() {
  const auto fits = [this](const Batch& planned) {
    return active_.file && active_.used_bytes + planned.descriptor_bytes <= active_.file_bytes &&
           (planned.records_count > 0 || !has_unsent());
  };
  const auto room = [this] {
    return active_.file ? active_.file_bytes - std::max(active_.used_bytes, kBlockBytes) : 0;
  };
  Batch batch = plan(room());
  if (!fits(batch)) {
    if (!roll()) return false;
    batch = plan(room());
    CHECK(fits(batch), "an empty segment has room for any record");
  }
  Flight flight = encode(batch);
  const bool begins_segment = active_.used_bytes == 0;
  const uint64_t write_at = begins_segment ? 0 : batch.offset_bytes;
  active_.used_bytes = batch.offset_bytes + batch.descriptor_bytes + batch.payload_bytes;
  sent_count_ += batch.records_count;
  if (batch.records_count > 0) last_records_batch_ = batch.number;
  if (!has_unsent()) is_batch_requested_ = false;

  uint64_t written_bytes = 0;
  for (const ByteView part : flight.parts) written_bytes += part.size();
  ++stats_.batches_count;
  stats_.records_count += batch.records_count;
  stats_.written_bytes += written_bytes;
  batches_total_.add();
  records_total_.add(batch.records_count);
  written_bytes_total_.add(written_bytes);
  files_.note_written(written_bytes);

  batch.started = last_activity_ = env_.clock.now();
  inflight_.push_back(batch);
  if (!watchdog_.armed()) watchdog_.arm_after(options_.write_hang_max / kWatchdogTicks);
  ++stats_.flushes_count;
  flushes_total_.add();
  env_.executor.spawn(run_write(life_, active_.file, write_at, std::move(flight), batch.number));
  return true;
}

Writer::Flight Writer::encode(Batch& batch) {
  const bool begins_segment = active_.used_bytes == 0;
  const uint64_t header_bytes = begins_segment ? kBlockBytes : 0;
  batch.number = next_batch_++;
  batch.sequence = active_.sequence;
  batch.offset_bytes = begins_segment ? kBlockBytes : active_.used_bytes;
  batch.durable_up_to = durable_batch_;
  const Lsn reaches = durable_lsn_ + (sent_count_ + batch.records_count);
  if (wanted_oldest_ > oldest_ && reaches >= wanted_oldest_after_) oldest_ = wanted_oldest_;
  batch.oldest_sequence = oldest_;

  Flight flight;
  flight.descriptor = env_.buffers.allocate(header_bytes + batch.descriptor_bytes);
  if (begins_segment) {
    const SegmentHeader header{.sequence = active_.sequence,
                               .token = end_.token,
                               .previous_sequence = end_.previous_sequence,
                               .first_batch = batch.number,
                               .previous_hash = previous_hash_,
                               .segment_bytes = active_.file_bytes};
    encode_segment_header(header, flight.descriptor.mutable_view().first(kBlockBytes));
  }
  std::vector<const Record*> records;
  records.reserve(batch.records_count);
  for (size_t i = 0; i < batch.records_count; ++i) {
    const Record& record = records_[sent_count_ + i];
    records.push_back(&record);
    if (!record.payload.empty()) flight.payloads.push_back(record.payload);
    stats_.payload_bytes += record.head.size_bytes() + record.payload.size_bytes();
    payload_bytes_total_.add(record.head.size_bytes() + record.payload.size_bytes());
  }
  BatchHeader header{.flags = is_opening_ ? kBatchOpening : uint16_t{0},
                     .sequence = active_.sequence,
                     .token = end_.token,
                     .number = batch.number,
                     .previous_hash = previous_hash_,
                     .durable_up_to = batch.durable_up_to,
                     .oldest_sequence = batch.oldest_sequence,
                     .descriptor_bytes = batch.descriptor_bytes};
  is_opening_ = false;
  header =
      encode_descriptor(header, records, flight.descriptor.mutable_view().subspan(header_bytes));
  CHECK(header.payload_bytes == batch.payload_bytes);
  previous_hash_ = hash_of(header);
  flight.parts.push_back(flight.descriptor.view());
  for (const Buffer& payload : flight.payloads) flight.parts.push_back(payload.view());
  return flight;
}

io::Task<void> Writer::run_write(std::shared_ptr<Life> life, std::shared_ptr<io::File> file,
                                 uint64_t offset_bytes, Flight flight, uint64_t number) {
  auto status = co_await file->write(offset_bytes, flight.parts, io::Durability::kSynced);
  if (life->writer) life->writer->on_written(number, std::move(status));
}

void Writer::on_written(uint64_t number, Status status) {
  if (failed()) return;
  if (!status.ok()) return fail(status.error().within("writing batch " + std::to_string(number)));
  if (is_planted(PlantedBug::kAckOutOfOrder)) {
    if (inflight_.empty() || number < inflight_.front().number) return;
    for (Batch& batch : inflight_) batch.is_done |= batch.number < number;
  }
  CHECK(!inflight_.empty() && number >= inflight_.front().number);
  Batch& written = inflight_[number - inflight_.front().number];
  CHECK(written.number == number && !written.is_done);
  written.is_done = true;
  last_activity_ = env_.clock.now();
  write_us_.record(static_cast<uint64_t>(to_us(last_activity_ - written.started)));
  const Lsn before = durable_lsn_;
  const uint64_t durable_before = durable_batch_;
  while (!inflight_.empty() && inflight_.front().is_done) {
    settle(inflight_.front());
    inflight_.pop_front();
  }
  if (has_unsent() || is_batch_requested_) env_.executor.at_turn_end(*this);
  if (inflight_.empty() && !has_unsent() && needs_mark() && !idle_.armed()) {
    idle_.arm_after(options_.idle_mark_after);
  }
  if (durable_batch_ == durable_before) return;
  if (durable_lsn_ > before && !is_muted_) listener_.on_durable(durable_lsn_);
  progress_.notify_all();
  if (progress_callback_) progress_callback_();
}

/// The batch and all before it are durable.
void Writer::settle(const Batch& batch) {
  CHECK(batch.number == durable_batch_ + 1, "durability is a prefix");
  CHECK(batch.records_count <= sent_count_);
  uint64_t payload_at = batch.offset_bytes + batch.descriptor_bytes;
  for (size_t i = 0; i < batch.records_count; ++i) {
    const Record& record = records_.front();
    const Place place{.sequence = batch.sequence,
                      .descriptor_block = static_cast<uint16_t>(batch.offset_bytes / kBlockBytes),
                      .payload_block = static_cast<uint16_t>(payload_at / kBlockBytes)};
    payload_at += record.payload.size_bytes();
    pending_bytes_ -= bytes_of_record(record);
    index_.place(record.header, ++durable_lsn_, place);
    records_.pop_front();
  }
  sent_count_ -= batch.records_count;
  durable_batch_ = batch.number;
  covered_batch_ = batch.durable_up_to;
  if (batch.oldest_sequence > durable_oldest_) {
    durable_oldest_ = batch.oldest_sequence;
    index_.drop_segments_below(durable_oldest_);
    files_.retire_below(durable_oldest_);
  }
}

void Writer::fail(Error reason) {
  if (failed()) return;
  failure_ = reason;
  watchdog_.disarm();
  idle_.disarm();
  if (reason.code() != Errc::kClosed) {
    env_.logger.error("the log has failed: nothing more becomes durable",
                      {{"error", reason.describe()}, {"durable_lsn", durable_lsn_}});
  }
  progress_.notify_all();
  if (progress_callback_) progress_callback_();
  if (!is_muted_) listener_.on_failed(std::move(reason));
}

/// A write counts as hanging when it is old and several ticks have found it: after a pause of the
/// whole process the first tick may come before the completions that were waiting.
void Writer::on_watchdog() {
  if (failed() || inflight_.empty()) return;
  Batch& oldest = inflight_.front();
  ++oldest.ticks_seen;
  const Duration age = env_.clock.now() - oldest.started;
  if (oldest.ticks_seen >= kWatchdogTicks && age >= options_.write_hang_max) {
    return fail(error(Errc::kTimeout, "batch " + std::to_string(oldest.number) +
                                          " has been under way for " + std::to_string(to_ms(age)) +
                                          " ms"));
  }
  watchdog_.arm_after(options_.write_hang_max / kWatchdogTicks);
}

void Writer::on_idle() {
  if (failed() || !inflight_.empty() || has_unsent() || !needs_mark()) return;
  const Instant due = last_activity_ + options_.idle_mark_after;
  if (env_.clock.now() < due) return idle_.arm(due);
  request_batch();
}

io::Task<Status> Writer::drain() {
  const auto is_settled = [this] { return !has_unsent() && inflight_.empty(); };
  while (!failed() && (!is_settled() || needs_mark() || is_batch_requested_)) {
    if (inflight_.empty() && files_.is_starved() && has_unsent()) {
      co_return error(Errc::kNoSpace,
                      "no segment can be made; what was appended last is not saved");
    }
    if (is_settled()) request_batch();
    co_await progress_.wait_next();
  }
  if (failed()) co_return *failure_;
  co_return ok();
}

}  // namespace cairn::wal
