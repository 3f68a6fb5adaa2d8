/// The write-ahead log's decoder, scan and replay: whatever stands in the segments, they end, give
/// the same twice, and what they give keeps its promises.
///
/// Input: fuzz/wal_input.h.
/// Links: cairn_wal
#include "fuzz/wal_input.h"
#include "store/wal/replay.h"

namespace cairn::wal {
namespace {

/// What was decoded is encoded to something that is decoded to the same.
void check_round_trip(const BatchView& view) {
  std::vector<Record> records;
  for (const RecordView& seen : view.records) {
    Record record{.header = seen.header, .head = Buffer::copy_of(seen.head)};
    record.payload = Buffer::allocate(seen.header.payload_bytes);
    records.push_back(std::move(record));
  }
  std::vector<const Record*> pointers;
  for (const Record& record : records) pointers.push_back(&record);
  std::vector<std::byte> bytes(view.header.descriptor_bytes);
  const BatchHeader header = encode_descriptor(view.header, pointers, bytes);
  CHECK(header.payload_bytes == view.header.payload_bytes);
  const auto again = decode_batch(bytes, view.header.sequence, kToken);
  CHECK(again.ok() && again->records.size() == view.records.size());
  for (size_t i = 0; i < again->records.size(); ++i) {
    const RecordView& one = view.records[i];
    const RecordView& other = again->records[i];
    CHECK(std::memcmp(&one.header, &other.header, sizeof(RecordHeader)) == 0);
    CHECK(std::ranges::equal(one.head, other.head) && one.payload_offset == other.payload_offset);
  }
}

/// The number of groups; or nothing, if the log was refused.
std::optional<size_t> replay_once(const Segments& segments) {
  std::vector<SegmentScan> scans;
  uint64_t durable_up_to = 0;
  for (size_t i = 0; i < segments.size(); ++i) {
    auto scan = scan_segment(segments[i], i + 1, kToken, true);
    if (!scan.ok()) return std::nullopt;
    uint64_t end_bytes = 0;
    for (const ScannedBatch& batch : scan->batches) {
      CHECK(batch.offset_bytes >= end_bytes, "batches do not overlap");
      end_bytes = batch.offset_bytes + batch.view.header.descriptor_bytes;
      CHECK(end_bytes <= segments[i].size());
      check_round_trip(batch.view);
      durable_up_to = std::max(durable_up_to, batch.view.header.durable_up_to);
    }
    scans.push_back(std::move(*scan));
  }
  Replay replay(durable_up_to);
  for (size_t i = 0; i < scans.size(); ++i) {
    uint64_t limit = UINT64_MAX;
    for (size_t j = i + 1; j < scans.size(); ++j) {
      if (scans[j].header) limit = std::min(limit, scans[j].header->first_batch);
    }
    replay.add_segment(scans[i], limit);
  }
  replay.finish(0);
  for (const auto& [id, group] : replay.groups()) {
    uint64_t next = group.snapshot ? group.snapshot->index.value() + 1 : 0;
    for (const auto& [index, entry] : group.entries) {
      if (next == 0) next = index;
      CHECK(index == next, "entries are contiguous");
      CHECK(!entry.is_damaged || !group.quarantine_reason.empty(), "rot is told");
      ++next;
    }
  }
  return replay.groups().size();
}

}  // namespace
}  // namespace cairn::wal

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cairn;
  const ByteView input(reinterpret_cast<const std::byte*>(data), size);
  const auto segments = wal::segments_of(input);
  CHECK(wal::replay_once(segments) == wal::replay_once(segments));
  return 0;
}
